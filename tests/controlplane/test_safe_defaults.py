"""What a gate says when it cannot see, row by row (facts/gates.md 7.3), of counters that a real Prometheus holds.

Each row is read live, tick by tick, and again by a fresh process: they must say the same.
"""

import json
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from millgate.api.spec import Gate, GateType, Query
from millgate.api.status import GateStatus
from millgate.evidence.reader import EvidenceReader
from millgate.sources.prometheus import Prometheus
from tests.controlplane.prometheus_process import Page, PrometheusProcess
from tests.controlplane.rollout_story import (
    CANDIDATE,
    INTERVAL_SECONDS,
    SCRAPE_SECONDS,
    STABLE,
    Behaviour,
    Story,
    Written,
    errors_gate,
)

Pods = dict[str, tuple[str, Behaviour]]
Change = Callable[[Story, list[Written]], list[Written]]
STEPS = (("canary-10", 10, -0.5),)
TWO_STEPS = (("canary-10", 10, -0.5), ("half", 50, 103.0))
OLDER = "r00000old0"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusProcess]:
    page = Page()
    process = PrometheusProcess(tmp_path_factory.mktemp("prometheus"), page)
    process.start()
    yield process
    process.stop()
    page.close()


@pytest.fixture
def metrics(server: PrometheusProcess) -> Iterator[Prometheus]:
    client = Prometheus(server.url, timeout_seconds=10)
    yield client
    client.close()


def reader(metrics: Prometheus) -> EvidenceReader:
    return EvidenceReader(metrics, scrape_interval_seconds=SCRAPE_SECONDS)


def stable(share: float = 0.01, **more: object) -> tuple[str, Behaviour]:
    return STABLE, Behaviour(50, lambda _: share, **more)


def candidate(share: float = 0.01, per_second: float = 10, **more: object) -> tuple[str, Behaviour]:
    return CANDIDATE, Behaviour(per_second, lambda _: share, **{"from_second": -20, **more})


def as_it_is(_: Story, written: list[Written]) -> list[Written]:
    return written


def without(metric: str, pod: str) -> Change:
    """The pod exports no such series."""

    def change(_: Story, written: list[Written]) -> list[Written]:
        return [one for one in written if not (one[0]["__name__"] == metric and one[0]["pod"] == pod)]

    return change


def reset_at(second: float, pod: str) -> Change:
    """The container restarts: all of its counters begin again at zero."""

    def change(story: Story, written: list[Written]) -> list[Written]:
        return [
            (labels, _begun_again(samples, story.anchor + second) if labels["pod"] == pod else samples)
            for labels, samples in written
        ]

    return change


def _begun_again(samples: list[tuple[float, float]], moment: float) -> list[tuple[float, float]]:
    lost = next(value for time, value in samples if time >= moment)
    return [(time, value - lost if time >= moment else value) for time, value in samples]


def grown_by(amount: float, pod: str) -> Change:
    """The pod has counted so much before it is seen for the first time."""

    def change(_: Story, written: list[Written]) -> list[Written]:
        return [
            (labels, [(time, value + amount) for time, value in samples] if labels["pod"] == pod else samples)
            for labels, samples in written
        ]

    return change


@dataclass(frozen=True)
class Row:
    """A row of the table: what the pods count, and what is said of it."""

    situation: str
    pods: Pods
    expected: tuple[str, str]
    words: str
    change: Change = as_it_is
    gate: Gate = field(default_factory=errors_gate)
    steps: tuple[tuple[str, int, float], ...] = STEPS
    seconds: float = 301.5
    samples: tuple[float, float] | None = None


def two_bursts(second: float) -> float:
    """In the interval in which the weight changes every answer is an error."""
    return 1.0 if 100 <= second < 110 else 0.01


