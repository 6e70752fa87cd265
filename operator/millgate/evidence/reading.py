"""Brings the course of a rollout up to date: what is asked of Prometheus, in which order, and how much at once."""

import asyncio
from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from millgate.api.conditions import Reason
from millgate.gates.counters import Owner
from millgate.gates.course import Course
from millgate.gates.expressions import Scope, counters_expression, history_expression
from millgate.gates.gate_course import CompareCourse
from millgate.sources.prometheus import MetricsError, Series

POINTS_AT_ONCE = 120
"""Points of the grid in one query when much has to be read again: bounds the memory an answer takes."""
IN_A_THREAD_FROM_POINTS = 10
"""A look of a few points is folded at once: that takes a millisecond, and a thread would take longer to begin."""


class Metrics(Protocol):
    """Where metrics are read, see `millgate.sources.prometheus`. Raises MetricsError."""

    async def query(self, promql: str, at: datetime, *, lookback_seconds: int | None = None) -> tuple[Series, ...]: ...

    async def query_range(self, promql: str, start: int, end: int, step_seconds: int) -> tuple[Series, ...]: ...


class Reading:
    """Brings one course up to date. What was folded before a query failed is kept in `course`."""

    def __init__(self, metrics: Metrics, namespace: str, fresh_seconds: int, course: Course) -> None:
        self._metrics = metrics
        self._namespace = namespace
        self._fresh_seconds = fresh_seconds
        self.course = course
        self.refused: dict[str, MetricsError] = {}

    async def up_to(self, newest: int | None) -> None:
        """Read all that is missing up to the grid point `newest` (Unix seconds). Raises MetricsError.

        One query holds the selectors of all gates. Where Prometheus refuses it, the gates whose own selectors are to
        blame go into `refused`, and the others are read without them.
        """
        if newest is None:
            return
        try:
            await self._read(newest)
        except MetricsError as error:
            if error.reason is not Reason.QUERY_REFUSED:
                raise
            self.refused = await self._blamed(newest)
            if not self.refused:
                raise
            await self._read(newest)

    async def _read(self, newest: int) -> None:
        await self._find_bounds(newest)
        await self._find_past(newest)
        await self._fold(newest)

    async def _blamed(self, newest: int) -> dict[str, MetricsError]:
        """The gates that Prometheus refuses for what a user wrote, each asked alone."""
        blamed: dict[str, MetricsError] = {}
        for gate in self.course.gates:
            wanted = gate.wanted or gate.wanted_for_bound
            if gate.refused is not None or not wanted:
                continue
            expression = counters_expression(self._scope(*self.course.owners), [], wanted, self._fresh_seconds)
            try:
                await self._metrics.query_range(expression, newest, newest, self.course.grid.interval_seconds)
            except MetricsError as error:
                if error.reason is not Reason.QUERY_REFUSED:
                    raise
                blamed[gate.name] = error
        return blamed

    @property
    def _asked(self) -> list[CompareCourse]:
        return [gate for gate in self.course.gates if gate.name not in self.refused]

    async def _find_bounds(self, newest: int) -> None:
        grid = self.course.grid
        while lacking := [gate for gate in self._asked if gate.lacks_bound]:
            until = self.course.bounds_searched_until
            first = grid.anchor_seconds if until is None else until + grid.interval_seconds
            if first > newest:
                return
            # With history the answer lies in the anchor itself, and the points after it need not be reckoned.
            last = first if until is None else grid.points(first, newest)[:POINTS_AT_ONCE][-1]
            wanted = [one for gate in lacking for one in gate.wanted_for_bound]
            preset = any(gate.compare.preset is not None for gate in lacking)
            expression = history_expression(self._scope(self.course.past_owner), wanted, preset=preset)
            buckets = await self._metrics.query_range(expression, first, last, grid.interval_seconds)
            self.course = self.course.with_bounds(buckets, last)

    async def _find_past(self, newest: int) -> None:
        course = self.course
        lacking = [gate for gate in self._asked if gate.lacks_past and course.past_of(gate)[-1] <= newest]
        for points in dict.fromkeys(course.past_of(gate) for gate in lacking):
            gates = [gate for gate in lacking if course.past_of(gate) == points]
            asked = [gate for gate in gates if gate.needs_past]
            history: tuple[Series, ...] = ()
            if asked:
                expression = self._counters(asked, course.past_owner)
                history = await self._metrics.query_range(expression, points[0], points[-1], points.step)
            self.course = await asyncio.to_thread(self.course.with_past, history, {gate.name for gate in gates})

    async def _fold(self, newest: int) -> None:
        """The counters since the last reading. Both ends of every interval come from one answer.

        So two replicas of Prometheus behind one address, which scrape at different moments, cannot be mistaken for
        a counter that was reset.
        """
        course = self.course
        gates = [gate for gate in self._asked if gate.reads is not None]
        if not gates:
            return
        expression = self._counters(gates, *course.owners)
        names = {gate.name for gate in gates}
        first = min(gate.position(course.grid, course.steps) for gate in gates)
        while first < newest:
            points = course.grid.points(first, newest)[: POINTS_AT_ONCE + 1]
            series = await self._metrics.query_range(expression, points[0], points[-1], points.step)
            if len(points) < IN_A_THREAD_FROM_POINTS:
                self.course = self.course.folded(series, points, names)
            else:
                self.course = await asyncio.to_thread(self.course.folded, series, points, names)
            first = points[-1]

    def _counters(self, gates: Iterable[CompareCourse], *owners: Owner) -> str:
        asked = list(gates)
        reads = [one for gate in asked for one in (gate.reads, gate.training) if one is not None]
        wanted = [one for gate in asked for one in gate.wanted]
        return counters_expression(self._scope(*owners), reads, wanted, self._fresh_seconds)

    def _scope(self, *owners: Owner) -> Scope:
        return Scope(self._namespace, owners)
