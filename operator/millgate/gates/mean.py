"""`Mean`: is what the candidate needs per request (tokens, seconds, bytes) on average more than stable's, times rho?

Counters have no variance, so it is taken between intervals: D = mean_candidate - rho * mean_stable of each interval,
and a sequential t-test of whether the mean of D is above 0: the mixture over effects of either size that is free of the
unknown variance (Wang and Ramdas, "Anytime-valid t-tests and confidence sequences for Gaussian means with unknown
variance", 2023), its half above 0. It is as wide as the confidence sequence of facts/gates.md 2.4 where intervals are
many, and wider where they are few. Valid for normal means, hence no verdict before MIN_INTERVALS.
"""

import math
from bisect import bisect_left
from dataclasses import dataclass

from millgate.gates.counters import NOTHING, Arm
from millgate.gates.eprocess import start_weight

MIN_INTERVALS = 15
_ROUNDING = 1e-9
"""Means that never change scatter at least by so much of themselves: a difference in the last digit is none."""
_LONGEST_INTERVALS = 100_000
_TUNED_TO_INTERVALS = 20
_TUNED_TO_ALPHA = 0.01
_SPREAD = (-2 * math.log(_TUNED_TO_ALPHA) + math.log(-2 * math.log(_TUNED_TO_ALPHA)) + 1) / _TUNED_TO_INTERVALS
"""The variance of the normal mixture, in units of the variance of D: the sequence is tightest at 20 intervals."""


@dataclass(frozen=True)
class Mean:
    """One process of the mixture: since a step began. An Arm's `requests` are the denominator, `events` the amount."""

    candidate: Arm = NOTHING
    stable: Arm = NOTHING
    intervals: int = 0
    centre: float = 0.0
    squares: float = 0.0

    def with_interval(self, candidate: Arm, stable: Arm, rho: float) -> "Mean":
        """An interval in which one of them had no request says nothing and is left out."""
        if candidate.requests <= 0 or stable.requests <= 0:
            return self
        difference = candidate.events / candidate.requests - rho * stable.events / stable.requests
        count = self.intervals + 1
        step = difference - self.centre
        centre = self.centre + step / count
        squares = self.squares + step * (difference - centre)
        return Mean(self.candidate + candidate, self.stable + stable, count, centre, squares)

    @property
    def log_e(self) -> float:
        """Log of the half-normal mixture for 'the mean of D is above 0'; 0 before MIN_INTERVALS."""
        if self.intervals < MIN_INTERVALS:
            return 0.0
        deviation = self._deviation
        return _log_mixture(self.intervals, self.centre / deviation) if deviation > 0 else 0.0

    def intervals_to_see(self, ratio: float, *, alpha: float, rho: float) -> int | None:
        """About how many intervals a candidate whose mean is `ratio` times stable's goes unseen; None for not known.

        Such a candidate's mean is taken to scatter `ratio` times as much as has been seen so far.
        """
        if self.intervals < MIN_INTERVALS or ratio <= rho or self._deviation <= 0:
            return None
        effect = (ratio - rho) * self.stable.events / self.stable.requests / (ratio * self._deviation)
        needed = -math.log(alpha * start_weight(0))
        if _log_mixture(_LONGEST_INTERVALS, effect) < needed:
            return None
        known = range(MIN_INTERVALS, _LONGEST_INTERVALS + 1)
        return known[bisect_left(known, needed, key=lambda count: _log_mixture(count, effect))]

    @property
    def _deviation(self) -> float:
        """Of the difference from interval to interval."""
        mean = max(abs(arm.events / arm.requests) for arm in (self.candidate, self.stable))
        return max(math.sqrt(self.squares / (self.intervals - 1)), _ROUNDING * mean)


def _log_mixture(intervals: int, effect: float) -> float:
    """Log of the half-normal mixture after so many intervals in which D was `effect` standard deviations on average."""
    scale = intervals * _SPREAD + 1
    gain = -intervals / 2 * math.log1p(-intervals * _SPREAD / scale * effect**2 / (1 + effect**2))
    sigmas = math.copysign(math.sqrt(2 * gain), effect)
    return math.log(2) + gain + _log_below(sigmas) - math.log(scale) / 2


def _log_below(sigmas: float) -> float:
    """Log of the normal distribution function, also far below its mean."""
    if sigmas > -30:
        return math.log(math.erfc(-sigmas / math.sqrt(2)) / 2)
    return -(sigmas**2) / 2 - math.log(-sigmas * math.sqrt(2 * math.pi))
