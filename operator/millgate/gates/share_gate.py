"""Shares: how many requests failed, were slow, or were anything else that a counter counts, of all there were.

Judged whole, or by segment: one process and one threshold either way.
"""

import math
from dataclasses import dataclass, replace

from millgate.api.conditions import Reason
from millgate.gates import mirror
from millgate.gates.compare import Figures, Terms
from millgate.gates.counters import NOTHING, Arm
from millgate.gates.detection import DOUBLE, Traffic, seconds_to_see
from millgate.gates.eprocess import NO_EVIDENCE, Logs, add, log_factors, log_mean
from millgate.gates.measures import Arms
from millgate.gates.segments import Segments

_DOUBT = "that is far better, does the candidate answer what it is asked?"


@dataclass(frozen=True)
class Tally:
    """What both revisions did since a step began, and what that says for `worse` and for `good enough`."""

    candidate: Arm = NOTHING
    stable: Arm = NOTHING
    logs: Logs = NO_EVIDENCE
    mirror_logs: Logs = NO_EVIDENCE

    @property
    def log_e(self) -> float:
        return log_mean(self.logs)

    @property
    def log_bound(self) -> float:
        return max(self.logs)

    @property
    def samples(self) -> tuple[float, float]:
        return self.candidate.requests, self.stable.requests


@dataclass(frozen=True)
class ShareTest:
    """What a gate of a share asks. `described` is how its events read in a sentence: 'requests failed'.

    `past` is stable's last hour: the base share while the step has shown no event yet.
    """

    terms: Terms
    max_ratio: float
    described: str
    dispersion: float = 1.0
    pass_ratio: float | None = None
    min_effect: float = 0.0
    past: Arm = NOTHING

    def begin(self) -> Tally:
        return Tally()

    def folded(self, processes: tuple[Tally, ...], candidate: Arm, reference: Arm | None) -> tuple[Tally, ...]:
        held = reference or NOTHING
        requests, events = (candidate.requests, held.requests), (candidate.events, held.events)
        worse = log_factors(self.max_ratio, requests, events, self.dispersion)
        good = None
        if self.pass_ratio is not None:
            good = mirror.log_factors(self.pass_ratio, requests, events, self.dispersion)
        return tuple(
            Tally(
                one.candidate + candidate,
                one.stable + held,
                one.logs if worse is None else add(one.logs, worse),
                one.mirror_logs if good is None else add(one.mirror_logs, good),
            )
            for one in processes
        )

    def is_large(self, process: Tally) -> bool:
        return _difference(process.candidate, process.stable) >= self.min_effect

    def is_proven_good(self, process: Tally) -> bool:
        return self.pass_ratio is not None and log_mean(process.mirror_logs) >= -math.log(self.terms.alpha)

    def lacks(self, process: Tally) -> str | None:
        del process  # a share can be judged at any size
        return None

    def figures(self, process: Tally) -> Figures:
        return _figures(process.candidate, process.stable.share, self.max_ratio)

    def worse(self, process: Tally) -> tuple[Reason, str, str]:
        found = self._found(process)
        return Reason.WORSE_THAN_STABLE, found, f"worse than {self.max_ratio:g} times {self.terms.against}"

    def fine(self, process: Tally) -> str:
        if self.is_proven_good(process):
            return f"{self._found(process)}: shown to be less than {self.pass_ratio:g} times {self.terms.against}"
        fine = f"{self._found(process)}: not shown to be worse than {self.max_ratio:g} times {self.terms.against}"
        far_better = mirror.is_far_better(
            process.candidate, process.stable, alpha=self.terms.alpha, dispersion=self.dispersion
        )
        return f"{fine}; {_DOUBT}" if far_better else fine

    def _found(self, process: Tally) -> str:
        mine, theirs = percent_of(process.candidate), percent_of(process.stable)
        return f"{mine} {self.described}, {theirs} on {self.terms.against}"

    def seconds_to_see_double(self, process: Tally, seconds: float) -> float | None:
        total = sum(process.samples)
        base = process.stable.share or self.past.share
        if total <= 0 or seconds <= 0 or base is None:
            return None
        traffic = Traffic(total / seconds, base, process.candidate.requests / total)
        return seconds_to_see(DOUBLE, traffic, alpha=self.terms.alpha, rho=self.max_ratio, dispersion=self.dispersion)


