"""`Compare`: is the candidate worse than a reference? Evidence is folded interval by interval and judged at every look.

A gate is what is read (`measures`, `shapes`), what it says (a process: `share_gate`, `mean_gate`, `shape_gate`), and
this: one process begun at each step, mixed, and a verdict from them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar

from millgate.api.conditions import Reason
from millgate.api.status import GateStatus, Verdict
from millgate.gates.counters import Interval
from millgate.gates.eprocess import log_mixture_of
from millgate.gates.skew import TrafficShare


class Process(Protocol):
    """What both sides did since a step began, and what that says: one process of the mixture. Immutable."""

    @property
    def log_e(self) -> float: ...
    @property
    def log_bound(self) -> float:
        """What `log_e` does not exceed, and what costs less to know."""
        ...

    @property
    def samples(self) -> tuple[float, float]:
        """What was counted of (candidate, reference): requests, answers, whatever the gate's denominator is."""
        ...


BALANCING_TOLERANCE = 0.75
"""Kubernetes balances connections, not requests (design.md 6): with a dozen clients a share is easily off by half."""

NO_TRAFFIC = TrafficShare()
A = TypeVar("A")
A_contra = TypeVar("A_contra", contravariant=True)
P = TypeVar("P", bound=Process)


@dataclass(frozen=True)
class Figures:
    """A process in numbers, as status shows them."""

    value: str | None = None
    reference: str | None = None
    limit: str | None = None


@dataclass(frozen=True)
class Terms:
    """What a gate is told, whatever it counts. `against` is how the reference is called in a sentence."""

    name: str
    alpha: float
    min_samples: int
    against: str = "stable"
    against_label: str = "stable revision"
    needs_reference: bool = True
    checks_traffic: bool = False


class Test(Protocol[A_contra, P]):
    """What one kind of gate asks of what was counted."""

    @property
    def terms(self) -> Terms: ...

    def begin(self) -> P: ...

    def folded(self, processes: tuple[P, ...], candidate: A_contra, reference: A_contra | None) -> tuple[P, ...]:
        """All processes with one more interval."""
        ...

    def is_large(self, process: P) -> bool:
        """The difference is one that may fail the gate (`minEffect`)."""
        ...

    def is_proven_good(self, process: P) -> bool:
        """The candidate is shown to be less than `passRatio` times as bad: no minimum of samples is needed."""
        ...

    def lacks(self, process: P) -> str | None:
        """What is still too little to pass on, in words."""
        ...

    def figures(self, process: P) -> Figures: ...

    def worse(self, process: P) -> tuple[Reason, str, str]:
        """Why it fails: the reason, the figures in words, and what they show."""
        ...

    def fine(self, process: P) -> str: ...

    def seconds_to_see_double(self, process: P, seconds: float) -> float | None:
        """About how long a doubling stays unseen, at what was counted in so many `seconds`; None when not known."""
        ...


@dataclass(frozen=True)
class TrafficStep:
    """A step in which the candidate has traffic, from `start_seconds` (Unix time) on; `weight` (0..1) is its share."""

    name: str
    start_seconds: float
    weight: float | None = None


@dataclass(frozen=True)
class Crossing(Generic[P]):
    """The look at which E reached 1/alpha. It stands, whatever comes later: the bound holds for the first crossing."""

    at_seconds: int
    since_seconds: float
    tally: P


@dataclass(frozen=True)
class Evidence(Generic[P]):
    """Everything that one gate knows of a rollout: a few dozen numbers, however long it lasts."""

    tallies: tuple[P, ...] = ()
    crossing: Crossing[P] | None = None
    read_until_seconds: int | None = None
    candidate_seen: bool = False  # at the newest point, in a sample that is fresh
    stable_seen: bool = False
    warming_up: bool = False  # pods are there, and not one for long enough
    traffic: TrafficShare = NO_TRAFFIC

    @property
    def log_e(self) -> float:
        return log_mixture_of([tally.log_e for tally in self.tallies]) if self.tallies else 0.0

    def looked_since(self, step: TrafficStep) -> bool:
        return self.read_until_seconds is not None and self.read_until_seconds > step.start_seconds


