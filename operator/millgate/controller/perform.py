"""Makes what an action of the plan says hold, with the objects of `workload` and `traffic`. Writes nothing where it
holds already, and never touches an object of somebody else.

What is not there is created: a name that somebody else took in the meantime is a refusal (409), not a takeover. What is
there is patched under its uid, so that the one that was looked at is the one that is changed. A revision's template is
written once; of its Deployment only the number of pods is ever changed, by a merge patch: an apply would have to repeat
the template, and a newer Millgate that renders it differently would restart every model of the cluster.
"""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, assert_never

from millgate.api.conditions import Reason
from millgate.api.names import baseline_hash, baseline_name, gate_job_name, preflight_job_name, workload_name
from millgate.controller.compare import holds
from millgate.controller.observe import PROVIDERS, Observation
from millgate.controller.peaks import Peak, PeakOf, unmeasured
from millgate.controller.pods import is_deleted
from millgate.kube.api import DEPLOYMENT, JOB, SERVICE, Conflict, Kind, KubeApi, KubeError
from millgate.rollout.plan import (
    Action,
    EnsureBaseline,
    EnsureRevision,
    RemoveBaseline,
    Retire,
    Route,
    RunGateJob,
    RunPreflight,
    Scale,
    StopJobs,
)
from millgate.workload.checks import Compared, Pinned, asks_for_peak, check_job
from millgate.workload.jobs import GateVisit, gate_job, preflight_job
from millgate.workload.revision import baseline_deployment, deployment, revision_service
from millgate.workload.settings import UnknownRegistryError, WorkloadSettings

Json = dict[str, Any]


class NameConflict(Conflict):
    """The name is taken by an object of somebody else. `reason` is the one for conditions."""


class RefusedAction(KubeError):  # noqa: N818 - named as what it is
    """Millgate itself cannot make the object. `reason` is the one for conditions."""


async def perform(
    api: KubeApi, action: Action, observation: Observation, settings: WorkloadSettings, peak: PeakOf = unmeasured
) -> None:
    """Raises KubeError; the action holds when it returns, or will when the objects in the way have been deleted, or
    when the peak that a benchmark waits for is known.
    """
    try:
        await _Performer(api, observation, settings, peak).perform(action)
    except UnknownRegistryError as error:
        raise RefusedAction(0, Reason.UNKNOWN_REGISTRY, str(error)) from error


