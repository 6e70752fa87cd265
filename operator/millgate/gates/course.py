"""The course of a rollout's Compare gates: what each has learnt so far, and what it makes of the next counters.

A course holds no samples and only grows with the number of steps. Begun anew from the anchor and fed the same counters,
it arrives at the same figures: nothing in it depends on when or in how many readings they came.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from millgate.api.conditions import Reason
from millgate.api.defaults import max_ratio_of
from millgate.api.spec import Compare
from millgate.api.status import GateStatus, Verdict
from millgate.gates.compare import CompareTest, Evidence, TrafficStep, fold, judge
from millgate.gates.counters import CounterSeries, Measure, intervals
from millgate.gates.eprocess import dispersion
from millgate.gates.grid import Grid
from millgate.gates.latency import HISTORY_SECONDS, Bound, first_bound
from millgate.gates.presets import described, measure_of, needs_bound, quantile_of


@dataclass(frozen=True)
class CompareCourse:
    """One Compare gate. `dispersion` is None until stable's hour before the rollout has been read."""

    name: str
    compare: Compare
    alpha: float
    bound: Bound | None = None
    dispersion: float | None = None
    evidence: Evidence = field(default_factory=Evidence)

    @property
    def measure(self) -> Measure | None:
        return measure_of(self.compare, self.bound)

    @property
    def test(self) -> CompareTest:
        return CompareTest(
            name=self.name,
            alpha=self.alpha,
            max_ratio=max_ratio_of(self.compare),
            min_samples=self.compare.min_samples,
            described=described(self.compare, self.bound),
            dispersion=1.0 if self.dispersion is None else self.dispersion,
        )

    @property
    def lacks_bound(self) -> bool:
        return needs_bound(self.compare) and self.bound is None

    def position(self, grid: Grid) -> int:
        """The point of the grid (Unix seconds) from which on its counters are still to be read."""
        if self.evidence.read_until_seconds is not None:
            return self.evidence.read_until_seconds
        return grid.anchor_seconds if self.bound is None else max(grid.anchor_seconds, self.bound.known_at_seconds)


@dataclass(frozen=True)
class Course:
    """All Compare gates of one rollout. `candidate` and `stable` are revision hashes."""

    rollout_id: str
    candidate: str
    stable: str
    grid: Grid
    steps: tuple[TrafficStep, ...]
    gates: tuple[CompareCourse, ...]
    bounds_searched_until: int | None = None

    def continued(self, newer: "Course") -> "Course":
        """What this course has learnt, carried over to what is asked now; `newer` itself where it does not apply.

        A step that began before something already folded was not known at that time, so all is read again.
        """
        begun = len(self.steps)
        read_until = max(gate.position(self.grid) for gate in self.gates)
        late = any(step.start_seconds <= read_until for step in newer.steps[begun:])
        same = replace(newer, steps=newer.steps[:begun], bounds_searched_until=self.bounds_searched_until) == replace(
            self, gates=tuple(CompareCourse(gate.name, gate.compare, gate.alpha) for gate in self.gates)
        )
        return replace(self, steps=newer.steps) if same and not late else newer

    def history_points(self) -> range:
        """The grid, carried on backwards over the hour before the rollout."""
        grid = self.grid
        first = grid.anchor_seconds - HISTORY_SECONDS // grid.interval_seconds * grid.interval_seconds
        return grid.points(first, grid.anchor_seconds)

    def with_bounds(self, buckets: Iterable[CounterSeries], searched_until: int) -> "Course":
        """The latency bounds, from stable's requests of the hour before each point, by bucket."""
        by_point: dict[int, list[tuple[str, float]]] = {}
        for series in buckets:
            for time, count in series.samples:
                by_point.setdefault(round(time), []).append((series.labels.get("le", ""), count))
        points = list(by_point.items())
        gates = tuple(
            replace(gate, bound=first_bound(points, quantile_of(gate.compare))) if gate.lacks_bound else gate
            for gate in self.gates
        )
        return replace(self, gates=gates, bounds_searched_until=searched_until)

    def with_dispersion(self, history: Sequence[CounterSeries], measures: Mapping[str, Measure]) -> "Course":
        """How much the events of the gates in `measures` scatter, from stable's hour before the rollout."""
        points = self.history_points()
        gates = list(self.gates)
        for index, gate in enumerate(gates):
            if gate.name not in measures:
                continue
            past = intervals(history, measures[gate.name], points, candidate="", stable=self.stable)
            seen = [(one.stable.requests, one.stable.events) for one in past if one.stable is not None]
            gates[index] = replace(gate, dispersion=dispersion(seen))
        return replace(self, gates=tuple(gates))

    def folded(self, series: Sequence[CounterSeries], points: range) -> "Course":
        """With the counters at `points`, neighbours on the grid. Each gate takes what it has not seen yet."""
        return replace(self, gates=tuple(self._fold_one(gate, series, points) for gate in self.gates))

    def _fold_one(self, gate: CompareCourse, series: Sequence[CounterSeries], points: range) -> CompareCourse:
        measure = gate.measure
        if measure is None:
            return gate
        evidence, test, position = gate.evidence, gate.test, gate.position(self.grid)
        unread = [point for point in points if point >= position]
        for interval in intervals(series, measure, unread, candidate=self.candidate, stable=self.stable):
            evidence = fold(evidence, test, self.steps, interval)
        return replace(gate, evidence=evidence)

    def verdicts(self, at: datetime) -> tuple[GateStatus, ...]:
        """The newest verdict of each gate, for the step in hand: the last of `steps`."""
        return tuple(self._verdict(gate, at) for gate in self.gates)

    def _verdict(self, gate: CompareCourse, at: datetime) -> GateStatus:
        if gate.lacks_bound and self.bounds_searched_until is not None:
            quantile = quantile_of(gate.compare)
            return GateStatus(
                name=gate.name,
                step=self.steps[-1].name,
                verdict=Verdict.INCONCLUSIVE,
                reason=Reason.NO_DATA,
                message=f"stable has answered too few requests in an hour to know its {quantile:g} quantile",
                last_check_time=at,
            )
        return judge(gate.evidence, gate.test, self.steps)
