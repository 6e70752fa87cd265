"""Query gates, and what all gates say while Prometheus is away, empty or refuses: never Pass and never Fail."""

import pytest

from millgate.api.spec import Gate
from millgate.evidence.reader import EvidenceReader
from millgate.sources.prometheus import Prometheus
from tests.controlplane.evidence_case import Counting, candidate, judge, said, steady
from tests.controlplane.prometheus_process import PrometheusProcess
from tests.controlplane.rollout_story import (
    CANDIDATE,
    SCRAPE_SECONDS,
    STABLE,
    Story,
    errors_gate,
    query_gate,
)

TWO_STEPS = (("canary-10", 10, -0.5), ("half", 50, 103.0))
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
    prometheus: PrometheusProcess, metrics: Counting, gate: Gate, expected: tuple[str, str], words: str
) -> None:
    story = Story(gates=(gate,))
    pods = {"s1": (STABLE, steady(0.01)), "s2": (STABLE, steady(0.01)), "c": (CANDIDATE, candidate(0.1))}
    prometheus.write(story.counters(pods))
    (status,) = await judge(metrics, story, 301.5)
    assert said(status) == expected
    assert words in status.message


async def test_a_query_is_not_asked_before_the_step_has_lasted_an_interval(
    prometheus: PrometheusProcess, metrics: Counting
) -> None:
    story = Story(gates=(query_gate(f"sum({EACH})", at_most="1"),), steps=TWO_STEPS)
    prometheus.write(story.counters({"s": (STABLE, steady(0.01))}))
    assert [said((await judge(metrics, story, at))[0])[0] for at in (1.5, 11.5, 104.0, 111.5, 121.5)] == [
        "Pending",
        "Fail",
        "Pending",
        "Pending",
        "Fail",
    ]


async def test_while_prometheus_is_away_nothing_passes_or_fails_and_then_all_evidence_is_there(
    prometheus: PrometheusProcess,
) -> None:
    story = Story(gates=(errors_gate(), query_gate(SHARE, at_most="0.2")))
    prometheus.write(story.counters({"s": (STABLE, steady(0.01)), "c": (CANDIDATE, candidate(0.01))}))
    client = Prometheus(prometheus.url, timeout_seconds=2)
    live = EvidenceReader(client, scrape_interval_seconds=SCRAPE_SECONDS)
    passed = await live.judge(story.request(201.5), story.at(201.5))
    assert {said(status)[0] for status in passed} == {"Pass"}
    with prometheus.frozen():
        hanging = await live.judge(story.request(211.5), story.at(211.5))
    with prometheus.stopped():
        stopped = await live.judge(story.request(221.5), story.at(221.5))
    for statuses, words in ((hanging, "did not answer within 2 s"), (stopped, "connection refused")):
        assert {said(status) for status in statuses} == {("Inconclusive", "MetricsUnavailable")}
        assert all(words in status.message for status in statuses)
    assert stopped[0].samples == passed[0].samples
    again = Prometheus(prometheus.url, timeout_seconds=10)
    back = await live.judge(story.request(301.5), story.at(301.5))
    fresh = await EvidenceReader(again, scrape_interval_seconds=SCRAPE_SECONDS).judge(
        story.request(301.5), story.at(301.5)
    )
    assert back == fresh
    assert {said(status)[0] for status in back} == {"Pass"}
    client.close()
    again.close()


async def test_what_had_failed_still_fails_while_prometheus_is_away(prometheus: PrometheusProcess) -> None:
    story = Story(gates=(errors_gate(),))
    prometheus.write(story.counters({"s": (STABLE, steady(0.01)), "c": (CANDIDATE, candidate(0.5))}))
    client = Prometheus(prometheus.url, timeout_seconds=2)
    live = EvidenceReader(client, scrape_interval_seconds=SCRAPE_SECONDS)
    failed = await live.judge(story.request(101.5), story.at(101.5))
    with prometheus.frozen():
        assert await live.judge(story.request(111.5), story.at(111.5)) == failed
    assert said(failed[0]) == ("Fail", "WorseThanStable")
    client.close()


async def test_an_emptied_prometheus_makes_nothing_up(prometheus: PrometheusProcess) -> None:
    """What the counters held before must not count again as if it had happened since."""
    story = Story(gates=(errors_gate(),))
    pods = {"s": (STABLE, steady(0.01)), "c": (CANDIDATE, candidate(0.01))}
    series = story.counters(pods)
    prometheus.write([(labels, [one for one in samples if one[0] <= story.anchor + 200]) for labels, samples in series])
    client = Prometheus(prometheus.url, timeout_seconds=10)
    live = EvidenceReader(client, scrape_interval_seconds=SCRAPE_SECONDS)
    (before,) = await live.judge(story.request(201.5), story.at(201.5))
    prometheus.empty()
    prometheus.write([(labels, [one for one in samples if one[0] > story.anchor + 232]) for labels, samples in series])
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


async def test_a_long_rollout_is_read_again_in_pieces(prometheus: PrometheusProcess, metrics: Counting) -> None:
    story = Story(gates=(errors_gate(),), interval_seconds=2)
    pods = {"s": (STABLE, steady(0.01)), "c": (CANDIDATE, candidate(0.01))}
    prometheus.write(story.counters(pods))
    (status,) = await judge(metrics, story, 901.5)
    assert said(status) == ("Pass", "NotWorse")
    assert status.samples == pytest.approx(9000, rel=0.02)
    assert len(metrics.asked) == 1 + 4
