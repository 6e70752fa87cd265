"""The Compare gates of a simulated rollout: the product's own courses, fed with drawn intervals instead of counters."""

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from millgate.api.conditions import Reason
from millgate.api.defaults import alpha_of, guardrails_of
from millgate.api.spec import Reference, Rollout
from millgate.api.status import GateStatus, StepRecord, Verdict
from millgate.gates.asking import NO_PAST, Past
from millgate.gates.compare import Evidence, TrafficStep, fold, judge
from millgate.gates.counters import Interval
from millgate.gates.gate_course import CompareCourse, past_of
from millgate.gates.grid import Grid
from millgate.gates.latency import HISTORY_SECONDS, first_bound
from millgate.gates.presets import Reads, needs_bound, quantile_of
from millgate.simulate.counts import VARIABLE, Counts, Told, added, shape_of, told_by
from millgate.simulate.questions import Asked, Question
from millgate.simulate.scene import Sample, Side

Pasts = dict[Reads, Past]
"""What stable's last hour tells, for questions that read the same counters."""


class Judge:
    """One question of one rollout, and what has been learnt so far."""

    def __init__(self, question: Question, course: CompareCourse, grid: Grid) -> None:
        self.question, self._course, self._grid = question, course, grid
        self._compare = question.compare
        self._told: Told | None = None
        self._test = course.test
        self._begins: int | None = None
        self.evidence: Evidence[Any] = Evidence()

    @property
    def bound_seconds(self) -> float | None:
        return None if self._course.bound is None else float(self._course.bound.le)

    def prepare(self, levels: Sequence[float]) -> None:
        """`levels`: the bounds, in seconds, that slow answers are counted by."""
        reads, bound = self._course.reads, self.bound_seconds
        if reads is not None:
            self._told = told_by(reads, None if bound is None else levels.index(bound))

    def _remember(self, told: Told, past: Iterable[Counts], known: Pasts) -> None:
        """What stable did in its last hour, by interval."""
        reads = self._course.reads
        if reads is None:
            return
        if self._course.needs_past and reads not in known:
            known[reads] = past_of(reads, [told((counts,)) for counts in past])
        self._course = replace(self._course, past=known[reads] if self._course.needs_past else NO_PAST)
        self._test = self._course.test

    def take(self, sample: Sample, steps: tuple[TrafficStep, ...], past: Iterable[Counts], known: Pasts) -> None:
        """One more interval. What came before its first step is another question's business, and its past."""
        if self._begins is None:
            self._begins = self._course.begins_at(self._grid, steps)
        if self._told is None or sample.start < self._begins:
            return
        if self._course.past is None:
            self._remember(self._told, past, known)
        interval = self._interval(self._told, sample)
        self.evidence = fold(self.evidence, self._test, steps[self.question.first_step :], interval)

    def _interval(self, told: Told, sample: Sample) -> Interval[Any]:
        start, end = int(sample.start), int(sample.end)
        if sample.dark:
            return Interval(start, end, None, None)
        reference = sample.baseline if self._compare.reference is Reference.BASELINE else sample.stable
        mine, theirs = self._warm(sample.candidate, start), self._warm(reference, start)
        cold = len(mine) < len(sample.candidate) or len(theirs) < len(reference)
        candidate, stable = told(mine) if mine else None, told(theirs) if theirs else None
        return Interval(start, end, candidate, stable, (_pods(mine), _pods(theirs)), cold)

    def _warm(self, side: Sequence[Side], start: int) -> list[Counts]:
        """The pods whose counters count.

        A pod is seen first at a point of the grid, and its requests before that are only taken note of.
        """
        warmup = self._compare.warmup_seconds
        if not warmup:
            return [counts for _, counts in side]
        return [counts for ready, counts in side if self._seen_at(ready) + warmup <= start]

    def _seen_at(self, ready: float) -> float:
        since, every = ready - self._grid.anchor_seconds, self._grid.interval_seconds
        return ready if math.isinf(ready) else self._grid.anchor_seconds + math.ceil(since / every) * every

    @property
    def progress(self) -> float:
        """How far ln E has come on its way to ln(1/alpha)."""
        if self.evidence.crossing is not None:
            return 1.0
        return min(1.0, max(0.0, self.evidence.log_e / -math.log(self._course.alpha)))

    def verdict(self, steps: tuple[TrafficStep, ...], now: datetime, *, dark: bool) -> GateStatus:
        name, step = self.question.name, steps[-1].name
        if self._course.lacks_bound or self._course.past_is_empty:
            return _unknown(name, step, Reason.NO_DATA, "stable has answered too few requests", now)
        verdict = judge(self.evidence, self._test, steps[self.question.first_step :])
        if dark and verdict.verdict is not Verdict.FAIL:
            return _unknown(name, step, Reason.METRICS_UNAVAILABLE, "the simulated metrics are away", now)
        return verdict


