"""`Before`: the candidate against stable's own past hour, where stable has no traffic to be compared with.

The past is one finished sample, so it is taken at the upper end of what it allows: the share that stable's true one
exceeds with probability of at most a fifth of alpha. Against that number, times rho, the candidate's share is tested
at every look at the other four fifths. It says nothing about the time of day: hence a wider margin.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from statistics import NormalDist

from millgate.gates.counters import NOTHING, Arm
from millgate.gates.eprocess import NO_EVIDENCE, RATIO_STEPS, Logs, add, log_mean

_SPENT_ON_THE_PAST = 0.2
_MAX_DRAWN = 1000
"""Of the past's answers in one interval: more would say little more, and take long to draw."""


def limit(past: Arm, rho: float, alpha: float, dispersion: float) -> float | None:
    """The share of events up to which the candidate is not worse than `rho` times the past; None without a past.

    The upper bound of a Poisson count by Wilson and Hilferty's approximation, which is never below the exact one by
    more than 1 %; clusters of `dispersion` events count as one.
    """
    if past.requests <= 0:
        return None
    events = past.events / dispersion + 1
    sigmas = NormalDist().inv_cdf(1 - alpha * _SPENT_ON_THE_PAST)
    upper = events * (1 - 1 / (9 * events) + sigmas / (3 * math.sqrt(events))) ** 3
    return rho * upper * dispersion / past.requests


@dataclass(frozen=True)
class Before:
    """One process of the mixture: since a step began. `limit` as made by the function of that name."""

    limit: float
    candidate: Arm = NOTHING
    logs: Logs = NO_EVIDENCE

    def with_interval(self, candidate: Arm, dispersion: float = 1.0) -> "Before":
        factors = log_factors(self.limit, candidate, dispersion)
        return Before(self.limit, self.candidate + candidate, add(self.logs, factors))

    @property
    def log_e(self) -> float:
        """To be held against 1/alpha, with the alpha that `limit` was made with."""
        return log_mean(self.logs) + math.log(1 - _SPENT_ON_THE_PAST)


def log_factors(limit: float, candidate: Arm, dispersion: float) -> Logs:
    """One interval's log likelihood ratios of odds `limit/(1-limit)` times RATIO_STEPS against the limit itself."""
    if limit >= 1 or candidate.requests <= 0:
        return NO_EVIDENCE
    requests, events = candidate.requests, candidate.events
    return tuple(
        [(events * gain - requests * cost) / dispersion for gain, cost in zip(_GAINS, _costs(limit), strict=True)]
    )


_GAINS = tuple(math.log(step) for step in RATIO_STEPS)


@lru_cache(maxsize=256)
def _costs(limit: float) -> Logs:
    """What each request speaks for the candidate: the same at every look, since the limit is."""
    return tuple(math.log1p((step - 1) * limit) for step in RATIO_STEPS)


def drawn(left: Sequence[float], wanted: float) -> tuple[float, ...]:
    """Up to `wanted` of the past's answers by bucket, drawn without replacement from what is `left` of them.

    Two distributions are compared interval by interval (see `drift`), each with answers that no other interval has:
    a past that stood beside the candidate again and again would seem to be known ever better. Once all are used up,
    nothing more is learnt. What is left seeds the draw, so that it is the same whenever it is made again.
    """
    counts = [math.floor(count) for count in left]
    size = min(math.floor(wanted), sum(counts), _MAX_DRAWN)
    found = [0.0] * len(counts)
    if size == 0:
        return tuple(found)
    for bucket in Random(sum(counts)).sample(range(len(counts)), size, counts=counts):  # noqa: S311  no secret
        found[bucket] += 1
    return tuple(found)
