"""Reads the evidence of rollouts in flight and gives the newest verdict of each Compare and Query gate.

What was folded is kept in memory only. A fresh process reads it again from the anchor and reaches the same verdicts,
since every reading is of the same grid with explicit times (`millgate.gates.grid`).
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from millgate.api.conditions import Reason
from millgate.api.defaults import alpha_of, gates_of, guardrails_of, steps_of
from millgate.api.spec import Compare, Gate, GateType, ModelDeploymentSpec, Query, Rollout, Step
from millgate.api.status import GateStatus, RolloutStatus, Stage, Status, StepRecord, Verdict
from millgate.evidence.query_reading import QueryReading, QuestionKey
from millgate.evidence.reading import Metrics, Reading
from millgate.gates.compare import TrafficStep
from millgate.gates.course import Course
from millgate.gates.gate_course import CompareCourse
from millgate.gates.grid import Grid, grid_from
from millgate.gates.promql import Names, QueryRefusedError, prepare
from millgate.gates.query import judge_readings
from millgate.gates.selectors import checked
from millgate.sources.prometheus import MetricsError

MAX_COURSES = 4096
"""Courses kept in memory, far above the rollouts of a cluster; one that was dropped is read again from its anchor."""


@dataclass(frozen=True)
class EvidenceRequest:
    """What is to be judged: the newest step that has begun, of the rollout in `status`.

    It must be as new as the `now` it is judged at: a step that began in between would count as part of the one before.
    """

    uid: str
    namespace: str
    name: str
    rollout: RolloutStatus
    candidate: str
    stable: str
    policy: Rollout

    @property
    def step(self) -> StepRecord:
        return self.rollout.steps[-1]

    @property
    def gates(self) -> tuple[Gate, ...]:
        """The Compare and Query gates of the step; after promotion only the guardrails are still asked."""
        asked = self._asked_at(self.step)
        if self.rollout.stage is Stage.STEPPING:
            return asked
        guardrails = {gate.name for gate in guardrails_of(self.policy)}
        return tuple(gate for gate in asked if gate.name in guardrails)

    @property
    def traffic_steps(self) -> tuple[StepRecord, ...]:
        """The steps that have begun and in which the candidate has traffic."""
        return tuple(step for step in self.rollout.steps if step.weight_percent > 0)

    def first_step_of(self, gate: Gate) -> int:
        """The first of `traffic_steps` from which on this very question was asked without a break.

        A gate that changes its reference (at 100 there is no stable to compare with) begins a new evidence then.
        """
        steps = self.traffic_steps
        broken = (index for index in reversed(range(len(steps))) if gate not in self._asked_at(steps[index]))
        return next(broken, -1) + 1

    def _asked_at(self, record: StepRecord) -> tuple[Gate, ...]:
        named = next((step for step in steps_of(self.policy) if step.name == record.name), None)
        step = named or Step(name=record.name, weight_percent=record.weight_percent)
        # A weight that was edited since holds from the next step on.
        began = step.model_copy(update={"weight_percent": record.weight_percent})
        return tuple(gate for gate in gates_of(self.policy, began) if gate.type in (GateType.COMPARE, GateType.QUERY))

    @property
    def grid(self) -> Grid:
        """Anchored at the first step with traffic; at the step in hand while there is none."""
        first = next((step for step in self.rollout.steps if step.weight_percent > 0), self.step)
        return grid_from(first.start_time, self.policy.interval_seconds)

    def points_of_step(self, now: datetime) -> range:
        """The points of the grid (Unix seconds) at which a Query of the step in hand is read, up to `now`."""
        grid, newest = self.grid, self.grid.newest(now)
        earliest = self.step.start_time.timestamp() + grid.interval_seconds
        first = grid.anchor_seconds
        first += max(0, math.ceil((earliest - first) / grid.interval_seconds)) * grid.interval_seconds
        return range(0) if newest is None else grid.points(first, newest)

    def next_look(self, now: datetime) -> datetime:
        """When there is something new to read: after the next point of the grid."""
        return datetime.fromtimestamp(self.grid.next_look(now), UTC)


def evidence_request(
    uid: str, namespace: str, name: str, spec: ModelDeploymentSpec, status: Status
) -> EvidenceRequest | None:
    """What is to be judged now; None when no step has begun or none of its gates reads metrics."""
    rollout = status.rollout
    if rollout is None or not rollout.steps or rollout.stage not in (Stage.STEPPING, Stage.PROMOTING):
        return None
    # Promotion swaps roles: the candidate has become stable, and what was stable is the warm one before it.
    swapped = rollout.stage is Stage.PROMOTING
    candidate, stable = (status.stable, status.previous) if swapped else (status.candidate, status.stable)
    if candidate is None or stable is None:
        return None  # the first revision is asked no gates
    request = EvidenceRequest(
        uid=uid,
        namespace=namespace,
        name=name,
        rollout=rollout,
        candidate=candidate.hash,
        stable=stable.hash,
        policy=spec.rollout,
    )
    return request if request.gates else None


class EvidenceReader:
    """Judges by what one Prometheus says. `scrape_interval_seconds`: how often that one scrapes the model's pods.

    A sample counts as fresh for two intervals, of reading or of scraping, whichever is longer (facts/gates.md 7.3).
    """

    def __init__(self, metrics: Metrics | None, *, scrape_interval_seconds: float = 30.0) -> None:
        self._metrics = metrics
        self._queries = None if metrics is None else QueryReading(metrics)
        self._scrape_interval_seconds = scrape_interval_seconds
        self._courses: OrderedDict[str, Course] = OrderedDict()

    async def judge(self, request: EvidenceRequest, now: datetime) -> tuple[GateStatus, ...]:
        """The newest verdict of each gate of the request. What cannot be read is Inconclusive, with the reason."""
        compares = [gate for gate in request.gates if gate.type is GateType.COMPARE]
        queries = [(gate, gate.query) for gate in request.gates if gate.query is not None]
        numbers = asyncio.gather(*(self._query(request, gate, query, now) for gate, query in queries))
        compared, asked = await asyncio.gather(self._compare(request, compares, now), numbers)
        found = {status.name: status for status in (*compared, *asked)}
        return tuple(found[gate.name] for gate in request.gates)

    def course(self, uid: str) -> Course | None:
        """What has been learnt of a rollout so far."""
        return self._courses.get(uid)

    def forget(self, uid: str) -> None:
        """The rollout has ended, or its ModelDeployment is gone."""
        self._courses.pop(uid, None)
        if self._queries is not None:
            self._queries.forget(uid)

    async def _compare(self, request: EvidenceRequest, gates: Sequence[Gate], now: datetime) -> tuple[GateStatus, ...]:
        if not gates:
            return ()
        if self._metrics is None:
            problem = (Reason.METRICS_NOT_CONFIGURED, "the operator's configuration names no Prometheus")
            return tuple(_cannot_tell(gate.name, request.step.name, *problem, now) for gate in gates)
        asked = _course(request, gates)
        course = self._courses[request.uid].continued(asked) if request.uid in self._courses else asked
        reading = Reading(self._metrics, request.namespace, self._fresh_seconds(request.policy), course)
        failure: MetricsError | None = None
        try:
            await reading.up_to(course.grid.newest(now))
        except MetricsError as error:
            failure = error
        self._keep(request.uid, reading.course)
        verdicts = reading.course.verdicts(now)
        troubled = ((one, failure or reading.refused.get(one.name)) for one in verdicts)
        return tuple(one if trouble is None else _unless_failed(one, trouble, now) for one, trouble in troubled)

    async def _query(self, request: EvidenceRequest, gate: Gate, query: Query, now: datetime) -> GateStatus:
        step, policy = request.step, request.policy
        if self._queries is None:
            message = "the operator's configuration names no Prometheus"
            return _cannot_tell(gate.name, step.name, Reason.METRICS_NOT_CONFIGURED, message, now)
        names = Names(request.namespace, request.name, request.candidate, request.stable)
        points = request.points_of_step(now)
        try:
            promql = prepare(query.promql, names)
            if not points:
                return _pending(gate.name, step.name)
            key = QuestionKey(request.uid, gate.name, promql, points[0])
            readings = await self._queries.newest_first(key, query, points, self._fresh_seconds(policy))
        except QueryRefusedError as error:
            return _cannot_tell(gate.name, step.name, Reason.QUERY_REFUSED, str(error), now)
        except MetricsError as error:
            return _cannot_tell(gate.name, step.name, error.reason, error.message, now)
        at = datetime.fromtimestamp(points[-1], UTC)
        return judge_readings(gate.name, step.name, query, readings, at)

    def _fresh_seconds(self, policy: Rollout) -> int:
        return round(2 * max(policy.interval_seconds, self._scrape_interval_seconds))

    def _keep(self, uid: str, course: Course) -> None:
        self._courses[uid] = course
        self._courses.move_to_end(uid)
        if len(self._courses) > MAX_COURSES:
            self._courses.popitem(last=False)


def _course(request: EvidenceRequest, gates: Sequence[Gate]) -> Course:
    """The course as it begins: all that is asked, and nothing known."""
    alpha, steps = alpha_of(request.policy), request.traffic_steps
    return Course(
        rollout_id=request.rollout.id,
        candidate=request.candidate,
        stable=request.stable,
        grid=request.grid,
        steps=tuple(TrafficStep(step.name, step.start_time.timestamp(), step.weight_percent / 100) for step in steps),
        gates=tuple(
            CompareCourse(gate.name, compare, alpha, request.first_step_of(gate), _refusal(compare))
            for gate in gates
            if (compare := gate.compare) is not None
        ),
        name=request.name,
    )


def _refusal(compare: Compare) -> str | None:
    """Why the metrics that a user names may not be asked for; None where they may."""
    try:
        for selector in (compare.numerator, compare.denominator, compare.histogram):
            if selector is not None:
                checked(selector)
    except QueryRefusedError as error:
        return str(error)
    return None


def _pending(name: str, step: str) -> GateStatus:
    return GateStatus(
        name=name, step=step, verdict=Verdict.PENDING, reason=Reason.PENDING, message="the first look is yet to come"
    )


def _cannot_tell(name: str, step: str, reason: Reason, message: str, now: datetime) -> GateStatus:
    return GateStatus(
        name=name,
        step=step,
        verdict=Verdict.INCONCLUSIVE,
        reason=reason,
        message=message[:1024],
        last_check_time=now,
    )


def _unless_failed(verdict: GateStatus, failure: MetricsError, now: datetime) -> GateStatus:
    """Evidence that has crossed stands; anything else cannot be told while Prometheus cannot be read."""
    if verdict.verdict is Verdict.FAIL:
        return verdict
    unknown = {"verdict": Verdict.INCONCLUSIVE, "reason": failure.reason, "message": failure.message[:1024]}
    return verdict.model_copy(update={**unknown, "last_check_time": now})
