"""Latency as a share: how many requests are slower than a bound that stable's quantile sets (facts/gates.md 2.3)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

HISTORY_SECONDS = 3600
MIN_HISTORY_REQUESTS = 100.0
"""So many requests must stable have answered before its quantile is believed."""


@dataclass(frozen=True)
class Bound:
    """'Slow' is above `le` seconds. The text is the label as Prometheus has it, for a selector must match it exactly.

    Only what happens after `known_at_seconds` (Unix time, on the grid) is judged by it: a bound that was chosen by the
    very requests that it judges would make the test invalid.
    """

    le: str
    known_at_seconds: int


def first_bound(buckets: Sequence[tuple[int, Sequence[tuple[str, float]]]], quantile: float) -> Bound | None:
    """The bound at the first point of the grid at which stable's last hour holds enough requests.

    `buckets`: for each point (Unix seconds) the cumulative counts of the hour before it, by `le`. With history this is
    the anchor itself, hence nothing that is judged; without, the rollout's first minutes are spent on it.
    """
    for point, counts in sorted(buckets):
        le = slow_above(counts, quantile)
        if le is not None:
            return Bound(le, point)
    return None


def slow_above(counts: Sequence[tuple[str, float]], quantile: float) -> str | None:
    """The smallest finite bucket bound that at least `quantile` of the requests did not exceed.

    When the quantile lies above all finite bounds, the largest one serves: a share of slow requests can be compared at
    any bound. None with too few requests to say.
    """
    known = sorted((float(le), le, count) for le, count in counts if math.isfinite(count))
    if not known or not math.isinf(known[-1][0]) or known[-1][2] < MIN_HISTORY_REQUESTS:
        return None
    total, finite = known[-1][2], known[:-1]
    if not finite:
        return None
    reached = (le for _, le, count in finite if count >= quantile * total)
    return next(reached, finite[-1][1])