def fold(evidence: Evidence[P], test: Test[A, P], steps: Sequence[TrafficStep], interval: Interval[A]) -> Evidence[P]:
    """The evidence with one more interval.

    An interval in which a step began is discarded: two weights in one interval can make a healthy candidate look bad
    when the error rate of both moves at the same time (Simpson's paradox).
    """
    needs, at = test.terms.needs_reference, interval.end
    nobody = interval.candidate is None or (interval.stable is None and needs)
    # Written out in full: this is the innermost loop of a replay and of a simulation.
    sight = (at, interval.candidate is not None, interval.stable is not None or not needs, nobody and interval.cold)
    if any(interval.start < step.start_seconds <= at for step in steps[1:]):
        return Evidence(evidence.tallies, evidence.crossing, *sight, NO_TRAFFIC)
    begun = _begun(steps, interval.start)
    if begun == 0 or nobody or interval.candidate is None:
        return Evidence(evidence.tallies, evidence.crossing, *sight, evidence.traffic)
    tallies = (*evidence.tallies, *(test.begin() for _ in range(begun - len(evidence.tallies))))
    folded, traffic = test.folded(tallies, interval.candidate, interval.stable), evidence.traffic
    if test.terms.checks_traffic and not interval.cold:
        traffic = _traffic(traffic, tallies[0], folded[0], interval.pods, steps[begun - 1].weight)
    return Evidence(folded, evidence.crossing or _crossing(folded, at, test, steps), *sight, traffic)


def _traffic(
    traffic: TrafficShare, before: Process, after: Process, pods: tuple[int, int], weight: float | None
) -> TrafficShare:
    """One look at who gets the requests.

    A mesh shares them out by weight. Replicas do by pods, of which there may be too few for the weight. Requests are
    skewed that come in neither share.
    """
    mine, theirs = (late - early for early, late in zip(before.samples, after.samples, strict=True))
    shares = [share for share in (weight, pods[0] / max(1, sum(pods))) if share is not None]
    observed = mine / (mine + theirs) if mine + theirs > 0 else 0.0
    meant = min(shares, key=lambda share: abs(share - observed))
    return traffic.with_look(mine, theirs, meant, tolerance=BALANCING_TOLERANCE)


def _begun(steps: Sequence[TrafficStep], moment: int) -> int:
    """How many of the steps had begun at `moment`; the first counts from the anchor, which is its start rounded up."""
    return max(1, sum(step.start_seconds <= moment for step in steps)) if steps else 0


def _crossing(tallies: tuple[P, ...], at: int, test: Test[Any, P], steps: Sequence[TrafficStep]) -> Crossing[P] | None:
    needed = -math.log(test.terms.alpha)
    # A mean is never above the largest of what it is taken of: mostly that settles it without a single exponential.
    if max([tally.log_bound for tally in tallies]) < needed:
        return None
    if log_mixture_of([tally.log_e for tally in tallies]) < needed:
        return None
    strongest = max(range(len(tallies)), key=lambda index: tallies[index].log_e)
    tally = tallies[strongest]
    return Crossing(at, steps[strongest].start_seconds, tally) if test.is_large(tally) else None


def judge(evidence: Evidence[P], test: Test[Any, P], steps: Sequence[TrafficStep]) -> GateStatus:
    """The verdict of the step in hand, which is the last of `steps`.

    Fail at any sample size once the evidence has crossed; Pass when it has not, the candidate has answered
    `min_samples` requests in this step (or is proven good), and both sides are seen at the newest point; otherwise
    Inconclusive.
    """
    step, begun = steps[-1], len(evidence.tallies) == len(steps)
    if evidence.crossing is not None:
        return _failed(evidence, evidence.crossing, test, step)
    tally = evidence.tallies[-1] if begun else test.begin()
    figures = _figures(evidence, test, step, tally)
    missing = _missing(evidence, test.terms, tally if begun else None, step)
    if missing is not None and evidence.looked_since(step):
        return _saying(figures, Verdict.INCONCLUSIVE, Reason.NO_DATA, missing)
    if not begun:
        return _saying(figures, Verdict.PENDING, Reason.PENDING, "the first look is yet to come")
    lacking = None if test.is_proven_good(tally) else _too_few(tally, test.terms, step) or test.lacks(tally)
    if lacking is not None:
        return _saying(figures, Verdict.INCONCLUSIVE, Reason.TOO_FEW_SAMPLES, lacking)
    if evidence.traffic.skewed:
        return _saying(figures, Verdict.INCONCLUSIVE, Reason.TRAFFIC_SKEWED, _skew(evidence.traffic))
    return _saying(figures, Verdict.PASS, Reason.NOT_WORSE, test.fine(tally))


