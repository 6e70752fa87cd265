"""The course of a rollout's Compare gates: what each has learnt so far, and what it makes of the next counters.

A course holds no samples and only grows with the number of steps. Begun anew from the anchor and fed the same counters,
it arrives at the same figures: nothing in it depends on when or in how many readings they came.
"""

from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime

from millgate.api.conditions import Reason
from millgate.api.spec import Reference
from millgate.api.status import GateStatus, Verdict
from millgate.gates.compare import TrafficStep, judge
from millgate.gates.counters import TAG, Answer, CounterSeries, Owner
from millgate.gates.gate_course import CompareCourse
from millgate.gates.grid import Grid
from millgate.gates.latency import HISTORY_SECONDS, first_bound
from millgate.gates.presets import quantile_of


@dataclass(frozen=True)
class Course:
    """All Compare gates of one rollout. `candidate` and `stable` are revision hashes, `name` the ModelDeployment's."""

    rollout_id: str
    candidate: str
    stable: str
    grid: Grid
    steps: tuple[TrafficStep, ...]
    gates: tuple[CompareCourse, ...]
    bounds_searched_until: int | None = None
    name: str = ""

    def continued(self, newer: "Course") -> "Course":
        """What this course has learnt, carried over to what is asked now; `newer` itself where it does not apply.

        A step that began before something already folded was not known at that time, so all is read again.
        """
        begun = len(self.steps)
        read_until = max(gate.position(self.grid, self.steps) for gate in self.gates)
        late = any(step.start_seconds <= read_until for step in newer.steps[begun:])
        same = replace(newer, steps=newer.steps[:begun], bounds_searched_until=self.bounds_searched_until) == replace(
            self, gates=tuple(gate.begun_anew() for gate in self.gates)
        )
        return replace(self, steps=newer.steps) if same and not late else newer

    @property
    def owners(self) -> tuple[Owner, ...]:
        """The revisions whose counters the gates read."""
        hashes = dict.fromkeys((self.candidate, *(self._reference(gate) for gate in self.gates)))
        return tuple(self._owner(one) for one in hashes)

    @property
    def past_owner(self) -> Owner:
        """The revision whose last hour counts."""
        return self._owner(self.stable)

    def _owner(self, revision: str) -> Owner:
        return Owner(revision, f"{self.name}-{revision}")

    def _reference(self, gate: CompareCourse) -> str:
        return f"{self.stable}-baseline" if gate.compare.reference is Reference.BASELINE else self.stable

    def past_of(self, gate: CompareCourse) -> range:
        """The hour of stable that the gate knows before it begins: the grid, carried on backwards where need be."""
        grid, until = self.grid, gate.past_until(self.grid, self.steps)
        return grid.points(until - HISTORY_SECONDS // grid.interval_seconds * grid.interval_seconds, until)

    def with_bounds(self, buckets: Iterable[CounterSeries], searched_until: int) -> "Course":
        """The bounds of what is compared above a quantile, from stable's hour before each point, by bucket."""
        by_tag: dict[str, dict[int, list[tuple[str, float]]]] = {}
        for series in buckets:
            points = by_tag.setdefault(series.labels.get(TAG, ""), {})
            for time, count in series.samples:
                points.setdefault(round(time), []).append((series.labels.get("le", ""), count))
        gates = []
        for gate in self.gates:
            found = [item for tag in gate.bound_tags for item in by_tag.get(tag, {}).items()]
            bound = first_bound(found, quantile_of(gate.compare)) if gate.lacks_bound else gate.bound
            gates.append(replace(gate, bound=bound))
        return replace(self, gates=tuple(gates), bounds_searched_until=searched_until)

    def with_past(self, history: Sequence[CounterSeries], names: Set[str] | None = None) -> "Course":
        """What stable's last hour tells of the gates named, or of all, that do not know it yet."""
        answer = Answer(history)

        def told(gate: CompareCourse) -> CompareCourse:
            return gate.with_past(answer, self.past_of(gate), self.past_owner) if gate.lacks_past else gate

        return self._each(told, names)

    def folded(self, series: Sequence[CounterSeries], points: range, names: Set[str] | None = None) -> "Course":
        """With the counters at `points`, neighbours on the grid. Each gate named takes what it has not seen yet."""
        answer, candidate = Answer(series), self._owner(self.candidate)

        def told(gate: CompareCourse) -> CompareCourse:
            owners = (candidate, self._owner(self._reference(gate)))
            return gate.folded(answer, points, self.grid, self.steps, owners)

        return self._each(told, names)

    def _each(self, told: Callable[[CompareCourse], CompareCourse], names: Set[str] | None) -> "Course":
        gates = (told(gate) if names is None or gate.name in names else gate for gate in self.gates)
        return replace(self, gates=tuple(gates))

    def verdicts(self, at: datetime) -> tuple[GateStatus, ...]:
        """The newest verdict of each gate, for the step in hand: the last of `steps`."""
        return tuple(self._verdict(gate, at) for gate in self.gates)

    def _verdict(self, gate: CompareCourse, at: datetime) -> GateStatus:
        if gate.refused is not None:
            return self._unable(gate, Reason.QUERY_REFUSED, gate.refused, at)
        if gate.lacks_bound and self.bounds_searched_until is not None:
            quantile = quantile_of(gate.compare)
            said = f"stable has answered too few requests in an hour to know its {quantile:g} quantile"
            return self._unable(gate, Reason.NO_DATA, said, at)
        if gate.past_is_empty:
            said = "nothing is known of stable's last hour, so there is nothing to compare with"
            return self._unable(gate, Reason.NO_DATA, said, at)
        return judge(gate.evidence, gate.test, self.steps[gate.first_step :])

    def _unable(self, gate: CompareCourse, reason: Reason, message: str, at: datetime) -> GateStatus:
        return GateStatus(
            name=gate.name,
            step=self.steps[-1].name,
            verdict=Verdict.INCONCLUSIVE,
            reason=reason,
            message=message,
            alpha=f"{gate.alpha:.4g}",
            last_check_time=at,
        )
