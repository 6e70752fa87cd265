"""A cluster as data: what the core plans is done at once, pods are ready when they are wanted, and nothing fails.

What the core decides depends on the state, the time and the verdicts alone, so a decision once known is looked up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property

from millgate.api.conditions import ConditionType, Reason
from millgate.api.defaults import gates_of, steps_of
from millgate.api.request import Request, RequestAction
from millgate.api.revision import ModelIdentity, Revision, revision_of
from millgate.api.spec import ComparePreset, Gate, GateType, ModelDeploymentSpec, Statistic
from millgate.api.status import GateStatus, RolloutStatus, Status, Verdict
from millgate.gates.presets import statistic_of
from millgate.rollout.core import plan
from millgate.rollout.plan import (
    Action,
    EnsureBaseline,
    EnsureRevision,
    RemoveBaseline,
    Retire,
    Route,
    RunPreflight,
    Scale,
)
from millgate.rollout.snapshot import JobReport, ObservedRevision, ObservedRoute, Snapshot, Target

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
"""Where the virtual clock starts: any whole second will do."""
NAME = "simulated"
STABLE_VERSION = "stable"
_MAX_ROUNDS = 40


@dataclass(frozen=True)
class Cohort:
    """Pods that became ready at the same time."""

    ready_at: datetime
    pods: int


@dataclass(frozen=True)
class Pods:
    """A revision's Deployment."""

    revision: Revision
    digest: str | None
    cohorts: tuple[Cohort, ...] = ()

    @property
    def count(self) -> int:
        return sum(cohort.pods for cohort in self.cohorts)

    def scaled(self, replicas: int, now: datetime) -> "Pods":
        """With so many pods: new ones are ready at once, and the youngest go first."""
        if replicas == self.count:
            return self
        if replicas > self.count:
            return replace(self, cohorts=(*self.cohorts, Cohort(now, replicas - self.count)))
        kept, left = [], replicas
        for cohort in self.cohorts:
            kept.append(Cohort(cohort.ready_at, min(left, cohort.pods)))
            left -= kept[-1].pods
        return replace(self, cohorts=tuple(cohort for cohort in kept if cohort.pods))


@dataclass(frozen=True, eq=False)
class State:
    """Everything there is once nothing more is to be done. `wake`: when time alone changes something."""

    status: Status = field(default_factory=Status)
    workloads: Mapping[str, Pods] = field(default_factory=dict)
    baselines: Mapping[str, Pods] = field(default_factory=dict)
    route: tuple[str, ...] = ()
    preflight: JobReport | None = None
    wake: datetime | None = None

    @property
    def rollout(self) -> RolloutStatus | None:
        return self.status.rollout

    @cached_property
    def waits_for_a_person(self) -> bool:
        paused = next((c for c in self.status.conditions if c.type == ConditionType.PAUSED), None)
        return paused is not None and paused.status == "True"

    def same_as(self, other: "State") -> bool:
        return (self.status, self.workloads, self.baselines, self.route, self.preflight) == (
            other.status,
            other.workloads,
            other.baselines,
            other.route,
            other.preflight,
        )


@dataclass(eq=False)
class Cluster:
    """The core at work on one spec. `spec` is released from a stable version to the one that it names."""

    spec: ModelDeploymentSpec
    _known: dict[tuple[State, datetime, tuple[tuple[str, str, str, str], ...]], State] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stable = self._revision(STABLE_VERSION, "before")
        self.candidate = self._revision(self.spec.model.version or self.spec.model.alias or "", "now")

    @cached_property
    def opening(self) -> tuple[State, datetime]:
        """The first step with traffic has just begun. Steps without traffic lie behind: their gates passed."""
        now = BEGIN
        state = self._settled(State(), now, (), self.stable)
        for _ in range(_MAX_ROUNDS):
            state = self._settled(state, now, assumed(self.spec, state.rollout), self.candidate)
            if state.rollout is None or state.rollout.traffic_start_time is not None or state.wake is None:
                return state, now
            now = state.wake
        raise RuntimeError("the rollout never gives its candidate traffic")

    def decided(self, state: State, now: datetime, verdicts: Sequence[GateStatus]) -> State:
        """What the core makes of the verdicts, once everything that it asks for is done."""
        key = (state, now, tuple((gate.name, gate.step, gate.verdict, gate.reason) for gate in verdicts))
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self.planned(state, now, verdicts)
        return found

    def planned(self, state: State, now: datetime, verdicts: Sequence[GateStatus]) -> State:
        """As `decided`, by asking the core itself."""
        return self._settled(state, now, verdicts, self.candidate)

    def _revision(self, version: str, source_id: str) -> Revision:
        model = self.spec.model
        identity = ModelIdentity(
            source=model.source, registry=model.registry, name=model.name, version=version, source_id=source_id
        )
        return revision_of(identity, self.spec.server, "simulated")

    def _settled(self, state: State, now: datetime, verdicts: Sequence[GateStatus], wanted: Revision) -> State:
        for round_ in range(_MAX_ROUNDS):
            after = self._once(state, now, verdicts, wanted, round_)
            if after.same_as(state):
                return after
            state = after
        raise RuntimeError(f"the core does not come to rest at {now}")

    def _once(
        self, state: State, now: datetime, verdicts: Sequence[GateStatus], wanted: Revision, round_: int
    ) -> State:
        snapshot = Snapshot(
            name=NAME,
            generation=1,
            spec=self.spec,
            status=state.status,
            target=Target(revision=wanted),
            revisions={hash_: _observed(hash_, pods) for hash_, pods in state.workloads.items()},
            baselines={hash_: _observed(hash_, pods) for hash_, pods in state.baselines.items()},
            route=_observed_route(state),
            request=_approval(state, round_),
            preflight=state.preflight,
            verdicts=tuple(verdicts),
        )
        made = plan(snapshot, now)
        wake = None if made.requeue_after_seconds is None else now + timedelta(seconds=made.requeue_after_seconds)
        after = replace(state, status=made.status, wake=wake)
        for action in (*made.actions, *made.then):
            after = _performed(after, action, now)
        return after


