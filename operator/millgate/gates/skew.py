"""`TrafficSkewed`: do the requests come in the shares that the weights ask for? Otherwise something chooses who gets
the candidate, and a comparison says nothing about the model (facts/gates.md 7.3).
"""

import math
from dataclasses import dataclass

MAX_P_VALUE = 0.001
LOOKS = 3
TOLERANCE = 0.25
"""Balancers are not exact, and with much traffic any difference is significant: a share off by less than a quarter of
the smaller one is let pass."""


@dataclass(frozen=True)
class TrafficShare:
    """How many looks in a row the share of requests was not the wanted one."""

    looks_in_a_row: int = 0
    observed_share: float | None = None
    expected_share: float | None = None

    def with_look(
        self,
        candidate_requests: float,
        stable_requests: float,
        expected_share: float,
        *,
        tolerance: float = TOLERANCE,
    ) -> "TrafficShare":
        """One interval's requests, and the candidate's share (0..1) that ready pods or weights would give.

        `tolerance`: how far off the share may be, as a part of the smaller one.

        An interval without requests, or at 0 or 1, says nothing: the count stays.
        """
        total = candidate_requests + stable_requests
        if total <= 0 or not 0 < expected_share < 1:
            return self
        observed = candidate_requests / total
        smaller = min(expected_share, 1 - expected_share)
        off = abs(observed - expected_share)
        chi_square = total * off * off / (expected_share * (1 - expected_share))
        unlikely = math.erfc(math.sqrt(chi_square / 2)) < MAX_P_VALUE and off > tolerance * smaller
        return TrafficShare(self.looks_in_a_row + 1 if unlikely else 0, observed, expected_share)

    @property
    def skewed(self) -> bool:
        return self.looks_in_a_row >= LOOKS
