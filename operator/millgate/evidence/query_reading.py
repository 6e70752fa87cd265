"""Reads what a Query gate asks for at the points of the grid, and no point of a step twice."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from millgate.api.spec import Query
from millgate.evidence.reading import Metrics
from millgate.gates.query import Numbers, needs_earlier

POINTS_AT_ONCE = 8
MAX_REMEMBERED = 8192
"""Gates whose readings are kept in memory; what was dropped is read again."""


@dataclass(frozen=True)
class QuestionKey:
    """One Query gate in one visit of a step: under another question or in another step nothing carries over."""

    uid: str
    gate: str
    promql: str
    first_point: int


class QueryReading:
    """The readings of Query gates. After a restart those of the step are read again, at the same times as before."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._known: OrderedDict[QuestionKey, Mapping[int, Numbers]] = OrderedDict()

    async def newest_first(
        self, key: QuestionKey, query: Query, points: Sequence[int], lookback_seconds: int
    ) -> Sequence[Numbers]:
        """What the query gave at `points`, backwards as far as the verdict depends on it. Raises MetricsError."""
        before, found = self._known.get(key, {}), dict[int, Numbers]()
        waiting = list(reversed(points))
        while waiting:
            # A single reading is mostly all that is needed: only a row that has begun looks further back.
            count = 1 if not found else POINTS_AT_ONCE
            now, waiting = waiting[:count], waiting[count:]
            numbers = await asyncio.gather(*(self._at(key, point, before, lookback_seconds) for point in now))
            found |= zip(now, numbers, strict=True)
            if not needs_earlier(query, list(found.values())):
                break
        self._keep(key, found)
        return list(found.values())

    def forget(self, uid: str) -> None:
        for key in [key for key in self._known if key.uid == uid]:
            del self._known[key]

    async def _at(self, key: QuestionKey, point: int, before: Mapping[int, Numbers], lookback_seconds: int) -> Numbers:
        if point in before:
            return before[point]
        at = datetime.fromtimestamp(point, UTC)
        answer = await self._metrics.query(key.promql, at, lookback_seconds=lookback_seconds)
        return tuple(series.samples[-1][1] for series in answer if series.samples)

    def _keep(self, key: QuestionKey, found: Mapping[int, Numbers]) -> None:
        """Only what was needed now can be needed next: what lies behind it has no say any more."""
        self._known[key] = found
        self._known.move_to_end(key)
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
