"""The course of one Compare gate: what it has to know before it can judge, and what it has learnt since."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from millgate.api.spec import Compare, Reference, Statistic
from millgate.gates.asking import NO_PAST, Asked, Past, test_of
from millgate.gates.compare import Evidence, Test, TrafficStep, fold
from millgate.gates.counters import NO_PODS, NOTHING, Answer, Arm, Owner, Seen, Table
from millgate.gates.eprocess import dispersion
from millgate.gates.grid import Grid
from millgate.gates.latency import Bound
from millgate.gates.measures import SegmentMeasure
from millgate.gates.presets import (
    Reads,
    Wanted,
    needs_bound,
    reads_of,
    statistic_of,
    training_of,
    wanted_by,
)
from millgate.gates.segments import chosen
from millgate.gates.shapes import ShapeMeasure, Shapes

PRESET_BOUND_TAGS = ("", "latency")


@dataclass(frozen=True)
class CompareCourse:
    """One Compare gate. `past` is None until stable's last hour has been read.

    `first_step`: the step (by index) with which it begins; what happened before is another gate's business.
    """

    name: str
    compare: Compare
    alpha: float
    first_step: int = 0
    refused: str | None = None
    bound: Bound | None = None
    past: Past | None = None
    shipped: Shapes | None = None
    seen: Seen = field(default_factory=lambda: NO_PODS)
    evidence: Evidence[Any] = field(default_factory=Evidence)

    def begun_anew(self) -> "CompareCourse":
        return CompareCourse(self.name, self.compare, self.alpha, self.first_step, self.refused)

    @property
    def reads(self) -> Reads | None:
        return None if self.refused is not None else reads_of(self.compare, self.bound)

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        return () if self.refused is not None else wanted_by(self.compare, self.bound)

    @property
    def training(self) -> ShapeMeasure | None:
        return training_of(self.compare)

    @property
    def test(self) -> Test[Any, Any]:
        return test_of(Asked(self.name, self.compare, self.alpha, self.bound, self.past or NO_PAST, self.shipped))

    @property
    def lacks_bound(self) -> bool:
        return self.refused is None and needs_bound(self.compare) and self.bound is None

    @property
    def wanted_for_bound(self) -> tuple[Wanted, ...]:
        """The user's histogram, all of its buckets; none for a preset."""
        return () if self.compare.histogram is None else (Wanted(self.compare.histogram, "_bucket"),)

    @property
    def bound_tags(self) -> Sequence[str]:
        """The tags of the series that its bound is found from."""
        own = tuple(one.tag for one in self.wanted_for_bound)
        return own or PRESET_BOUND_TAGS

    @property
    def lacks_past(self) -> bool:
        return self.past is None and self.reads is not None

    @property
    def needs_past(self) -> bool:
        """A share scatters as it did in the hour before, segments are chosen by it, and `Before` is judged by it."""
        shares = statistic_of(self.compare) in (Statistic.RATE, Statistic.EXCEEDANCE)
        segments = self.compare.segment_by is not None and statistic_of(self.compare) is Statistic.MEAN
        return shares or segments or self.compare.reference in {Reference.BEFORE, Reference.TRAINING}

    @property
    def past_is_empty(self) -> bool:
        if not self.compare.is_before or self.past is None:
            return False
        if statistic_of(self.compare) is Statistic.DISTRIBUTION:
            return not any(shape.total for shape in (self.past.shapes or {}).values())
        return self.past.arm is None or self.past.arm.requests <= 0

    def begins_at(self, grid: Grid, steps: Sequence[TrafficStep]) -> int:
        """The point of the grid (Unix seconds) from which on it judges."""
        first = self.past_until(grid, steps)
        return first if self.bound is None else max(first, self.bound.known_at_seconds)

    def past_until(self, grid: Grid, steps: Sequence[TrafficStep]) -> int:
        """The point of the grid at which stable's last hour ends for this gate: nothing after it is known to it yet.

        Of a gate that begins at 100 percent the hour reaches into the steps before it, in which stable still had
        traffic: nearer in time, and never empty for a revision that is younger than the rollout's own steps.
        """
        first = grid.anchor_seconds
        if not 0 < self.first_step < len(steps):
            return first
        late = steps[self.first_step].start_seconds - first
        return first + math.ceil(late / grid.interval_seconds) * grid.interval_seconds

    def position(self, grid: Grid, steps: Sequence[TrafficStep]) -> int:
        """The point of the grid from which on its counters are still to be read.

        With a warm-up, reading begins that much earlier than judging: a pod that was there all the time is warm.
        """
        if self.evidence.read_until_seconds is not None:
            return self.evidence.read_until_seconds
        warmup = math.ceil(self.compare.warmup_seconds / grid.interval_seconds) * grid.interval_seconds
        return self.begins_at(grid, steps) - warmup

    def with_past(self, answer: Answer, points: Sequence[int], stable: Owner) -> "CompareCourse":
        """What stable's last hour, counted at `points`, tells of this gate."""
        reads = self.reads
        if reads is None or not self.needs_past:
            return replace(self, past=NO_PAST)
        table: Table[Any] = answer.table(reads, candidate=Owner(""), reference=stable)
        arms = [interval.stable for interval in table.intervals(points) if interval.stable is not None]
        return replace(self, past=past_of(reads, arms))

    def folded(
        self,
        answer: Answer,
        points: range,
        grid: Grid,
        steps: Sequence[TrafficStep],
        owners: tuple[Owner, Owner],
    ) -> "CompareCourse":
        """With the counters at `points` that it has not seen yet. `owners`: (candidate, reference)."""
        reads = self.reads
        if reads is None:
            return self
        begins, position = self.begins_at(grid, steps), self.position(grid, steps)
        unread = [point for point in points if point >= position]
        table: Table[Any] = answer.table(reads, candidate=owners[0], reference=owners[1])
        warmup = self.compare.warmup_seconds
        seen = table.seen(unread, self.seen) if warmup else self.seen
        gate = replace(self, seen=seen, shipped=self.shipped or self._shipped(answer, points, owners[0]))
        test, evidence = gate.test, self.evidence
        judged = [point for point in unread if point >= begins]
        for interval in table.intervals(judged, seen=seen, warmup_seconds=warmup):
            evidence = fold(evidence, test, steps[self.first_step :], interval)
        return replace(gate, evidence=evidence)

    def _shipped(self, answer: Answer, points: Sequence[int], candidate: Owner) -> Shapes | None:
        """The distribution that the candidate's model was shipped with: the same on all of its pods, at all times."""
        if self.training is None:
            return None
        table = answer.table(self.training, candidate=candidate, reference=Owner(""))
        return next((arm for point in points if (arm := table.standing(point)) is not None), None)


def past_of(reads: Reads, arms: Sequence[Any]) -> Past:
    if isinstance(reads, ShapeMeasure):
        return Past(shapes=reads.total(arms))
    if isinstance(reads, SegmentMeasure):
        wholes = [sum(one.values(), NOTHING) for one in arms]
        requests = {value: arm.requests for value, arm in reads.total(arms).items()}
        return replace(_scatter(wholes, bounded=reads.measure.bounded), segments=chosen(requests))
    return _scatter(arms, bounded=reads.bounded)


def _scatter(arms: Sequence[Arm], *, bounded: bool) -> Past:
    phi = dispersion([(arm.requests, arm.events) for arm in arms]) if bounded else 1.0
    whole = Arm(sum([arm.requests for arm in arms]), sum([arm.events for arm in arms]))
    return Past(dispersion=phi, arm=whole)
