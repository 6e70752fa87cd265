"""The fixed grid of whole seconds on which counters are read, so that reading live and reading again later agree."""

import math
from dataclasses import dataclass
from datetime import datetime

SETTLE_SECONDS = 1.0
"""How long after a grid point it is read. A scrape is stored under the time at which it began, and only once it has
ended: without this pause the same question asked later could have another answer."""


@dataclass(frozen=True)
class Grid:
    """The points `anchor_seconds + k * interval_seconds` (Unix time), k = 0, 1, 2, …"""

    anchor_seconds: int
    interval_seconds: int

    def newest(self, now: datetime) -> int | None:
        """The newest point that may be read at `now`, in Unix seconds; None before the anchor itself may be."""
        return self._at_or_before(now.timestamp() - SETTLE_SECONDS)

    def next_look(self, now: datetime) -> float:
        """The Unix time at which the next point may be read, always after `now`."""
        newest = self.newest(now)
        point = self.anchor_seconds if newest is None else newest + self.interval_seconds
        return point + SETTLE_SECONDS

    def points(self, first: int, last: int) -> range:
        """The points from `first` to `last`, both of which lie on the grid."""
        return range(first, last + 1, self.interval_seconds)

    def _at_or_before(self, unix_seconds: float) -> int | None:
        steps = math.floor((unix_seconds - self.anchor_seconds) / self.interval_seconds)
        return self.anchor_seconds + steps * self.interval_seconds if steps >= 0 else None


def grid_from(start: datetime, interval_seconds: int) -> Grid:
    """The grid of a rollout whose first step with traffic began at `start`: it is anchored at the next whole second."""
    return Grid(math.ceil(start.timestamp()), interval_seconds)
