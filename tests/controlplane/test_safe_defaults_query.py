"""What a query says when it gives no number or the wrong one, and what is said while Prometheus itself fails."""

from pathlib import Path

import pytest

from millgate.api.spec import Gate, GateType, Query
from millgate.api.status import GateStatus
from millgate.sources.prometheus import Prometheus
from tests.controlplane.evidence_case import Counting
from tests.controlplane.prometheus_process import Page, PrometheusProcess
from tests.controlplane.rollout_story import CANDIDATE, INTERVAL_SECONDS, Behaviour, Story, errors_gate
from tests.controlplane.safe_defaults import Pods, Row, candidate, reader, stable, verdict_of

ERRORS = 'millgate_request_errors_total{revision="$(candidate)"}'
REQUESTS = 'millgate_requests_total{revision="$(candidate)"}'
SHARE = f"sum(rate({ERRORS}[30s])) / sum(rate({REQUESTS}[30s]))"


def query(promql: str, at_most: str = "0.5", consecutive: int = 1) -> Gate:
    return Gate(name="share", type=GateType.QUERY, query=Query(promql=promql, max=at_most, consecutive=consecutive))


def bad_between(start: float, end: float, *, until: float = 1000) -> Pods:
    share = Behaviour(10, lambda t: 0.9 if start <= t < end else 0.0, from_second=-20, until_second=until)
    return {"s": stable(), "c": (CANDIDATE, share)}


ASKED = [
    Row("a number", {"c": candidate(0.1)}, ("Pass", "WithinBounds"), "gave 0.1", gate=query(SHARE)),
    Row("no series", {"s": stable()}, ("Inconclusive", "NoData"), "gave nothing", gate=query(SHARE)),
    Row("NaN", {"c": candidate(per_second=0)}, ("Inconclusive", "NoData"), "gave nan", gate=query(SHARE)),
    Row("+Inf", {"c": candidate()}, ("Inconclusive", "NoData"), "gave inf", gate=query(f"sum({REQUESTS}) / 0")),
    Row(
        "several series",
        {"c": candidate(), "d": candidate()},
        ("Inconclusive", "AmbiguousResult"),
        "2 series",
        gate=query(REQUESTS),
    ),
    Row(
        "the last sample is old",
        {"c": candidate(until_second=255)},
        ("Inconclusive", "NoData"),
        "gave nothing",
        gate=query(f"sum({REQUESTS})"),
    ),
    Row(
        "another namespace",
        {"c": candidate()},
        ("Inconclusive", "QueryRefused"),
        'character 4: up{→namespace="x"}',
        gate=query('up{namespace="x"}'),
    ),
    Row(
        "refused by Prometheus",
        {"c": candidate(), "d": candidate()},
        ("Inconclusive", "QueryRefused"),
        "refuses the query",
        gate=query(f"{REQUESTS} + on() {REQUESTS}"),
    ),
    Row(
        "out of bounds, not often enough",
        bad_between(265, 400),
        ("Inconclusive", "OutOfBounds"),
        "of 4 readings in a row",
        gate=query(SHARE, consecutive=4),
    ),
    Row(
        "out of bounds, so many times in a row",
        bad_between(200, 400),
        ("Fail", "OutOfBounds"),
        "(4 of 4 readings in a row)",
        gate=query(SHARE, consecutive=4),
    ),
    Row(
        "out of bounds, and good again",
        bad_between(100, 230),
        ("Pass", "WithinBounds"),
        "gave",
        gate=query(SHARE, consecutive=4),
    ),
]


@pytest.mark.parametrize("row", ASKED, ids=lambda row: row.situation)
async def test_a_query(prometheus: PrometheusProcess, metrics: Counting, row: Row) -> None:
    status = await verdict_of(prometheus, metrics, row)
    assert (status.verdict.value, status.reason) == row.expected, status.message
    assert row.words in status.message