COMPARED = [
    Row("no denominator series", {"s": stable()}, ("Inconclusive", "NoData"), "no fresh counters of the candidate"),
    Row("nothing at all", {}, ("Inconclusive", "NoData"), "no fresh counters of the candidate"),
    Row(
        "no denominator series of stable",
        {"c": candidate()},
        ("Inconclusive", "NoData"),
        "no fresh counters of the stable revision",
    ),
    Row(
        "zero requests",
        {"s": stable(), "c": candidate(per_second=0)},
        ("Inconclusive", "NoData"),
        "no request was answered by the candidate",
    ),
    Row(
        "denominator without numerator",
        {"s": stable(0.0), "c": candidate(0.0)},
        ("Pass", "NotWorse"),
        "0 % of 3,0",
        change=without("millgate_request_errors_total", "c"),
    ),
    Row(
        "the last sample is old",
        {"s": stable(), "c": candidate(until_second=255)},
        ("Inconclusive", "NoData"),
        "no fresh counters of the candidate",
    ),
    Row(
        "the last sample of stable is old",
        {"s": stable(until_second=255), "c": candidate()},
        ("Inconclusive", "NoData"),
        "no fresh counters of the stable revision",
    ),
    Row(
        "too few samples",
        {"s": stable(), "c": candidate(per_second=0.3)},
        ("Inconclusive", "TooFewSamples"),
        "of 100 requests answered by the candidate",
    ),
    Row(
        "too few samples in this step, enough in the one before",
        {"s": stable(), "c": candidate()},
        ("Inconclusive", "TooFewSamples"),
        "of 300 requests",
        gate=errors_gate(min_samples=300),
        steps=TWO_STEPS,
        seconds=131.5,
    ),
    Row(
        "pods of an older generation have no vote",
        {"s": stable(), "c": candidate(0.01), "o": (OLDER, Behaviour(50, lambda _: 0.9))},
        ("Pass", "NotWorse"),
        "not shown to be worse",
    ),
    Row(
        "a counter begins again at zero",
        {"s": stable(), "c": candidate()},
        ("Pass", "NotWorse"),
        "not shown to be worse",
        change=reset_at(150, "c"),
        samples=(2900, 3050),
    ),
    Row(
        "a counter of stable begins again at zero",
        {"s": stable(), "c": candidate()},
        ("Pass", "NotWorse"),
        "not shown to be worse",
        change=reset_at(150, "s"),
    ),
    Row(
        "a pod that has already counted a thousand errors is seen for the first time",
        {"s": (STABLE, Behaviour(150, lambda _: 0.01)), "c": candidate(), "d": candidate(from_second=150)},
        ("Pass", "NotWorse"),
        "not shown to be worse",
        change=grown_by(1000, "d"),
        samples=(4300, 4550),
    ),
    Row(
        "an error series is born with its first error, and that one counts",
        {
            "s": stable(0.0),
            "c": (CANDIDATE, Behaviour(10, lambda t: 1.0 * (60 <= t < 65), 0, -20, late_error_series=True)),
        },
        ("Fail", "WorseThanStable"),
        "worse than 1.2 times stable",
    ),
    Row(
        "the interval in which the weight changes says nothing",
        {"s": stable(), "c": (CANDIDATE, Behaviour(10, two_bursts, from_second=-20))},
        ("Pass", "NotWorse"),
        "not shown to be worse",
        steps=TWO_STEPS,
    ),
    Row(
        "the same burst within a step is evidence",
        {"s": stable(), "c": (CANDIDATE, Behaviour(10, two_bursts, from_second=-20))},
        ("Fail", "WorseThanStable"),
        "worse than 1.2 times stable",
    ),
    Row(
        "the requests come in other shares than the weight",
        {**{f"s{n}": (STABLE, Behaviour(2)) for n in range(3)}, "c": candidate(0.0, 50)},
        ("Inconclusive", "TrafficSkewed"),
        "where 25 % are meant",
    ),
    Row(
        "stable has almost no errors",
        {"s": (STABLE, Behaviour(50, lambda t: 0.2 * (-50 <= t < -45))), "c": candidate(0.0)},
        ("Pass", "NotWorse"),
        "not shown to be worse",
    ),
    Row(
        "far better than stable",
        {"s": stable(0.05), "c": candidate(0.0)},
        ("Pass", "NotWorse"),
        "that is far better, does the candidate answer",
    ),
    Row(
        "better than stable, as a good model may be",
        {"s": stable(0.05), "c": candidate(0.03)},
        ("Pass", "NotWorse"),
        "not shown to be worse than 1.2 times stable",
    ),
]


