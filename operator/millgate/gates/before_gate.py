"""Shares against stable's own past hour, for the steps in which stable gets no requests: see `before`."""

from dataclasses import dataclass

from millgate.api.conditions import Reason
from millgate.gates.before import Before, limit
from millgate.gates.compare import Figures, Terms
from millgate.gates.counters import Arm
from millgate.gates.share_gate import percent_of


@dataclass(frozen=True)
class BeforeTally:
    """What the candidate did since a step began, beside the hour that it is held against."""

    before: Before
    past: Arm

    @property
    def log_e(self) -> float:
        return self.before.log_e

    @property
    def log_bound(self) -> float:
        return max(self.before.logs)

    @property
    def samples(self) -> tuple[float, float]:
        return self.before.candidate.requests, self.past.requests


@dataclass(frozen=True)
class BeforeTest:
    """What a gate of a share asks where the reference is `past`: stable's last hour, with requests."""

    terms: Terms
    max_ratio: float
    described: str
    past: Arm
    dispersion: float = 1.0
    min_effect: float = 0.0

    @property
    def _limit(self) -> float:
        return limit(self.past, self.max_ratio, self.terms.alpha, self.dispersion) or 1.0

    def begin(self) -> BeforeTally:
        return BeforeTally(Before(self._limit), self.past)

    def folded(
        self, processes: tuple[BeforeTally, ...], candidate: Arm, reference: Arm | None
    ) -> tuple[BeforeTally, ...]:
        del reference  # what stable does now, if anything, is another question
        return tuple(BeforeTally(one.before.with_interval(candidate, self.dispersion), self.past) for one in processes)

    def is_large(self, process: BeforeTally) -> bool:
        return (process.before.candidate.share or 0.0) - (self.past.share or 0.0) >= self.min_effect

    def is_proven_good(self, process: BeforeTally) -> bool:
        del process  # no mirror test against a fixed hour: it may have been a better one than any
        return False

    def lacks(self, process: BeforeTally) -> str | None:
        del process
        return None

    def figures(self, process: BeforeTally) -> Figures:
        value, past = process.before.candidate.share, self.past.share
        return Figures(
            value=None if value is None else f"{value:.4g}",
            reference=None if past is None else f"{past:.4g}",
            limit=f"{self._limit:.4g}",
        )

    def worse(self, process: BeforeTally) -> tuple[Reason, str, str]:
        return Reason.WORSE_THAN_STABLE, self._found(process), f"worse than {self.max_ratio:g} times that hour"

    def fine(self, process: BeforeTally) -> str:
        return f"{self._found(process)}: not shown to be worse than {self.max_ratio:g} times that hour"

    def _found(self, process: BeforeTally) -> str:
        mine = percent_of(process.before.candidate)
        return f"{mine} {self.described}, {percent_of(self.past)} in stable's last hour"

    def seconds_to_see_double(self, process: BeforeTally, seconds: float) -> float | None:
        """Not known: the rule of thumb is for two revisions at the same time, and the margin is mostly two itself."""
        del process, seconds
        return None
