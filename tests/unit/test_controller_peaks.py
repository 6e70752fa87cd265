"""The peak that a benchmark asks twice of: asked once, beside the loop, and never waited for longer than a query."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import promql_parser
import pytest

from millgate.api.conditions import Reason
from millgate.controller.peaks import Peak, Peaks, peak_query, unmeasured
from millgate.sources.prometheus import MetricsError, Series

KEY = ("risk", "fraud")
NOW = datetime(2026, 11, 23, tzinfo=UTC)


@dataclass
class Metrics:
    """A Prometheus with one answer, given when it is let."""

    answer: Sequence[Series] | MetricsError = ()
    asked: list[str] = field(default_factory=list)
    let: asyncio.Event = field(default_factory=asyncio.Event)

    async def query(self, promql: str, at: datetime, *, lookback_seconds: int | None = None) -> tuple[Series, ...]:
        assert (at, lookback_seconds) == (NOW, None)
        self.asked.append(promql)
        await self.let.wait()
        if isinstance(self.answer, MetricsError):
            raise self.answer
        return tuple(self.answer)

    async def query_range(self, *_: Any) -> tuple[Series, ...]:
        raise AssertionError("a peak is one number")


def of(metrics: Metrics, wake: Callable[[Any], None] = lambda _: None) -> Peaks:
    return Peaks(metrics, wake=wake, clock=lambda: NOW)


def number(*values: float) -> tuple[Series, ...]:
    return tuple(Series({}, ((0.0, value),)) for value in values)


@pytest.mark.parametrize(
    ("answer", "peak"),
    [
        (number(41.5), 41.5),
        ((), None),
        (number(0.0), None),
        (number(float("nan")), None),
        (number(float("inf")), None),
        (MetricsError(Reason.METRICS_UNAVAILABLE, "it is away"), None),
    ],
)
async def test_the_one_who_waits_is_woken_by_whatever_answer_comes(
    answer: Sequence[Series] | MetricsError, peak: float | None
) -> None:
    woken: asyncio.Queue[Any] = asyncio.Queue()
    metrics = Metrics(answer)
    peaks = of(metrics, woken.put_nowait)
    assert peaks.known(KEY, 1) is None
    assert peaks.known(KEY, 1) is None
    metrics.let.set()
    assert await woken.get() == KEY
    assert peaks.known(KEY, 1) == Peak(peak)
    assert len(metrics.asked) == 1


async def test_another_visit_asks_anew() -> None:
    woken: asyncio.Queue[Any] = asyncio.Queue()
    metrics = Metrics(number(3.0))
    metrics.let.set()
    peaks = of(metrics, woken.put_nowait)
    for visit in (1, 2):
        assert peaks.known(KEY, visit) is None
        await woken.get()
        assert peaks.known(KEY, visit) == Peak(3.0)
    assert len(metrics.asked) == 2


async def test_nobody_is_woken_for_what_is_forgotten() -> None:
    woken: list[Any] = []
    metrics = Metrics(number(3.0))
    peaks = of(metrics, woken.append)
    peaks.known(KEY, 1)
    await asyncio.sleep(0)
    peaks.close()
    metrics.let.set()
    await asyncio.sleep(0)
    assert woken == []


def test_without_prometheus_the_answer_is_there_at_once() -> None:
    assert Peaks().known(KEY, 1) == unmeasured(1) == Peak(None)


def test_the_query_is_promql_of_this_namespace_and_of_no_other_name_s_pods() -> None:
    text = peak_query("risk", "fraud-eu", 300)
    assert promql_parser.parse(text)
    assert 'namespace="risk"' in text
    assert r'pod=~"fraud\\-eu-r[0-9a-f]{9}-.+"' in text
    assert "[7d:300s]" in text
