"""One reconcile: read the truth, ask the core what to do, do it in order, store one status. Nothing is decided here."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

from pydantic import ValidationError

from millgate.api.base import explain
from millgate.api.conditions import EventReason, Reason
from millgate.api.spec import ModelDeploymentSpec
from millgate.api.status import Stage, Status
from millgate.controller.observe import Observation, observe
from millgate.controller.observer import Observer, Visit
from millgate.controller.peaks import Peaks
from millgate.controller.perform import perform
from millgate.controller.resolver import Resolver
from millgate.controller.status_writer import refused_spec, status_of, write_status
from millgate.controller.telemetry import Key, Telemetry
from millgate.evidence.reader import evidence_request
from millgate.kube.api import MODEL_DEPLOYMENT, Json, KubeApi, KubeError
from millgate.kube.events import EventWriter, Note
from millgate.rollout.core import plan
from millgate.rollout.plan import Action, Event, Plan
from millgate.rollout.snapshot import Problem
from millgate.workload.settings import WorkloadSettings

logger = logging.getLogger(__name__)

# None of ServiceAccounts, events of pods and objects of others is watched: they are looked at again while in the way.
_RECHECK_SECONDS = 15.0
_RECHECKED = frozenset({Reason.REF_NOT_FOUND, Reason.REF_NOT_PERMITTED})


class WriteRefusedError(Exception):
    """A write of the plan failed; the status says so. The key is to be tried again with backoff."""


@dataclass(frozen=True)
class Outside:
    """What a reconcile reads from and writes to."""

    api: KubeApi
    resolver: Resolver
    observer: Observer
    events: EventWriter
    telemetry: Telemetry
    settings: WorkloadSettings
    peaks: Peaks = field(default_factory=Peaks)
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))


class Reconciler:
    """Brings one ModelDeployment at a time closer to its spec. Holds nothing that a restart would miss."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._late_failures: dict[Key, Problem] = {}  # of `then`: told by the next reconcile's status

    async def reconcile(self, key: Key) -> float | None:
        """Returns in how many seconds to look again, if time alone may change something.

        Raises KubeError (Conflict: the object changed meanwhile, look again at once) and WriteRefusedError.
        """
        cr = await self._outside.api.get(MODEL_DEPLOYMENT, *key)
        if cr is None or cr["metadata"].get("deletionTimestamp"):
            # Owner references let the garbage collector clean up; there is nothing left to decide.
            self.forget(key)
            return None
        try:
            spec = ModelDeploymentSpec.model_validate(cr["spec"])
        except ValidationError as error:
            await self._refuse(key, cr, error)
            return None
        return await self._bring_about(key, cr, spec)

    def forget(self, key: Key) -> None:
        """The ModelDeployment is gone."""
        self._late_failures.pop(key, None)
        self._outside.resolver.forget(key)
        self._outside.observer.forget(key)
        self._outside.peaks.forget(key)
        self._outside.telemetry.forget(key)

    async def _bring_about(self, key: Key, cr: Json, spec: ModelDeploymentSpec) -> float | None:
        before = status_of(cr)
        uid = cr["metadata"]["uid"]
        target = await self._outside.resolver.target(key, spec, before.resolution)
        visit = Visit.of(uid, before.rollout, spec.rollout)
        late_failure = self._late_failures.get(key)
        observation = await observe(
            self._outside.api,
            cr,
            target=target,
            verdicts=self._outside.observer.verdicts(key, visit),
            write_failure=late_failure,
        )
        planned = plan(observation.snapshot, self._outside.clock())
        failure = await self._perform(planned.actions, observation)
        if failure is not None:
            # Decided again, for the conditions only: the decision outlives the write that failed.
            failed = replace(observation.snapshot, write_failure=failure)
            planned = plan(failed, self._outside.clock())
        await self._store(key, cr, before, planned)
        self._follow(key, uid, spec, planned.status)
        if failure is None:
            failure = await self._perform(planned.then, observation)
            self._remember(key, failure)
        if failure is not None:
            raise WriteRefusedError(failure.message)
        return 0.0 if late_failure is not None else _soonest(planned, observation)

    async def _perform(self, actions: Sequence[Action], observation: Observation) -> Problem | None:
        """In order, up to the first that fails."""
        peak = partial(self._outside.peaks.known, (observation.parent.namespace, observation.parent.name))
        for action in actions:
            kind = type(action).__name__
            try:
                await perform(self._outside.api, action, observation, self._outside.settings, peak)
            except KubeError as error:
                self._outside.telemetry.performed(kind, "error")
                logger.warning(
                    "a write failed",
                    extra={**_about(observation), "action": kind, "reason": error.reason, "error": str(error)},
                )
                return Problem(_reason_of(error), f"{kind}: {error}"[:1024])
            self._outside.telemetry.performed(kind, "success")
        return None

    async def _store(self, key: Key, cr: Json, before: Status, planned: Plan) -> None:
        if await write_status(self._outside.api, cr, planned.status):
            self._outside.telemetry.status_written()
            _log_transition(key, before, planned.status)
        self._outside.telemetry.show(key, planned.status)
        for event in planned.events:
            self._outside.events.write(cr, Note(event.type, event.reason.value, event.message))

    def _follow(self, key: Key, uid: str, spec: ModelDeploymentSpec, status: Status) -> None:
        """Have the evidence of the newest begun step read from now on, if a metric gate asks for any."""
        visit = Visit.of(uid, status.rollout, spec.rollout)
        request = evidence_request(uid, *key, spec, status)
        if visit is None or request is None:
            self._outside.observer.forget(key)
        else:
            self._outside.observer.follow(key, visit, request)

    async def _refuse(self, key: Key, cr: Json, error: ValidationError) -> None:
        before = status_of(cr)
        status = refused_spec(cr, error, self._outside.clock())
        told = () if status == before else (Event("Warning", EventReason.SPEC_REFUSED, explain(error)[:1024]),)
        await self._store(key, cr, before, Plan(actions=(), status=status, events=told))

    def _remember(self, key: Key, failure: Problem | None) -> None:
        if failure is not None:
            self._late_failures[key] = failure
        else:
            self._late_failures.pop(key, None)


