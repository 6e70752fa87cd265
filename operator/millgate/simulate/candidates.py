"""The candidates that a policy is tried on: a healthy one, and the ways in which others are bad or only look so."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

SEGMENTS = {"a": 0.5, "b": 0.3, "c": 0.15, "d": 0.05}
"""The values of the label that a gate with `segmentBy` finds, and their shares of the requests."""


class Harm(StrEnum):
    """Which of a candidate's answers are bad for those who get them."""

    FAILED = "failed"
    SLOW = "slow"
    SHIFTED = "shifted"


@dataclass(frozen=True)
class Span:
    """A part of the time in which the policy compares: shares of it, from the first traffic step on."""

    begin: float
    end: float = float("inf")

    def holds(self, phase: float) -> bool:
        return self.begin <= phase < self.end


ALWAYS = Span(0.0)


@dataclass(frozen=True)
class Candidate:
    """How a candidate differs from stable, and what happens meanwhile.

    `errors`, `latency`: as multiples of stable's, during `bad`. `cold_seconds`: only so long after a pod became ready.
    `segment`: only in this one of SEGMENTS. `shift`: by how many standard deviations predictions move.
    `incident`: when this multiplies the errors of both. `outage`: when metrics cannot be read.
    """

    name: str
    says: str
    healthy: bool = False
    errors: float = 1.0
    latency: float = 1.0
    bad: Span = ALWAYS
    cold_seconds: float | None = None
    segment: str | None = None
    shift: float = 0.0
    cluster_size: float = 1.0
    incident: Span | None = None
    incident_errors: float = 20.0
    outage: Span | None = None
    harm: Harm = Harm.FAILED

    def error_factor(self, segment: str) -> float:
        """How many times as many errors it makes while it is bad, in a segment; '' is all requests together."""
        if self.segment is None or segment == self.segment:
            return self.errors
        return 1.0 if segment else 1.0 + SEGMENTS[self.segment] * (self.errors - 1.0)

    def weather(self, phase: float) -> float:
        """What happens to both revisions alike, as a multiple of the error rate."""
        return self.incident_errors if self.incident is not None and self.incident.holds(phase) else 1.0

    def is_dark(self, phase: float) -> bool:
        return self.outage is not None and self.outage.holds(phase)

    def is_bad(self, phase: float, age_seconds: float, *, is_candidate: bool) -> bool:
        """Whether pods of this age differ from warm ones of stable. Pods of stable that are young are cold as well."""
        cold = self.cold_seconds is not None
        young = self.cold_seconds is not None and age_seconds < self.cold_seconds
        return (young if cold else is_candidate) and self.bad.holds(phase)


CANDIDATES: Sequence[Candidate] = (
    Candidate("healthy", "as good as stable", healthy=True),
    Candidate("1.1x", "1.1 times as many errors: not worth a rollback", healthy=True, errors=1.1),
    Candidate("2x", "twice as many errors", errors=2.0),
    Candidate("5x", "five times as many errors", errors=5.0),
    Candidate("50x", "fifty times as many errors", errors=50.0),
    Candidate("slow", "every answer takes twice as long", latency=2.0, harm=Harm.SLOW),
    Candidate("late", "five times as many errors from three quarters of the time on", errors=5.0, bad=Span(0.75)),
    Candidate("cold", "each pod makes five times as many errors in its first minute", True, 5.0, cold_seconds=60),
    Candidate("clustered", "as good as stable, but errors come five at a time", healthy=True, cluster_size=5.0),
    Candidate("segment", "ten times as many errors for one request in twenty", errors=10.0, segment="d"),
    Candidate("shifted", "predictions are half a standard deviation higher", shift=0.5, harm=Harm.SHIFTED),
    Candidate("incident", "both revisions fail 20 times as often for a while", healthy=True, incident=Span(0.5, 0.8)),
    Candidate("outage", "metrics cannot be read for a while", healthy=True, outage=Span(0.3, 0.6)),
)
"""Clusters are the world's: stable's errors come in them as well, also in the hour before the rollout."""


def named(name: str) -> Candidate:
    return next(candidate for candidate in CANDIDATES if candidate.name == name)
