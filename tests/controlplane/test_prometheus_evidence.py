"""Verdicts on what a real Prometheus holds: right ones, the same again from a fresh process, and none without data."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

import pytest

from millgate.api.spec import Gate
from millgate.api.status import GateStatus
from millgate.evidence.reader import EvidenceReader
from millgate.sources.prometheus import Prometheus, Series
from tests.controlplane.prometheus_process import Page, PrometheusProcess
from tests.controlplane.rollout_story import (
    CANDIDATE,
    INTERVAL_SECONDS,
    SCRAPE_SECONDS,
    STABLE,
    Behaviour,
    Story,
    errors_gate,
    latency_gate,
    query_gate,
)

TWO_STEPS = (("canary-10", 10, -0.5), ("half", 50, 103.0))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusProcess]:
    page = Page()
    process = PrometheusProcess(tmp_path_factory.mktemp("prometheus"), page)
    process.start()
    yield process
    process.stop()
    page.close()


@dataclass
class Counting:
    """The client of Prometheus, with a note of each question."""

    client: Prometheus
    asked: list[str] = field(default_factory=list)

    async def query(self, promql: str, at: datetime, *, lookback_seconds: int | None = None) -> tuple[Series, ...]:
        self.asked.append(promql)
        return await self.client.query(promql, at, lookback_seconds=lookback_seconds)

    async def query_range(self, promql: str, start: int, end: int, step_seconds: int) -> tuple[Series, ...]:
        self.asked.append(promql)
        return await self.client.query_range(promql, start, end, step_seconds)


@pytest.fixture
def metrics(server: PrometheusProcess) -> Iterator[Counting]:
    client = Prometheus(server.url, timeout_seconds=10)
    yield Counting(client)
    client.close()


def reader(metrics: Counting) -> EvidenceReader:
    return EvidenceReader(metrics, scrape_interval_seconds=SCRAPE_SECONDS)


def said(status: GateStatus) -> tuple[str, str]:
    return status.verdict.value, status.reason


async def judge(metrics: Counting, story: Story, seconds: float) -> tuple[GateStatus, ...]:
    """What a fresh process says at `seconds` after the anchor."""
    return await reader(metrics).judge(story.request(seconds), story.at(seconds))


def steady(share: float) -> Behaviour:
    return Behaviour(requests_per_second=50, error_share=lambda _: share)


def candidate(share: float, **more: object) -> Behaviour:
    return Behaviour(requests_per_second=10, error_share=lambda _: share, from_second=-20, **more)


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.01, ("Pass", "NotWorse")), (0.0, ("Pass", "NotWorse")), (0.2, ("Fail", "WorseThanStable"))],
    ids=["as good as stable", "no errors at all", "twenty times as many errors"],
)
async def test_a_candidate_is_judged_by_its_errors(
    server: PrometheusProcess, metrics: Counting, share: float, expected: tuple[str, str]
) -> None:
    story = Story(gates=(errors_gate(),))
    server.write(story.counters({"s": (STABLE, steady(0.01)), "c": (CANDIDATE, candidate(share))}))
    (status,) = await judge(metrics, story, 301.5)
    assert said(status) == expected
    assert float(str(status.value)) == pytest.approx(share, rel=0.1)
    assert float(str(status.reference)) == pytest.approx(0.01, rel=0.1)
    assert status.samples is not None
    assert status.samples >= 100


async def test_errors_of_a_series_that_is_born_with_the_first_error_are_counted(
    server: PrometheusProcess, metrics: Counting
) -> None:
    story = Story(gates=(errors_gate(),))
    broken = Behaviour(10, lambda second: 1.0 if 60 <= second < 65 else 0.0, from_second=-20, late_error_series=True)
    server.write(story.counters({"s": (STABLE, steady(0.001)), "c": (CANDIDATE, broken)}))
    (before,) = await judge(metrics, story, 61.5)
    (after,) = await judge(metrics, story, 71.5)
    assert said(before) == ("Pass", "NotWorse")
    assert said(after) == ("Fail", "WorseThanStable")


async def test_live_reading_a_restart_in_between_and_a_fresh_process_agree_to_the_last_digit(
    server: PrometheusProcess, metrics: Counting
) -> None:
    story = Story(gates=(errors_gate(), latency_gate()), steps=TWO_STEPS)
    restarting = Behaviour(10, lambda second: 0.03 if second > 150 else 0.01, 0.02, from_second=-20)
    pods = {
        "s1": (STABLE, Behaviour(50, lambda second: 0.02 if second % 100 < 10 else 0.005, 0.01)),
        "s2": (STABLE, Behaviour(30, lambda _: 0.01, 0.02, until_second=130)),
        "c1": (CANDIDATE, restarting),
        "c2": (CANDIDATE, Behaviour(10, lambda _: 0.02, 0.03, from_second=80)),
    }
    server.write(story.counters(pods))
    live, killed = reader(metrics), reader(metrics)
    for tick in range(1, 41):
        now = tick * INTERVAL_SECONDS + 1.5
        alive = await live.judge(story.request(now), story.at(now))
        if tick % 7 == 0:
            killed = reader(metrics)  # a new process knows nothing
        assert await killed.judge(story.request(now), story.at(now)) == alive
        if tick % 10 == 0:
            assert await judge(metrics, story, now) == alive
    assert {status.step for status in alive} == {"half"}
    assert all(status.samples and status.samples > 1000 for status in alive)


async def test_ticks_that_were_missed_change_nothing(server: PrometheusProcess, metrics: Counting) -> None:
    story = Story(gates=(errors_gate(),))
    server.write(story.counters({"s": (STABLE, steady(0.01)), "c": (CANDIDATE, candidate(0.02))}))
    lazy = reader(metrics)
    for now in (14.0, 88.2, 89.9, 301.5):
        newest = await lazy.judge(story.request(now), story.at(now))
    assert newest == await judge(metrics, story, 301.5)


async def test_gates_share_one_query_a_look(server: PrometheusProcess, metrics: Counting) -> None:
    story = Story(gates=(errors_gate(), latency_gate()))
    server.write(story.counters({"s": (STABLE, steady(0.01)), "c": (CANDIDATE, candidate(0.01))}))
    live = reader(metrics)
    await live.judge(story.request(101.5), story.at(101.5))
    metrics.asked.clear()
    await live.judge(story.request(111.5), story.at(111.5))
    assert len(metrics.asked) == 1
    await live.judge(story.request(112.5), story.at(112.5))
    assert len(metrics.asked) == 1


@pytest.mark.parametrize(
    ("slow_share", "expected"),
    [(0.005, ("Pass", "NotWorse")), (0.1, ("Fail", "WorseThanStable"))],
    ids=["as fast as stable", "twenty times as many slow answers"],
)
async def test_a_candidate_is_judged_by_its_slow_answers(
    server: PrometheusProcess, metrics: Counting, slow_share: float, expected: tuple[str, str]
) -> None:
    story = Story(gates=(latency_gate(max_ratio="1.5"),))
    pods = {
        "s": (STABLE, Behaviour(50, slow_share=0.005)),
        "c": (CANDIDATE, Behaviour(10, slow_share=slow_share, from_second=-20)),
    }
    server.write(story.counters(pods))
    (status,) = await judge(metrics, story, 301.5)
    assert said(status) == expected
    assert "took longer than 0.1 s" in status.message
    assert float(str(status.value)) == pytest.approx(slow_share, rel=0.1)


async def test_without_history_the_first_minutes_set_the_latency_bound_and_are_not_judged(
    server: PrometheusProcess, metrics: Counting
) -> None:
    story = Story(gates=(latency_gate(),))
    pods = {
        "s": (STABLE, Behaviour(2, slow_share=0.0, from_second=-20)),
        "c": (CANDIDATE, Behaviour(2, slow_share=0.5, from_second=-20)),
    }
    server.write(story.counters(pods))
    (early,) = await judge(metrics, story, 21.5)
    assert said(early) == ("Inconclusive", "NoData")
    assert "too few requests" in early.message
    live = reader(metrics)
    for tick in range(1, 31):
        now = tick * INTERVAL_SECONDS + 1.5
        (alive,) = await live.judge(story.request(now), story.at(now))
    assert said(alive) == ("Fail", "WorseThanStable")
    assert await judge(metrics, story, 301.5) == (alive,)


async def test_errors_that_come_in_clusters_need_more_evidence(server: PrometheusProcess, metrics: Counting) -> None:
    evidence = []
    for clustered in (False, True):
        story = Story(gates=(errors_gate(),))

        def share(second: float, *, clustered: bool = clustered) -> float:
            return (0.2 if second % 100 < 5 else 0.0) if clustered and second < 0 else 0.01

        pods = {"s": (STABLE, Behaviour(50, share)), "c": (CANDIDATE, candidate(0.02))}
        server.write(story.counters(pods))
        (status,) = await judge(metrics, story, 201.5)
        evidence.append(int(str(status.evidence).removesuffix(" %")))
    calm, damped = evidence
    assert calm > 2 * damped


async def test_counters_of_other_namespaces_and_revisions_have_no_vote(
    server: PrometheusProcess, metrics: Counting
) -> None:
    story, other = Story(gates=(errors_gate(),)), Story(gates=(errors_gate(),))
    server.write(story.counters({"s": (STABLE, steady(0.01)), "older": ("r0000older", candidate(0.9))}))
    server.write(other.counters({"s": (STABLE, steady(0.01)), "c": (CANDIDATE, candidate(0.9))}))
    (status,) = await judge(metrics, story, 301.5)
    assert said(status) == ("Inconclusive", "NoData")
    assert status.samples == 0


@pytest.mark.parametrize(
    ("pods", "expected", "words"),
    [
        ({}, ("Inconclusive", "NoData"), "no fresh counters of the candidate"),
        ({"s": (STABLE, steady(0.01))}, ("Inconclusive", "NoData"), "no fresh counters of the candidate"),
        ({"c": (CANDIDATE, candidate(0.01))}, ("Inconclusive", "NoData"), "no fresh counters of the stable revision"),
        (
            {"s": (STABLE, steady(0.01)), "c": (CANDIDATE, Behaviour(0, from_second=-20))},
            ("Inconclusive", "NoData"),
            "no request was answered by the candidate",
        ),
        (
            {"s": (STABLE, steady(0.01)), "c": (CANDIDATE, Behaviour(0.2, from_second=-20))},
            ("Inconclusive", "TooFewSamples"),
            "of 100 requests",
        ),
        (
            {"s": (STABLE, steady(0.01)), "c": (CANDIDATE, candidate(0.01, until_second=260))},
            ("Inconclusive", "NoData"),
            "no fresh counters of the candidate",
        ),
        (
            {"s": (STABLE, steady(0.01)), "c": (CANDIDATE, candidate(0.01, until_second=290))},
            ("Pass", "NotWorse"),
            "not shown to be worse",
        ),
    ],
    ids=[
        "an empty Prometheus",
        "the candidate is not scraped",
        "stable is not scraped",
        "the candidate gets no requests",
        "too few requests",
        "the newest sample is 41 s old",
        "the newest sample is 11 s old",
    ],
)
async def test_missing_data_never_pass_and_never_fail(
    server: PrometheusProcess,
    metrics: Counting,
    pods: dict[str, tuple[str, Behaviour]],
    expected: tuple[str, str],
    words: str,
) -> None:
    story = Story(gates=(errors_gate(),))
    if pods:
        server.write(story.counters(pods))
    (status,) = await judge(metrics, story, 301.5)
    assert said(status) == expected
    assert words in status.message


async def test_a_step_passes_only_on_requests_of_this_step(server: PrometheusProcess, metrics: Counting) -> None:
    story = Story(gates=(errors_gate(min_samples=300),), steps=TWO_STEPS)
    server.write(story.counters({"s": (STABLE, steady(0.01)), "c": (CANDIDATE, candidate(0.01))}))
    verdicts = {}
    for seconds in (0.5, 9.0, 91.5, 104.0, 121.5, 151.5):
        (status,) = await judge(metrics, story, seconds)
        verdicts[seconds] = (status.step, *said(status))
    assert verdicts == {
        0.5: ("canary-10", "Pending", "Pending"),
        9.0: ("canary-10", "Pending", "Pending"),
        91.5: ("canary-10", "Pass", "NotWorse"),
        104.0: ("half", "Pending", "Pending"),
        121.5: ("half", "Inconclusive", "TooFewSamples"),
        151.5: ("half", "Pass", "NotWorse"),
    }


SHARE = (
    'sum(rate(millgate_request_errors_total{namespace="$(namespace)",revision="$(candidate)"}[1m]))'
    ' / sum(rate(millgate_requests_total{namespace="$(namespace)",revision="$(candidate)"}[1m]))'
)
EACH = 'millgate_requests_total{namespace="$(namespace)",revision="$(stable)"}'


@pytest.mark.parametrize(
    ("gate", "expected", "words"),
    [
        (query_gate(SHARE, at_most="0.2"), ("Pass", "WithinBounds"), "gave 0."),
        (query_gate(SHARE, at_most="0.05"), ("Fail", "OutOfBounds"), "above 0.05"),
        (query_gate(SHARE.replace("$(candidate)", "nobody"), at_most="1"), ("Inconclusive", "NoData"), "gave nothing"),
        (query_gate(f"0 * sum({EACH}) / 0", at_most="1"), ("Inconclusive", "NoData"), "gave nan"),
        (query_gate(f"sum({EACH}) / 0", at_most="1"), ("Inconclusive", "NoData"), "gave inf"),
        (query_gate(EACH, at_most="1"), ("Inconclusive", "AmbiguousResult"), "2 series"),
        (
            query_gate('sum(up{namespace="x"})', at_most="1"),
            ("Inconclusive", "QueryRefused"),
            "could leave the namespace",
        ),
        (query_gate(f"sum({EACH}", at_most="1"), ("Inconclusive", "QueryRefused"), "not PromQL"),
        (query_gate(f"{EACH} + on() {EACH}", at_most="1"), ("Inconclusive", "QueryRefused"), "refuses the query"),
    ],
    ids=[
        "inside",
        "outside",
        "no such series",
        "NaN",
        "infinity",
        "several series",
        "another namespace's metrics",
        "no PromQL",
        "Prometheus refuses it",
    ],
)
async def test_a_query_gate_says_what_the_number_is_or_why_there_is_none(
    server: PrometheusProcess, metrics: Counting, gate: Gate, expected: tuple[str, str], words: str
) -> None:
    story = Story(gates=(gate,))
    pods = {"s1": (STABLE, steady(0.01)), "s2": (STABLE, steady(0.01)), "c": (CANDIDATE, candidate(0.1))}
    server.write(story.counters(pods))
    (status,) = await judge(metrics, story, 301.5)
    assert said(status) == expected
    assert words in status.message


async def test_a_query_is_not_asked_before_the_step_has_lasted_an_interval(
    server: PrometheusProcess, metrics: Counting
) -> None:
    story = Story(gates=(query_gate(f"sum({EACH})", at_most="1"),), steps=TWO_STEPS)
    server.write(story.counters({"s": (STABLE, steady(0.01))}))
    assert [said((await judge(metrics, story, at))[0])[0] for at in (1.5, 11.5, 104.0, 111.5, 121.5)] == [
        "Pending",
        "Fail",
        "Pending",
        "Pending",
        "Fail",
    ]


async def test_while_prometheus_is_away_nothing_passes_or_fails_and_then_all_evidence_is_there(
    server: PrometheusProcess,
) -> None:
    story = Story(gates=(errors_gate(), query_gate(SHARE, at_most="0.2")))
    server.write(story.counters({"s": (STABLE, steady(0.01)), "c": (CANDIDATE, candidate(0.01))}))
    client = Prometheus(server.url, timeout_seconds=2)
    live = EvidenceReader(client, scrape_interval_seconds=SCRAPE_SECONDS)
    passed = await live.judge(story.request(201.5), story.at(201.5))
    assert {said(status)[0] for status in passed} == {"Pass"}
    with server.frozen():
        hanging = await live.judge(story.request(211.5), story.at(211.5))
    with server.stopped():
        stopped = await live.judge(story.request(221.5), story.at(221.5))
    for statuses, words in ((hanging, "did not answer within 2 s"), (stopped, "connection refused")):
        assert {said(status) for status in statuses} == {("Inconclusive", "MetricsUnavailable")}
        assert all(words in status.message for status in statuses)
    assert stopped[0].samples == passed[0].samples
    again = Prometheus(server.url, timeout_seconds=10)
    back = await live.judge(story.request(301.5), story.at(301.5))
    fresh = await EvidenceReader(again, scrape_interval_seconds=SCRAPE_SECONDS).judge(
        story.request(301.5), story.at(301.5)
    )
    assert back == fresh
    assert {said(status)[0] for status in back} == {"Pass"}
    client.close()
    again.close()


async def test_what_had_failed_still_fails_while_prometheus_is_away(server: PrometheusProcess) -> None:
    story = Story(gates=(errors_gate(),))
    server.write(story.counters({"s": (STABLE, steady(0.01)), "c": (CANDIDATE, candidate(0.5))}))
    client = Prometheus(server.url, timeout_seconds=2)
    live = EvidenceReader(client, scrape_interval_seconds=SCRAPE_SECONDS)
    failed = await live.judge(story.request(101.5), story.at(101.5))
    with server.frozen():
        assert await live.judge(story.request(111.5), story.at(111.5)) == failed
    assert said(failed[0]) == ("Fail", "WorseThanStable")
    client.close()


async def test_an_emptied_prometheus_makes_nothing_up(server: PrometheusProcess) -> None:
    """What the counters held before must not count again as if it had happened since."""
    story = Story(gates=(errors_gate(),))
    pods = {"s": (STABLE, steady(0.01)), "c": (CANDIDATE, candidate(0.01))}
    series = story.counters(pods)
    server.write([(labels, [one for one in samples if one[0] <= story.anchor + 200]) for labels, samples in series])
    client = Prometheus(server.url, timeout_seconds=10)
    live = EvidenceReader(client, scrape_interval_seconds=SCRAPE_SECONDS)
    (before,) = await live.judge(story.request(201.5), story.at(201.5))
    server.empty()
    server.write([(labels, [one for one in samples if one[0] > story.anchor + 232]) for labels, samples in series])
    (gap,) = await live.judge(story.request(221.5), story.at(221.5))
    (after,) = await live.judge(story.request(301.5), story.at(301.5))
    (fresh,) = await EvidenceReader(client, scrape_interval_seconds=SCRAPE_SECONDS).judge(
        story.request(301.5), story.at(301.5)
    )
    assert said(before) == ("Pass", "NotWorse")
    assert said(gap) == ("Inconclusive", "NoData")
    assert said(after) == ("Pass", "NotWorse")
    assert said(fresh)[0] in ("Pass", "Inconclusive")
    assert before.samples is not None
    assert after.samples is not None
    assert after.samples - before.samples <= 10 * 70
    client.close()


async def test_without_a_prometheus_in_the_configuration_every_gate_says_so() -> None:
    story = Story(gates=(errors_gate(), query_gate(SHARE, at_most="1")))
    statuses = await EvidenceReader(None).judge(story.request(301.5), story.at(301.5))
    assert {said(status) for status in statuses} == {("Inconclusive", "MetricsNotConfigured")}
    assert [status.name for status in statuses] == ["errors", "share"]


async def test_a_long_rollout_is_read_again_in_pieces(server: PrometheusProcess, metrics: Counting) -> None:
    story = Story(gates=(errors_gate(),), interval_seconds=2)
    pods = {"s": (STABLE, steady(0.01)), "c": (CANDIDATE, candidate(0.01))}
    server.write(story.counters(pods))
    (status,) = await judge(metrics, story, 901.5)
    assert said(status) == ("Pass", "NotWorse")
    assert status.samples == pytest.approx(9000, rel=0.02)
    assert len(metrics.asked) == 1 + 4
