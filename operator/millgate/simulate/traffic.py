"""What the simulated clients do: how many requests, at what time of day, and how stable answers them."""

import math
from dataclasses import dataclass

DAY_SECONDS = 86_400
PEAK_HOUR = 15


@dataclass(frozen=True)
class Traffic:
    """Requests as a Poisson process, and stable's errors and latencies. Seconds count from the first traffic step.

    `daily_swing`: how far the rate moves about its mean in the course of a day, 0 to 1, with its peak at 15:00.
    `error_swing`: the same of the error rate. `start_hour`: the time of day at which the first step begins.
    Latencies are lognormal with this median and the standard deviation `latency_sigma` of their logarithm.
    `cluster_size`: how many errors come together on average, on both revisions and before the rollout as well.
    """

    requests_per_second: float = 100.0
    error_rate: float = 0.005
    latency_median_seconds: float = 0.02
    latency_sigma: float = 0.8
    daily_swing: float = 0.0
    error_swing: float = 0.0
    start_hour: float = 9.0
    cluster_size: float = 1.0

    def rate(self, seconds: float) -> float:
        """Requests a second at this moment."""
        return self.requests_per_second * (1 + self.daily_swing * self._wave(seconds))

    def errors(self, seconds: float) -> float:
        """The share of stable's answers that are errors at this moment."""
        return self.error_rate * (1 + self.error_swing * self._wave(seconds))

    def slower_than(self, bound_seconds: float, factor: float = 1.0) -> float:
        """The share of answers slower than a bound, when every answer takes `factor` times as long as stable's."""
        if math.isinf(bound_seconds):
            return 0.0
        away = math.log(bound_seconds / (self.latency_median_seconds * factor)) / self.latency_sigma
        return 0.5 * math.erfc(away / math.sqrt(2))

    def slow_bound(self, quantile: float) -> float:
        """The latency, in seconds, that this share of stable's answers does not exceed."""
        low, high = self.latency_median_seconds * 1e-6, self.latency_median_seconds * 1e6
        while high / low > 1 + 1e-9:
            middle = math.sqrt(low * high)
            low, high = (middle, high) if self.slower_than(middle) > 1 - quantile else (low, middle)
        return high

    def _wave(self, seconds: float) -> float:
        if not (self.daily_swing or self.error_swing):
            return 0.0
        hour = self.start_hour + seconds / 3600
        return math.cos(2 * math.pi * (hour - PEAK_HOUR) / 24)