def _soonest(planned: Plan, observation: Observation) -> float | None:
    seconds, snapshot = planned.requeue_after_seconds, observation.snapshot
    problem = snapshot.target.problem
    in_the_way = snapshot.conflict is not None or observation.awaits_files
    if in_the_way or (problem is not None and problem.reason in _RECHECKED):
        return min(_RECHECK_SECONDS, seconds if seconds is not None else _RECHECK_SECONDS)
    return seconds


def _reason_of(error: KubeError) -> Reason:
    """Some refusals have a name of their own among the conditions."""
    return Reason(error.reason) if error.reason in set(Reason) else Reason.WRITE_FAILED


def _about(observation: Observation) -> dict[str, str]:
    return {"namespace": observation.parent.namespace, "modelDeployment": observation.parent.name}


def _log_transition(key: Key, before: Status, after: Status) -> None:
    old, new = _stands(before), _stands(after)
    if old != new:
        rollout = after.rollout or before.rollout
        ready = next((condition.reason for condition in after.conditions if condition.type == "Ready"), "")
        logger.info(
            "stage changed",
            extra={
                "namespace": key[0],
                "modelDeployment": key[1],
                "rollout": rollout.id if rollout else "",
                "from": old,
                "to": new,
                "reason": (after.rollout.reason if after.rollout else None) or ready,
            },
        )


def _stands(status: Status) -> str:
    """The stage and, while stepping, the step and whether its evidence counts already."""
    rollout = status.rollout
    if rollout is None:
        return "Idle"
    if rollout.stage is not Stage.STEPPING:
        return rollout.stage.value
    return f"{rollout.stage.value}/{rollout.step_name}{'' if rollout.step_start_time else ' (waiting for pods)'}"