async def verdict_of(server: PrometheusProcess, metrics: Prometheus, row: Row) -> GateStatus:
    story = Story(gates=(row.gate,), steps=row.steps)
    written = row.change(story, story.counters(row.pods))
    if written:
        server.write(written)
    live = reader(metrics)
    seconds = [*range(11, int(row.seconds), INTERVAL_SECONDS), row.seconds]
    for second in seconds:
        (alive,) = await live.judge(story.request(second), story.at(second))
    # A gap of many intervals, and then a process that knows nothing of what was before.
    (fresh,) = await reader(metrics).judge(story.request(row.seconds), story.at(row.seconds))
    assert fresh == alive
    return fresh


@pytest.mark.parametrize("row", COMPARED, ids=lambda row: row.situation)
async def test_a_comparison(server: PrometheusProcess, metrics: Prometheus, row: Row) -> None:
    status = await verdict_of(server, metrics, row)
    assert (status.verdict.value, status.reason) == row.expected, status.message
    assert row.words in status.message
    if row.samples is not None:
        assert status.samples is not None
        assert row.samples[0] <= status.samples <= row.samples[1]


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
async def test_a_query(server: PrometheusProcess, metrics: Prometheus, row: Row) -> None:
    status = await verdict_of(server, metrics, row)
    assert (status.verdict.value, status.reason) == row.expected, status.message
    assert row.words in status.message


async def test_readings_that_failed_in_between_break_no_row_and_add_nothing(
    server: PrometheusProcess, metrics: Prometheus
) -> None:
    """Out of bounds three times, then nothing for more than a minute, then out of bounds again: four in a row."""
    story = Story(gates=(query(SHARE, consecutive=4),))
    gap = range(15, 130)
    written = [
        (labels, [(time, value) for time, value in samples if round(time - story.anchor) not in gap])
        for labels, samples in story.counters({"c": candidate(0.9)})
    ]
    server.write(written)
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


async def test_an_earlier_reading_of_the_step_is_asked_for_once(server: PrometheusProcess, metrics: Prometheus) -> None:
    story = Story(gates=(query(SHARE, consecutive=4),))
    server.write(story.counters({"c": candidate(0.9)}))
    asked: list[float] = []

    class Counting:
        async def query(self, promql: str, at: object, *, lookback_seconds: int | None = None) -> object:
            asked.append(at.timestamp() - story.anchor)
            return await metrics.query(promql, at, lookback_seconds=lookback_seconds)

    live = EvidenceReader(Counting(), scrape_interval_seconds=SCRAPE_SECONDS)
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

    def story(self, server: PrometheusProcess) -> Story:
        story = Story(gates=self.GATES)
        server.write(story.counters({"s": stable(), "c": candidate()}))
        return story

    async def test_down(self, server: PrometheusProcess) -> None:
        story = self.story(server)
        with server.stopped():
            statuses = await self.judged(story, server.url, 301.5, 5)
        self.unavailable(statuses, "cannot be reached: connection refused")
        assert {one.verdict.value for one in await self.judged(story, server.url, 301.5, 10)} == {"Pass"}

    async def test_hanging(self, server: PrometheusProcess) -> None:
        story = self.story(server)
        with server.frozen():
            statuses = await self.judged(story, server.url, 301.5, 0.5)
        self.unavailable(statuses, "did not answer within 0.5 s")

    async def test_an_error_of_its_own(self, tmp_path: object) -> None:
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


def test_prometheus_serves_samples_of_five_minutes_ago_to_others(server: PrometheusProcess) -> None:
    """Why the age of a sample is asked for: the same question by itself has an answer long after the pod is gone."""
    story = Story(gates=(errors_gate(),))
    server.write(story.counters({"c": candidate(until_second=255)}))
    asked = {"query": f'millgate_requests_total{{namespace="{story.namespace}"}}', "time": str(story.anchor + 301)}
    with urllib.request.urlopen(f"{server.url}/api/v1/query?{urllib.parse.urlencode(asked)}", timeout=10) as answer:
        assert len(json.load(answer)["data"]["result"]) == 1