async def test_readings_that_failed_in_between_break_no_row_and_add_nothing(
    prometheus: PrometheusProcess, metrics: Counting
) -> None:
    """Out of bounds three times, then nothing for more than a minute, then out of bounds again: four in a row."""
    story = Story(gates=(query(SHARE, consecutive=4),))
    gap = range(15, 130)
    written = [
        (labels, [(time, value) for time, value in samples if round(time - story.anchor) not in gap])
        for labels, samples in story.counters({"c": candidate(0.9)})
    ]
    prometheus.write(written)
    live, said = reader(metrics), []
    for second in range(11, 160, INTERVAL_SECONDS):
        (status,) = await live.judge(story.request(second), story.at(second))
        (fresh,) = await reader(metrics).judge(story.request(second), story.at(second))
        assert fresh == status
        said.append(f"{status.verdict.value} {status.reason}")
    out, unread, failed = "Inconclusive OutOfBounds", "Inconclusive NoData", "Fail OutOfBounds"
    assert [said.count(one) for one in (out, failed)] == [3, len(said) - said.index(failed)]
    assert said[: said.index(failed)] == [out] * 3 + [unread] * (said.index(failed) - 3)
    assert said.index(failed) > 8


async def test_an_earlier_reading_of_the_step_is_asked_for_once(
    prometheus: PrometheusProcess, metrics: Counting
) -> None:
    story = Story(gates=(query(SHARE, consecutive=4),))
    prometheus.write(story.counters({"c": candidate(0.9)}))
    asked: list[float] = []

    class Noting:
        async def query(self, promql: str, at: object, *, lookback_seconds: int | None = None) -> object:
            asked.append(at.timestamp() - story.anchor)
            return await metrics.query(promql, at, lookback_seconds=lookback_seconds)

    live = reader(Noting())
    for second in (101.5, 111.5, 121.5):
        await live.judge(story.request(second), story.at(second))
    assert sorted(asked) == sorted(set(asked))
    assert asked[-2:] == [110, 120]


class TestPrometheusItself:
    """Prometheus is what fails: nothing is said of the candidate, and what has failed still fails."""

    GATES = (errors_gate(), query(f"sum({REQUESTS})", at_most="1000000"))

    async def judged(self, story: Story, url: str, seconds: float, timeout_seconds: float) -> tuple[GateStatus, ...]:
        client = Prometheus(url, timeout_seconds=timeout_seconds)
        try:
            return await reader(client).judge(story.request(seconds), story.at(seconds))
        finally:
            client.close()

    def story(self, prometheus: PrometheusProcess) -> Story:
        story = Story(gates=self.GATES)
        prometheus.write(story.counters({"s": stable(), "c": candidate()}))
        return story

    async def test_down(self, prometheus: PrometheusProcess) -> None:
        story = self.story(prometheus)
        with prometheus.stopped():
            statuses = await self.judged(story, prometheus.url, 301.5, 5)
        self.unavailable(statuses, "cannot be reached: connection refused")
        assert {one.verdict.value for one in await self.judged(story, prometheus.url, 301.5, 10)} == {"Pass"}

    async def test_hanging(self, prometheus: PrometheusProcess) -> None:
        story = self.story(prometheus)
        with prometheus.frozen():
            statuses = await self.judged(story, prometheus.url, 301.5, 0.5)
        self.unavailable(statuses, "did not answer within 0.5 s")

    async def test_an_error_of_its_own(self, tmp_path: Path) -> None:
        """HTTP 503: it gave up a query that took it longer than it may."""
        page = Page()
        server = PrometheusProcess(tmp_path, page, flags=("--query.timeout=1ms",))
        server.start()
        try:
            slow = query("max_over_time(sum(sum_over_time(millgate_requests_total[10m]))[10h:1s])", at_most="1000000")
            story = Story(gates=(slow,))
            server.write(story.counters({"s": stable(), "c": candidate()}))
            statuses = await self.judged(story, server.url, 301.5, 10)
        finally:
            server.stop()
            page.close()
        self.unavailable(statuses, "answered HTTP 503")

    def unavailable(self, statuses: tuple[GateStatus, ...], words: str) -> None:
        assert {(one.verdict.value, one.reason) for one in statuses} == {("Inconclusive", "MetricsUnavailable")}
        assert all(words in one.message for one in statuses), [one.message for one in statuses]
