"""Segments: each value of a label is judged for itself, and one threshold holds for the mean of their evidence.

Ten times the errors in a twentieth of the traffic is one and a half times overall: pooled, it is found in half of the
runs; by segment, in five minutes (facts/gates.md 1.3, R6).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from millgate.gates.counters import NOTHING, Arm
from millgate.gates.eprocess import NO_EVIDENCE, Logs, add, log_average, log_factors, log_mean

MAX_SEGMENTS = 20
MIN_REQUESTS = 200.0
"""Of both revisions together. A segment with fewer is skipped: it counts as E = 1. That keeps the mean an e-process,
since how many requests come says nothing about how many of them fail."""
REST = "__rest__"
"""All values of the label that have no segment of their own, as one."""


def chosen(requests: Mapping[str, float]) -> tuple[str, ...]:
    """The names of the segments, the busiest first, from the requests of each value of the label.

    They must come from requests that are not judged (stable's hour before the rollout): the mean is taken over a
    number that is fixed before the evidence. A place is kept for what is not known yet.
    """
    busiest = sorted((name for name, count in requests.items() if count > 0), key=lambda name: (-requests[name], name))
    return (*busiest[: MAX_SEGMENTS - 1], REST)


@dataclass(frozen=True)
class Segment:
    """What both revisions did in one segment, and what that says."""

    name: str
    candidate: Arm = NOTHING
    stable: Arm = NOTHING
    logs: Logs = NO_EVIDENCE

    @property
    def requests(self) -> float:
        return self.candidate.requests + self.stable.requests

    @property
    def log_e(self) -> float:
        return log_mean(self.logs) if self.requests >= MIN_REQUESTS else 0.0

    def with_interval(self, candidate: Arm, stable: Arm, factors: Logs | None) -> "Segment":
        logs = self.logs if factors is None else add(self.logs, factors)
        return replace(self, candidate=self.candidate + candidate, stable=self.stable + stable, logs=logs)


@dataclass(frozen=True)
class Segments:
    """One process of the mixture, by segment: since a step began. Begin it with `Segments.of(chosen(...))`."""

    found: tuple[Segment, ...]

    @staticmethod
    def of(names: Iterable[str]) -> "Segments":
        return Segments(tuple(Segment(name) for name in names))

    def with_interval(self, arms: Mapping[str, tuple[Arm, Arm]], rho: float, dispersion: float) -> "Segments":
        """`arms`: (candidate, stable) of each value of the label. `rho` and `dispersion` as in `log_factors`."""
        own = {segment.name for segment in self.found}
        others = [pair for name, pair in arms.items() if name not in own]
        rest = (sum((one for one, _ in others), NOTHING), sum((two for _, two in others), NOTHING))
        return Segments(
            tuple(
                _folded(segment, arms.get(segment.name, rest if segment.name == REST else None), rho, dispersion)
                for segment in self.found
            )
        )

    @property
    def log_e(self) -> float:
        return log_average([segment.log_e for segment in self.found])

    @property
    def worst(self) -> Segment | None:
        """The segment with the most evidence against the candidate; None when all are skipped."""
        counted = [segment for segment in self.found if segment.requests >= MIN_REQUESTS]
        return max(counted, key=lambda segment: segment.log_e, default=None)

    @property
    def skipped(self) -> tuple[str, ...]:
        """The segments that had requests, but too few to be judged."""
        return tuple(segment.name for segment in self.found if 0 < segment.requests < MIN_REQUESTS)


def _folded(segment: Segment, arms: tuple[Arm, Arm] | None, rho: float, dispersion: float) -> Segment:
    if arms is None:
        return segment
    candidate, stable = arms
    factors = log_factors(rho, (candidate.requests, stable.requests), (candidate.events, stable.events), dispersion)
    return segment.with_interval(candidate, stable, factors)
