"""`Compare`: is the candidate worse than stable? Evidence is folded interval by interval and judged at every look."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from millgate.api.conditions import Reason
from millgate.api.status import GateStatus, Verdict
from millgate.gates.counters import NOTHING, Arm, Interval
from millgate.gates.eprocess import NO_EVIDENCE, Logs, add, log_factors, log_mean, log_mixture


@dataclass(frozen=True)
class CompareTest:
    """What one Compare gate asks. `described` is how its events read in a sentence: 'requests failed'."""

    name: str
    alpha: float
    max_ratio: float
    min_samples: int
    described: str
    dispersion: float = 1.0


@dataclass(frozen=True)
class TrafficStep:
    """A step in which the candidate has traffic, from `start_seconds` (Unix time) on."""

    name: str
    start_seconds: float


@dataclass(frozen=True)
class Tally:
    """What both revisions did since a step began, and what that says: one of the processes of the mixture."""

    candidate: Arm = NOTHING
    stable: Arm = NOTHING
    logs: Logs = NO_EVIDENCE

    def with_interval(self, candidate: Arm, stable: Arm, factors: Logs | None) -> "Tally":
        logs = self.logs if factors is None else add(self.logs, factors)
        return Tally(self.candidate + candidate, self.stable + stable, logs)


@dataclass(frozen=True)
class Crossing:
    """The look at which E reached 1/alpha. It stands, whatever comes later: the bound holds for the first crossing."""

    at_seconds: int
    since_seconds: float
    tally: Tally


@dataclass(frozen=True)
class Evidence:
    """Everything that one gate knows of a rollout: a few dozen numbers, however long it lasts."""

    tallies: tuple[Tally, ...] = ()
    crossing: Crossing | None = None
    read_until_seconds: int | None = None
    candidate_seen: bool = False  # at the newest point, in a sample that is fresh
    stable_seen: bool = False

    @property
    def log_e(self) -> float:
        return log_mixture([tally.logs for tally in self.tallies]) if self.tallies else 0.0

    def looked_since(self, step: TrafficStep) -> bool:
        return self.read_until_seconds is not None and self.read_until_seconds > step.start_seconds


def fold(evidence: Evidence, test: CompareTest, steps: Sequence[TrafficStep], interval: Interval) -> Evidence:
    """The evidence with one more interval.

    An interval in which a step began is discarded: two weights in one interval can make a healthy candidate look bad
    when the error rate of both moves at the same time (Simpson's paradox).
    """
    seen = replace(
        evidence,
        read_until_seconds=interval.end,
        candidate_seen=interval.candidate is not None,
        stable_seen=interval.stable is not None,
    )
    if any(interval.start < step.start_seconds <= interval.end for step in steps[1:]):
        return seen
    begun = _begun(steps, interval.start)
    if begun == 0 or interval.candidate is None or interval.stable is None:
        return seen
    candidate, stable = interval.candidate, interval.stable
    factors = log_factors(
        test.max_ratio, (candidate.requests, stable.requests), (candidate.events, stable.events), test.dispersion
    )
    tallies = (*evidence.tallies, *(Tally() for _ in range(begun - len(evidence.tallies))))
    updated = replace(seen, tallies=tuple(tally.with_interval(candidate, stable, factors) for tally in tallies))
    if factors is None or evidence.crossing is not None:
        return updated
    return replace(updated, crossing=_crossing(updated, test, steps))


def _begun(steps: Sequence[TrafficStep], moment: int) -> int:
    """How many of the steps had begun at `moment`; the first counts from the anchor, which is its start rounded up."""
    return max(1, sum(step.start_seconds <= moment for step in steps)) if steps else 0


def _crossing(evidence: Evidence, test: CompareTest, steps: Sequence[TrafficStep]) -> Crossing | None:
    needed = -math.log(test.alpha)
    # A mean is never above the largest of what it is taken of: mostly that settles it without a single exponential.
    if max(max(tally.logs) for tally in evidence.tallies) < needed or evidence.log_e < needed:
        return None
    if evidence.read_until_seconds is None:
        return None
    strongest = max(range(len(evidence.tallies)), key=lambda index: log_mean(evidence.tallies[index].logs))
    return Crossing(evidence.read_until_seconds, steps[strongest].start_seconds, evidence.tallies[strongest])


def judge(evidence: Evidence, test: CompareTest, steps: Sequence[TrafficStep]) -> GateStatus:
    """The verdict of the step in hand, which is the last of `steps`.

    Fail at any sample size once the evidence has crossed; Pass when it has not, the candidate has answered
    `min_samples` requests in this step, and both revisions are seen at the newest point; otherwise Inconclusive.
    """
    step, begun = steps[-1], len(evidence.tallies) == len(steps)
    if evidence.crossing is not None:
        return _failed(evidence, evidence.crossing, test, step)
    tally = evidence.tallies[-1] if begun else Tally()
    figures = _figures(evidence, test, step, tally)
    missing = _missing(evidence, tally if begun else None, step)
    if missing is not None and evidence.looked_since(step):
        return _saying(figures, Verdict.INCONCLUSIVE, Reason.NO_DATA, missing)
    if not begun:
        return _saying(figures, Verdict.PENDING, Reason.PENDING, "the first look is yet to come")
    if tally.candidate.requests < test.min_samples:
        counted = f"{tally.candidate.requests:,.0f} of {test.min_samples:,} requests"
        message = f"{counted} answered by the candidate since {_clock(step.start_seconds)}"
        return _saying(figures, Verdict.INCONCLUSIVE, Reason.TOO_FEW_SAMPLES, message)
    message = (
        f"{_share(tally.candidate)} {test.described}, {_share(tally.stable)} on stable: "
        f"not shown to be worse than {test.max_ratio:g} times stable"
    )
    return _saying(figures, Verdict.PASS, Reason.NOT_WORSE, message)


def _failed(evidence: Evidence, worse: Crossing, test: CompareTest, step: TrafficStep) -> GateStatus:
    message = (
        f"{_share(worse.tally.candidate)} {test.described}, {_share(worse.tally.stable)} on stable, "
        f"from {_clock(worse.since_seconds)} to {_clock(worse.at_seconds)}: worse than {test.max_ratio:g} times stable"
    )
    figures = _figures(evidence, test, step, worse.tally)
    return _saying(figures, Verdict.FAIL, Reason.WORSE_THAN_STABLE, message)


def _missing(evidence: Evidence, tally: Tally | None, step: TrafficStep) -> str | None:
    """What keeps the gate from seeing, in words; None when it can see."""
    for name, seen in (("candidate", evidence.candidate_seen), ("stable revision", evidence.stable_seen)):
        if not seen:
            return f"Prometheus has no fresh counters of the {name}: are its pods scraped?"
    if tally is None:
        return None
    for name, arm in (("candidate", tally.candidate), ("stable revision", tally.stable)):
        if arm.requests <= 0:
            return f"no request was answered by the {name} since {_clock(step.start_seconds)}"
    return None


def _saying(figures: GateStatus, verdict: Verdict, reason: Reason, message: str) -> GateStatus:
    return figures.model_copy(update={"verdict": verdict, "reason": reason, "message": message})


def _figures(evidence: Evidence, test: CompareTest, step: TrafficStep, tally: Tally) -> GateStatus:
    """The figures of a verdict that is still to be given."""
    value, reference, at = tally.candidate.share, tally.stable.share, evidence.read_until_seconds
    return GateStatus(
        name=test.name,
        step=step.name,
        verdict=Verdict.PENDING,
        reason=Reason.PENDING,
        value=None if value is None else f"{value:.4g}",
        reference=None if reference is None else f"{reference:.4g}",
        limit=None if reference is None else f"{test.max_ratio * reference:.4g}",
        samples=round(tally.candidate.requests),
        evidence=_percent(evidence, test),
        last_check_time=None if at is None else datetime.fromtimestamp(at, UTC),
    )


def _percent(evidence: Evidence, test: CompareTest) -> str:
    """How far ln E has come on its way to ln(1/alpha), where the gate fails."""
    if evidence.crossing is not None:
        return "100 %"
    share = evidence.log_e / -math.log(test.alpha)
    return f"{min(99, max(0, math.floor(100 * share)))} %"


def _share(arm: Arm) -> str:
    share = arm.share
    return "no requests" if share is None else f"{100 * share:.3g} % of {arm.requests:,.0f}"


def _clock(unix_seconds: float) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%H:%M:%SZ")