@dataclass(frozen=True)
class SegmentTally:
    """A share as a whole, and by segment. The segments' evidence is what counts."""

    whole: Tally
    segments: Segments

    @property
    def log_e(self) -> float:
        return self.segments.log_e

    @property
    def log_bound(self) -> float:
        return max(segment.log_e for segment in self.segments.found)

    @property
    def samples(self) -> tuple[float, float]:
        return self.whole.samples


@dataclass(frozen=True)
class SegmentTest:
    """The share of each value of the label `segment_by`. `names` are the segments, fixed before the evidence."""

    share: ShareTest
    segment_by: str
    names: tuple[str, ...]

    @property
    def terms(self) -> Terms:
        return self.share.terms

    def begin(self) -> SegmentTally:
        return SegmentTally(Tally(), Segments.of(self.names))

    def folded(
        self, processes: tuple[SegmentTally, ...], candidate: Arms, reference: Arms | None
    ) -> tuple[SegmentTally, ...]:
        held = reference or {}
        whole = (sum(candidate.values(), NOTHING), sum(held.values(), NOTHING))
        wholes = self.share.folded(tuple(one.whole for one in processes), *whole)
        values = sorted(set(candidate) | set(held))
        arms = {value: (candidate.get(value, NOTHING), held.get(value, NOTHING)) for value in values}
        rho, dispersion = self.share.max_ratio, self.share.dispersion
        return tuple(
            SegmentTally(total, one.segments.with_interval(arms, rho, dispersion))
            for total, one in zip(wholes, processes, strict=True)
        )

    def is_large(self, process: SegmentTally) -> bool:
        worst = process.segments.worst
        return worst is not None and _difference(worst.candidate, worst.stable) >= self.share.min_effect

    def is_proven_good(self, process: SegmentTally) -> bool:
        return self.share.is_proven_good(process.whole)

    def lacks(self, process: SegmentTally) -> str | None:
        if process.segments.worst is None:
            return f"no value of {self.segment_by} has had 200 requests yet"
        return None

    def figures(self, process: SegmentTally) -> Figures:
        return self.share.figures(process.whole)

    def worse(self, process: SegmentTally) -> tuple[Reason, str, str]:
        reason, found, shown = self.share.worse(self._of_the_worst(process))
        return reason, f"{self._worst(process)}: {found}", shown

    def fine(self, process: SegmentTally) -> str:
        skipped = process.segments.skipped
        note = f"; too few requests to judge {', '.join(map(self._named, skipped))}" if skipped else ""
        return f"{self.share.fine(process.whole)}, in none of its segments; closest: {self._worst(process)}{note}"

    def _worst(self, process: SegmentTally) -> str:
        worst = process.segments.worst
        return "none" if worst is None else self._named(worst.name)

    def _named(self, segment: str) -> str:
        return f'{self.segment_by}="{segment}"'

    def _of_the_worst(self, process: SegmentTally) -> Tally:
        worst = process.segments.worst
        return (
            process.whole if worst is None else replace(process.whole, candidate=worst.candidate, stable=worst.stable)
        )

    def seconds_to_see_double(self, process: SegmentTally, seconds: float) -> float | None:
        return self.share.seconds_to_see_double(process.whole, seconds)


def _difference(candidate: Arm, reference: Arm) -> float:
    return (candidate.share or 0.0) - (reference.share or 0.0)


def _figures(candidate: Arm, reference: float | None, max_ratio: float) -> Figures:
    value = candidate.share
    return Figures(
        value=None if value is None else f"{value:.4g}",
        reference=None if reference is None else f"{reference:.4g}",
        limit=None if reference is None else f"{max_ratio * reference:.4g}",
    )


def percent_of(arm: Arm) -> str:
    share = arm.share
    return "no requests" if share is None else f"{100 * share:.3g} % of {arm.requests:,.0f}"
