"""The Compare gates of a simulated rollout: the product's own courses, fed with drawn intervals instead of counters."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from millgate.api.conditions import Reason
from millgate.api.defaults import alpha_of, gates_of, guardrails_of, steps_of
from millgate.api.spec import Compare, Reference, Rollout, Statistic
from millgate.api.status import GateStatus, StepRecord, Verdict
from millgate.gates.asking import NO_PAST
from millgate.gates.compare import Evidence, TrafficStep, fold, judge
from millgate.gates.counters import Interval
from millgate.gates.gate_course import CompareCourse, past_of
from millgate.gates.grid import Grid
from millgate.gates.latency import Bound, first_bound
from millgate.gates.presets import needs_bound, quantile_of, statistic_of
from millgate.simulate.cluster import is_played
from millgate.simulate.counts import VARIABLE, Counts, Told, shape_of, told_by
from millgate.simulate.scene import Detail, Sample, Side


@dataclass(frozen=True, eq=False)
class Question:
    """A Compare gate as it is asked from one step with traffic on, without a break: `first_step` counts those steps."""

    name: str
    compare: Compare
    first_step: int


Asked = tuple[tuple[Question, ...], ...]
"""For each step with traffic, what is asked in it."""


def questions(rollout: Rollout) -> Asked:
    asked: list[tuple[Question, ...]] = []
    for index, step in enumerate(step for step in steps_of(rollout) if step.weight_percent > 0):
        before = {(one.name, one.compare): one for one in (asked[-1] if asked else ())}
        found = [(gate.name, gate.compare) for gate in gates_of(rollout, step) if is_played(gate)]
        asked.append(
            tuple(
                before.get((name, compare), Question(name, compare, index))
                for name, compare in found
                if compare is not None
            )
        )
    return tuple(asked)


def detail_of(asked: Asked) -> Detail:
    """What the gates need to be told apart."""
    compares = [one.compare for step in asked for one in step]
    return Detail(
        by_age=any(compare.warmup_seconds > 0 for compare in compares),
        by_segment=any(compare.segment_by is not None for compare in compares),
        predictions=any(statistic_of(compare) is Statistic.DISTRIBUTION for compare in compares),
    )


class Judges:
    """All Compare gates of one rollout, and what each has learnt so far."""

    def __init__(
        self,
        rollout: Rollout,
        asked: Asked,
        grid: Grid,
        buckets: Sequence[tuple[str, float]],
        shipped: Sequence[float],
    ) -> None:
        """`buckets`: stable's latency histogram of the hour before. `shipped`: the training distribution."""
        self._grid = grid
        self._asked = asked
        self._guardrails = {gate.name for gate in guardrails_of(rollout)}
        self._courses: dict[Question, CompareCourse] = {}
        alpha = alpha_of(rollout)
        for question in dict.fromkeys(one for step in asked for one in step):
            compare = question.compare
            bound = (
                first_bound([(grid.anchor_seconds, buckets)], quantile_of(compare)) if needs_bound(compare) else None
            )
            course = CompareCourse(question.name, compare, alpha, question.first_step, bound=bound)
            if compare.reference is Reference.TRAINING:
                course = replace(course, shipped={VARIABLE: shape_of(shipped)})
            self._courses[question] = course
        self._evidence: dict[Question, Evidence[Any]] = {question: Evidence() for question in self._courses}
        bounds = [course.bound for course in self._courses.values() if course.bound is not None]
        self.bounds = tuple(sorted({float(bound.le) for bound in bounds}))
        self._told: dict[Question, Told] = {}
        for question, course in self._courses.items():
            reads = course.reads
            if reads is not None:
                self._told[question] = told_by(reads, self._level(course.bound))
        self._tests = {question: course.test for question, course in self._courses.items()}
        self._records: Sequence[StepRecord] = ()
        self._steps: tuple[TrafficStep, ...] = ()
        self._dark = False

    def _level(self, bound: Bound | None) -> int | None:
        return None if bound is None else self.bounds.index(float(bound.le))

    def remember(self, past: Sequence[Counts]) -> None:
        """What stable did in the hour before the rollout, by interval, drawn with `bounds`."""
        for question, told in self._told.items():
            course = self._courses[question]
            reads = course.reads
            if reads is None:
                continue
            known = past_of(reads, [told((counts,)) for counts in past]) if course.needs_past else NO_PAST
            self._courses[question] = replace(course, past=known)
        self._tests = {question: course.test for question, course in self._courses.items()}

    def look(self, sample: Sample | None, steps: Sequence[StepRecord]) -> None:
        """Take in what happened up to this point of the grid, which may be its first. Without metrics nothing comes."""
        if steps is not self._records:
            self._records = steps
            self._steps = tuple(
                TrafficStep(step.name, step.start_time.timestamp(), step.weight_percent / 100)
                for step in steps
                if step.weight_percent > 0
            )
        if sample is None:
            return
        self._dark = sample.dark
        for question in self._asked[len(self._steps) - 1]:
            told, course = self._told.get(question), self._courses[question]
            if told is None or sample.start < course.begins_at(self._grid, self._steps):
                continue
            steps_of_it = self._steps[question.first_step :]
            interval = self._interval(question.compare, told, sample)
            self._evidence[question] = fold(self._evidence[question], self._tests[question], steps_of_it, interval)

    def _interval(self, compare: Compare, told: Told, sample: Sample) -> Interval[Any]:
        start, end = round(sample.start), round(sample.end)
        if sample.dark:
            return Interval(start, end, None, None)
        mine, cold = self._warm(sample.candidate, compare, start)
        reference = sample.baseline if compare.reference is Reference.BASELINE else sample.stable
        theirs, young = self._warm(reference, compare, start)
        return Interval(
            start,
            end,
            told(mine) if mine else None,
            told(theirs) if theirs else None,
            (sum(counts.pods for counts in mine), sum(counts.pods for counts in theirs)),
            cold or young,
        )

    def _warm(self, side: Sequence[Side], compare: Compare, start: int) -> tuple[list[Counts], bool]:
        """The pods whose counters count, and whether some were left out because they are too young.

        A pod is seen first at a point of the grid, and its requests before that are only taken note of.
        """
        if not compare.warmup_seconds:
            return [counts for _, counts in side], False
        warm = [counts for ready, counts in side if self._seen_at(ready) + compare.warmup_seconds <= start]
        return warm, len(warm) < len(side)

    def _seen_at(self, ready: float) -> float:
        since, every = ready - self._grid.anchor_seconds, self._grid.interval_seconds
        return ready if math.isinf(ready) else self._grid.anchor_seconds + math.ceil(since / every) * every

    @property
    def failed(self) -> tuple[str, ...]:
        """The gates whose evidence has crossed."""
        found = (one.name for one, evidence in self._evidence.items() if evidence.crossing is not None)
        return tuple(dict.fromkeys(found))

    @property
    def progress(self) -> Mapping[str, float]:
        """How far ln E of each gate of the step in hand has come on its way to ln(1/alpha)."""
        asked = self._asked[len(self._steps) - 1] if self._steps else ()
        return {one.name: self._progress(one) for one in asked}

    def _progress(self, question: Question) -> float:
        evidence = self._evidence[question]
        if evidence.crossing is not None:
            return 1.0
        return min(1.0, max(0.0, evidence.log_e / -math.log(self._courses[question].alpha)))

    def verdicts(self, now: datetime, *, promoted: bool) -> tuple[GateStatus, ...]:
        """The newest verdict of each Compare gate of the step in hand, as they were at the newest look."""
        if not self._steps:
            return ()
        asked = self._asked[len(self._steps) - 1]
        return tuple(self._verdict(one, now) for one in asked if not promoted or one.name in self._guardrails)

    def _verdict(self, question: Question, now: datetime) -> GateStatus:
        course, step = self._courses[question], self._steps[-1].name
        if course.lacks_bound or course.past_is_empty:
            return _unknown(question.name, step, Reason.NO_DATA, "stable has answered too few requests", now)
        verdict = judge(self._evidence[question], self._tests[question], self._steps[question.first_step :])
        if self._dark and verdict.verdict is not Verdict.FAIL:
            return _unknown(question.name, step, Reason.METRICS_UNAVAILABLE, "the simulated metrics are away", now)
        return verdict


def _unknown(name: str, step: str, reason: Reason, message: str, now: datetime) -> GateStatus:
    return GateStatus(
        name=name, step=step, verdict=Verdict.INCONCLUSIVE, reason=reason, message=message, last_check_time=now
    )
