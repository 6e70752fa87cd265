"""One simulated rollout, from its first request to its end: promoted, taken back, or held for a person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from random import Random

from millgate.api.defaults import guardrails_of, steps_of
from millgate.api.spec import ModelDeploymentSpec, Rollout
from millgate.api.status import GateStatus, Stage
from millgate.gates.grid import SETTLE_SECONDS, Grid, grid_from
from millgate.rollout.steps import index_in
from millgate.simulate.candidates import Candidate
from millgate.simulate.cluster import Cluster, State, assumed
from millgate.simulate.judges import Judges
from millgate.simulate.questions import Asked, detail_of, questions
from millgate.simulate.scene import Flow, Sample, Scene
from millgate.simulate.traffic import Traffic


class Ending(StrEnum):
    PROMOTED = "Promoted"
    ROLLED_BACK = "RolledBack"
    HELD = "Held"


@dataclass(frozen=True)
class Look:
    """What could be seen at a point of the grid, in seconds from the first request on."""

    seconds: float
    share: float
    step: str
    evidence: Mapping[str, float]


@dataclass(frozen=True)
class Outcome:
    """How a rollout ended, and when: in seconds from the first request to the promotion, the rollback or the question.

    `bad_requests`: how many more bad answers users got than stable would have given. `gates`: those that failed.
    """

    ending: Ending
    seconds: float
    bad_requests: float
    gates: tuple[str, ...] = ()
    looks: tuple[Look, ...] = ()


@dataclass(eq=False)
class Theatre:
    """Plays rollouts of one spec on one kind of traffic, as many as one likes; what they share is worked out once.

    `thorough`: the core is asked, and every gate judged, at every look. Otherwise only when that can change something:
    when a gate has failed, when the step's time is over, and when the core itself said that it wanted to be asked.
    """

    spec: ModelDeploymentSpec
    traffic: Traffic
    thorough: bool = False
    _scenes: dict[Candidate, Scene] = field(default_factory=dict)
    _due: dict[State, datetime | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cluster = Cluster(self.spec)
        self.opening, self.began = self.cluster.opening
        self.grid = grid_from(self.began, self.spec.rollout.interval_seconds)
        self.compared_seconds = compared_seconds(self.spec)
        self.asked = questions(self.spec.rollout)
        self.detail = detail_of(self.asked)
        self.watched_seconds = watched_seconds(self.spec.rollout, self.asked)

    def due(self, state: State) -> datetime | None:
        """When the planned time of the step in hand is over; None while no step is open."""
        if state not in self._due:
            self._due[state] = self._due_of(state)
        return self._due[state]

    def _due_of(self, state: State) -> datetime | None:
        rollout = state.rollout
        if rollout is None or rollout.stage is not Stage.STEPPING or rollout.step_start_time is None:
            return None
        steps = steps_of(self.spec.rollout)
        return rollout.step_start_time + timedelta(seconds=steps[index_in(steps, rollout)].min_seconds)

    def play(self, candidate: Candidate, random: Random, *, watched: bool = False) -> Outcome:
        """One rollout of this candidate. `watched`: the outcome tells what each look showed."""
        return _Rollout(self, self.scene(candidate), random, watched=watched).played()

    def scene(self, candidate: Candidate) -> Scene:
        found = self._scenes.get(candidate)
        if found is None:
            began = self.began.timestamp()
            found = self._scenes[candidate] = Scene(
                self.cluster, self.traffic, candidate, self.compared_seconds, began, self.detail
            )
        return found


def compared_seconds(spec: ModelDeploymentSpec) -> float:
    """How long the policy plans to send requests to both revisions; ten minutes where it never does."""
    planned = sum(step.min_seconds for step in steps_of(spec.rollout) if 0 < step.weight_percent < 100)
    return float(planned or 600)


def watched_seconds(rollout: Rollout, asked: Asked) -> int:
    """How long after promotion the guardrails are judged on, while the way back is warm."""
    guardrails = {gate.name for gate in guardrails_of(rollout)}
    return rollout.keep_warm_seconds if any(one.name in guardrails for one in asked[-1]) else 0


class _Rollout:
    """The virtual clock of one rollout."""

    def __init__(self, theatre: Theatre, scene: Scene, random: Random, *, watched: bool) -> None:
        self._theatre, self._scene, self._random, self._watched = theatre, scene, random, watched
        self._cluster: Cluster = theatre.cluster
        self._grid: Grid = theatre.grid
        self._began = theatre.began.timestamp()
        self._state: State = theatre.opening
        self._now: datetime = theatre.began
        self._pieces: list[tuple[float, Flow]] = [(self._began, scene.flow(theatre.opening))]
        self._sampled_until = float(theatre.grid.anchor_seconds)
        self._bad_requests = 0.0
        self._looks: list[Look] = []
        self._promoted_at: float | None = None
        rollout = theatre.spec.rollout
        self._judges = Judges(rollout, theatre.asked, self._grid, scene.past_buckets(random), scene.shipped())
        self._judges.remember(scene.past(random, rollout.interval_seconds, self._judges.bounds))

    def played(self) -> Outcome:
        point = self._grid.anchor_seconds
        failed: tuple[str, ...] = ()
        while True:
            ended = self._ended()
            if ended is not None:
                return ended
            look = datetime.fromtimestamp(point + SETTLE_SECONDS, UTC)
            wake = self._state.wake
            if wake is not None and wake < look:
                self._now = wake
                self._ask()
                continue
            self._now = look
            self._look(point)
            point += self._grid.interval_seconds
            worse = self._judges.failed != failed
            failed = self._judges.failed
            if self._theatre.thorough or worse or self._is_due():
                self._ask()

    def _is_due(self) -> bool:
        """The step's time is over: from now on every verdict counts. Before, only a failed gate changes anything."""
        due = self._theatre.due(self._state)
        return due is not None and self._now >= due

    def _ask(self) -> None:
        before = self._state
        verdicts = self._verdicts()
        decide = self._cluster.planned if self._theatre.thorough else self._cluster.decided
        self._state = decide(before, self._now, verdicts)
        if self._state.route != before.route or self._state.workloads != before.workloads:
            self._pieces.append((self._now.timestamp(), self._scene.flow(self._state)))

    def _verdicts(self) -> tuple[GateStatus, ...]:
        judged = self._judges.verdicts(self._now, promoted=self._promoted_at is not None)
        return (*judged, *assumed(self._theatre.spec, self._state.rollout))

    def _look(self, point: int) -> None:
        sample = self._sample(float(point)) if point > self._sampled_until else None
        steps = self._state.rollout.steps if self._state.rollout else ()
        self._judges.look(sample, steps)
        if self._watched and steps:
            share = self._scene.flow(self._state).share
            self._looks.append(Look(point - self._began, share, steps[-1].name, self._judges.progress))

    def _sample(self, until: float) -> Sample:
        """What was answered since the last sample."""
        if len(self._pieces) == 1:
            pieces = [(self._sampled_until, until, self._pieces[0][1])]
            return self._drawn(pieces, until)
        ends = [*(start for start, _ in self._pieces[1:] if start < until), until]
        starts = [self._sampled_until, *ends[:-1]]
        flows = [flow for start, flow in self._pieces if start < until]
        self._pieces = [(until, flows[-1]), *(piece for piece in self._pieces if piece[0] >= until)]
        return self._drawn(list(zip(starts, ends, flows, strict=True)), until)

    def _drawn(self, pieces: Sequence[tuple[float, float, Flow]], until: float) -> Sample:
        drawn = self._scene.draw(self._random, pieces, self._judges.bounds)
        self._sampled_until = until
        self._bad_requests += drawn.harmed
        return drawn

    def _ended(self) -> Outcome | None:
        status = self._state.status
        promoted = status.stable is not None and status.stable.hash == self._cluster.candidate.hash
        if status.rollout is None:
            return self._outcome(Ending.PROMOTED if promoted else Ending.ROLLED_BACK)
        if status.rollout.stage is Stage.ROLLING_BACK:
            return self._outcome(Ending.ROLLED_BACK)
        if self._state.waits_for_a_person:
            return self._outcome(Ending.HELD)
        if promoted:
            self._promoted_at = self._promoted_at or self._now.timestamp()
            return None if self._theatre.watched_seconds > 0 else self._outcome(Ending.PROMOTED)
        return None

    def _outcome(self, ending: Ending) -> Outcome:
        now = self._now.timestamp()
        if now > self._sampled_until:
            self._sample(now)
        stayed = ending is Ending.PROMOTED and self._promoted_at is not None
        at = self._promoted_at if stayed and self._promoted_at is not None else now
        gates = () if ending is Ending.PROMOTED else self._judges.failed
        return Outcome(ending, at - self._began, self._bad_requests, gates, tuple(self._looks))