def _failed(evidence: Evidence[P], worse: Crossing[P], test: Test[Any, P], step: TrafficStep) -> GateStatus:
    reason, found, shown = test.worse(worse.tally)
    message = f"{found}, from {clock(worse.since_seconds)} to {clock(worse.at_seconds)}: {shown}"
    return _saying(_figures(evidence, test, step, worse.tally), Verdict.FAIL, reason, message)


def _missing(evidence: Evidence[P], terms: Terms, tally: P | None, step: TrafficStep) -> str | None:
    """What keeps the gate from seeing, in words; None when it can see."""
    if evidence.warming_up:
        return "the pods are still warming up: their counters are left out (warmupSeconds)"
    for name, seen in (("candidate", evidence.candidate_seen), (terms.against_label, evidence.stable_seen)):
        if not seen:
            return f"Prometheus has no fresh counters of the {name}: are its pods scraped?"
    if tally is None:
        return None
    for name, samples in zip(("candidate", terms.against_label), tally.samples, strict=True):
        if samples <= 0:
            return f"no request was answered by the {name} since {clock(step.start_seconds)}"
    return None


def _too_few(tally: Process, terms: Terms, step: TrafficStep) -> str | None:
    answered = tally.samples[0]
    if answered >= terms.min_samples:
        return None
    counted = f"{answered:,.0f} of {terms.min_samples:,} requests"
    return f"{counted} answered by the candidate since {clock(step.start_seconds)}"


def _skew(traffic: TrafficShare) -> str:
    observed, expected = 100 * (traffic.observed_share or 0.0), 100 * (traffic.expected_share or 0.0)
    return (
        f"the candidate gets {observed:.3g} % of the requests where {expected:.3g} % are meant, "
        f"{traffic.looks_in_a_row} looks in a row: something chooses who gets it"
    )


def _saying(figures: GateStatus, verdict: Verdict, reason: Reason, message: str) -> GateStatus:
    return figures.model_copy(update={"verdict": verdict, "reason": reason, "message": message})


def _figures(evidence: Evidence[P], test: Test[Any, P], step: TrafficStep, tally: P) -> GateStatus:
    """The figures of a verdict that is still to be given."""
    at, figures = evidence.read_until_seconds, test.figures(tally)
    double = None if at is None else test.seconds_to_see_double(tally, at - step.start_seconds)
    return GateStatus(
        name=test.terms.name,
        step=step.name,
        verdict=Verdict.PENDING,
        reason=Reason.PENDING,
        value=figures.value,
        reference=figures.reference,
        limit=figures.limit,
        samples=round(tally.samples[0]),
        evidence=_percent(evidence, test.terms),
        alpha=f"{test.terms.alpha:.4g}",
        detects_double_after_seconds=None if double is None else round(double),
        last_check_time=None if at is None else datetime.fromtimestamp(at, UTC),
    )


def _percent(evidence: Evidence[P], terms: Terms) -> str:
    """How far ln E has come on its way to ln(1/alpha), where the gate fails."""
    if evidence.crossing is not None:
        return "100 %"
    share = evidence.log_e / -math.log(terms.alpha)
    return f"{min(99, max(0, math.floor(100 * min(1.0, share))))} %"


def clock(unix_seconds: float) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%H:%M:%SZ")