def is_played(gate: Gate) -> bool:
    """The simulation knows what this gate's counters would say. It knows nothing of means and of features."""
    compare = gate.compare
    if gate.type is not GateType.COMPARE or compare is None:
        return False
    return compare.preset is not ComparePreset.FEATURES and statistic_of(compare) is not Statistic.MEAN


def assumed(spec: ModelDeploymentSpec, rollout: RolloutStatus | None) -> tuple[GateStatus, ...]:
    """The verdicts of gates about whose questions a simulation knows nothing: they pass."""
    if rollout is None or not rollout.steps:
        return ()
    name = rollout.steps[-1].name
    step = next((step for step in steps_of(spec.rollout) if step.name == name), None)
    asked = gates_of(spec.rollout, step) if step is not None else ()
    return tuple(
        GateStatus(name=gate.name, step=name, verdict=Verdict.PASS, reason=Reason.WITHIN_BOUNDS)
        for gate in asked
        if gate.type is not GateType.APPROVAL and not is_played(gate)
    )


def _performed(state: State, action: Action, now: datetime) -> State:
    match action:
        case EnsureRevision(revision, digest, replicas):
            pods = state.workloads.get(revision.hash, Pods(revision, digest))
            return replace(state, workloads={**state.workloads, revision.hash: pods.scaled(replicas, now)})
        case EnsureBaseline(revision, digest, replicas):
            pods = state.baselines.get(revision.hash, Pods(revision, digest))
            return replace(state, baselines={**state.baselines, revision.hash: pods.scaled(replicas, now)})
        case RemoveBaseline(hash_):
            return replace(state, baselines={key: pods for key, pods in state.baselines.items() if key != hash_})
        case Scale(hash_, replicas) if hash_ in state.workloads:
            return replace(state, workloads={**state.workloads, hash_: state.workloads[hash_].scaled(replicas, now)})
        case Route(weights):
            return replace(state, route=tuple(sorted(hash_ for hash_, weight in weights if weight > 0)))
        case RunPreflight(revision, _, attempt):
            digest = f"sha256:{revision.hash}"
            return replace(state, preflight=JobReport(exit_code=0, digest=digest, attempt=attempt))
        case Retire(hash_):
            return replace(state, workloads={key: pods for key, pods in state.workloads.items() if key != hash_})
        case _:
            return state


def _observed(hash_: str, pods: Pods) -> ObservedRevision:
    return ObservedRevision(hash_, pods.revision, pods.digest, pods.count, pods.count, pods.count)


def _observed_route(state: State) -> ObservedRoute:
    if len(state.route) == 1:
        return ObservedRoute({state.route[0]: 100})
    serving = {hash_: state.workloads[hash_].count for hash_ in state.route if hash_ in state.workloads}
    fresh = {hash_: state.baselines[hash_].count for hash_ in state.route if hash_ in state.baselines}
    total = sum(serving.values()) + sum(fresh.values())
    shares = {hash_: (pods + fresh.get(hash_, 0)) / total for hash_, pods in serving.items()}
    return ObservedRoute({hash_: max(1, round(100 * share)) for hash_, share in shares.items()})


def _approval(state: State, round_: int) -> Request | None:
    """People are no part of a simulation: where an approval is all that is waited for, it is given."""
    paused = next((c for c in state.status.conditions if c.type == ConditionType.PAUSED), None)
    if paused is None or paused.reason != Reason.AWAITING_APPROVAL or state.rollout is None:
        return None
    return Request(f"{state.rollout.id}-{state.rollout.step_name}-{round_}", RequestAction.PROMOTE, state.rollout.id)