class Judges:
    """All Compare gates of one rollout."""

    def __init__(
        self,
        rollout: Rollout,
        asked: Asked,
        grid: Grid,
        buckets: Sequence[tuple[str, float]],
        shipped: Sequence[float],
    ) -> None:
        """`buckets`: stable's latency histogram of the hour before. `shipped`: the training distribution."""
        self._guardrails = {gate.name for gate in guardrails_of(rollout)}
        alpha = alpha_of(rollout)
        judges: dict[Question, Judge] = {}
        for question in (one for step in asked for one in step):
            if question not in judges:
                judges[question] = Judge(question, _course(question, alpha, grid, buckets, shipped), grid)
        self._judges = tuple(judges.values())
        self._by_step = tuple(tuple(judges[question] for question in step) for step in asked)
        self.bounds = tuple(sorted({one.bound_seconds for one in self._judges if one.bound_seconds is not None}))
        for one in self._judges:
            one.prepare(self.bounds)
        self._past: deque[Counts] = deque(maxlen=HISTORY_SECONDS // grid.interval_seconds)
        self._records: Sequence[StepRecord] = ()
        self._steps: tuple[TrafficStep, ...] = ()
        self._dark = False

    def remember(self, past: Sequence[Counts]) -> None:
        """What stable did in the hour before the rollout, by interval, drawn with `bounds`."""
        self._past.extend(past)

    def look(self, sample: Sample | None, steps: Sequence[StepRecord]) -> None:
        """Take in what happened up to this point of the grid; nothing yet at its first."""
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
        known: Pasts = {}
        for one in self._by_step[len(self._steps) - 1]:
            one.take(sample, self._steps, self._past, known)
        if sample.stable and not sample.dark:
            self._past.append(added([counts for _, counts in sample.stable]))

    @property
    def failed(self) -> tuple[str, ...]:
        """The gates whose evidence has crossed."""
        found = [one.question.name for one in self._judges if one.evidence.crossing is not None]
        return tuple(dict.fromkeys(found))

    @property
    def progress(self) -> Mapping[str, float]:
        """How far the evidence of each gate of the step in hand has come, 0 to 1."""
        asked = self._by_step[len(self._steps) - 1] if self._steps else ()
        return {one.question.name: one.progress for one in asked}

    def verdicts(self, now: datetime, *, promoted: bool) -> tuple[GateStatus, ...]:
        """The newest verdict of each Compare gate of the step in hand, as they were at the newest look."""
        asked = self._by_step[len(self._steps) - 1] if self._steps else ()
        guarded = [one for one in asked if not promoted or one.question.name in self._guardrails]
        return tuple(one.verdict(self._steps, now, dark=self._dark) for one in guarded)


def _course(
    question: Question, alpha: float, grid: Grid, buckets: Sequence[tuple[str, float]], shipped: Sequence[float]
) -> CompareCourse:
    compare = question.compare
    bound = first_bound([(grid.anchor_seconds, buckets)], quantile_of(compare)) if needs_bound(compare) else None
    course = CompareCourse(question.name, compare, alpha, question.first_step, bound=bound)
    return replace(course, shipped={VARIABLE: shape_of(shipped)}) if compare.reference is Reference.TRAINING else course


def _pods(groups: Sequence[Counts]) -> int:
    return groups[0].pods if len(groups) == 1 else sum(counts.pods for counts in groups)


def _unknown(name: str, step: str, reason: Reason, message: str, now: datetime) -> GateStatus:
    return GateStatus(
        name=name, step=step, verdict=Verdict.INCONCLUSIVE, reason=reason, message=message, last_check_time=now
    )