class _Performer:
    def __init__(self, api: KubeApi, observation: Observation, settings: WorkloadSettings, peak: PeakOf) -> None:
        self._api = api
        self._peak = peak
        self._observation = observation
        self._settings = settings
        self._parent = observation.parent

    async def perform(self, action: Action) -> None:  # noqa: C901 - one case an action
        match action:
            case EnsureRevision():
                await self._ensure(action)
            case EnsureBaseline():
                await self._ensure_baseline(action)
            case RemoveBaseline():
                # Not out of sight before its pods are: the next rollout must not count on them, nor send them requests.
                left = self._observation.of_revision(DEPLOYMENT, baseline_hash(action.hash))
                await self._delete(DEPLOYMENT, left, propagation="Foreground")
            case Scale():
                await self._scale(workload_name(self._parent.name, action.hash), action.replicas)
            case Route():
                await self._route(action)
            case RunPreflight():
                await self._run_preflight(action)
            case RunGateJob():
                await self._run_gate(action)
            case StopJobs():
                await self._delete(JOB, self._observation.of_revision(JOB, action.hash))
            case Retire():
                # The Deployment last: a revision is seen by it, so a half-done deletion is done again.
                for kind in (JOB, SERVICE, DEPLOYMENT):
                    await self._delete(kind, self._observation.of_revision(kind, action.hash))
            case _:
                assert_never(action)

    async def _ensure(self, action: EnsureRevision) -> None:
        """The Deployment first: its pods take longest."""
        name = workload_name(self._parent.name, action.revision.hash)
        if self._found(DEPLOYMENT, name) is None:
            revision, digest, fingerprint = action.revision, action.digest, action.fingerprint
            made = deployment(self._parent, revision, digest, action.replicas, self._settings, fingerprint)
            await self._create(DEPLOYMENT, made)
        else:
            await self._scale(name, action.replicas)
        await self._put(SERVICE, revision_service(self._parent, action.revision.hash))

    async def _ensure_baseline(self, action: EnsureBaseline) -> None:
        name = baseline_name(self._parent.name, action.revision.hash)
        if self._found(DEPLOYMENT, name) is None:
            made = baseline_deployment(self._parent, action.revision, action.digest, action.replicas, self._settings)
            await self._create(DEPLOYMENT, made)
        else:
            await self._scale(name, action.replicas)

    async def _scale(self, name: str, replicas: int) -> None:
        """A Deployment that was not observed is not there, has just been created with its size, or is not ours."""
        found = self._found(DEPLOYMENT, name)
        if found is None or found["spec"].get("replicas") == replicas:
            return
        patch = {"metadata": {"uid": found["metadata"]["uid"]}, "spec": {"replicas": replicas}}
        await self._api.patch(DEPLOYMENT, self._parent.namespace, name, patch)

    async def _route(self, action: Route) -> None:
        """One request, with nothing read before it: the way back from a bad candidate must be short."""
        provider = PROVIDERS[self._observation.snapshot.spec.traffic.type]
        route = provider.render(self._parent.name, dict(action.weights))
        await self._put(SERVICE, route | {"metadata": self._parent.metadata(route["metadata"]["name"], {})})

    async def _run_preflight(self, action: RunPreflight) -> None:
        name = preflight_job_name(self._parent.name, action.revision.hash, action.attempt)
        if self._found(JOB, name) is None:
            await self._create(
                JOB, preflight_job(self._parent, action.revision, action.digest, action.attempt, self._settings)
            )

    async def _run_gate(self, action: RunGateJob) -> None:
        gate, parent = action.gate, self._parent
        name = gate_job_name(parent.name, action.revision.hash, gate.name, action.step, action.visit)
        if gate.job is None or self._found(JOB, name) is not None:
            return
        asked = GateVisit(gate.name, gate.job, action.step, action.visit)
        if gate.job.preset is None:
            await self._create(JOB, gate_job(parent, action.revision, action.stable_hash, asked))
            return
        peak = self._peak(action.visit) if asks_for_peak(gate.job) else Peak()
        if peak is not None:
            stable = Pinned(action.stable, action.stable_digest) if action.stable is not None else None
            compared = Compared(Pinned(action.revision, action.digest), stable)
            await self._create(JOB, check_job(parent, compared, asked, self._settings, peak.requests_per_second))

    async def _put(self, kind: Kind, wanted: Json) -> None:
        """Create or server-side apply."""
        found = self._found(kind, wanted["metadata"]["name"])
        if found is None:
            await self._create(kind, wanted)
        elif not holds(wanted, found):
            same = {**wanted["metadata"], "uid": found["metadata"]["uid"]}
            await self._api.apply(kind, wanted | {"metadata": same})

    async def _create(self, kind: Kind, obj: Json) -> None:
        try:
            await self._api.create(kind, obj)
        except Conflict as error:
            found = await self._api.get(kind, self._parent.namespace, obj["metadata"]["name"])
            if found is None or self._parent.owns(found):
                raise  # what was observed is out of date: the next look will tell
            message = f"{kind.kind} {obj['metadata']['name']} belongs to somebody else"
            raise NameConflict(HTTPStatus.CONFLICT, Reason.NAME_CONFLICT, message) from error

    async def _delete(self, kind: Kind, objects: Sequence[Json], *, propagation: str = "Background") -> None:
        namespace = self._parent.namespace
        await asyncio.gather(
            *(
                self._api.delete(
                    kind, namespace, obj["metadata"]["name"], uid=obj["metadata"]["uid"], propagation=propagation
                )
                for obj in objects
                if not is_deleted(obj)
            )
        )

    def _found(self, kind: Kind, name: str) -> Json | None:
        """Also one that is being deleted: it is in the way, and its end wakes this ModelDeployment again."""
        return self._observation.objects.get((kind, name))
