"""Verdicts on what a real Prometheus holds: right ones, the same again from a fresh process, and none without data."""

import pytest

from tests.controlplane.evidence_case import Counting, candidate, judge, reader, said, steady
from tests.controlplane.prometheus_process import PrometheusProcess
from tests.controlplane.rollout_story import (
    CANDIDATE,
    INTERVAL_SECONDS,
    STABLE,
    Behaviour,
    Story,
    errors_gate,
    latency_gate,
)

TWO_STEPS = (("canary-10", 10, -0.5), ("half", 50, 103.0))


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.01, ("Pass", "NotWorse")), (0.0, ("Pass", "NotWorse")), (0.2, ("Fail", "WorseThanStable"))],
    ids=["as good as stable", "no errors at all", "twenty times as many errors"],
)
async def test_a_candidate_is_judged_by_its_errors(
    prometheus: PrometheusProcess, metrics: Counting, share: float, expected: tuple[str, str]
) -> None:
    story = Story(gates=(errors_gate(),))
    prometheus.write(story.counters({"s": (STABLE, steady(0.01)), "c": (CANDIDATE, candidate(share))}))
    (status,) = await judge(metrics, story, 301.5)
    assert said(status) == expected
    assert float(str(status.value)) == pytest.approx(share, rel=0.1)
    assert float(str(status.reference)) == pytest.approx(0.01, rel=0.1)
    assert status.samples is not None
    assert status.samples >= 100


async def test_errors_of_a_series_that_is_born_with_the_first_error_are_counted(
    prometheus: PrometheusProcess, metrics: Counting
) -> None:
    story = Story(gates=(errors_gate(),))
    broken = Behaviour(10, lambda second: 1.0 if 60 <= second < 65 else 0.0, from_second=-20, late_error_series=True)
    prometheus.write(story.counters({"s": (STABLE, steady(0.001)), "c": (CANDIDATE, broken)}))
    (before,) = await judge(metrics, story, 61.5)
    (after,) = await judge(metrics, story, 71.5)
    assert said(before) == ("Pass", "NotWorse")
    assert said(after) == ("Fail", "WorseThanStable")


async def test_live_reading_a_restart_in_between_and_a_fresh_process_agree_to_the_last_digit(
    prometheus: PrometheusProcess, metrics: Counting
) -> None:
    story = Story(gates=(errors_gate(), latency_gate()), steps=TWO_STEPS)
    restarting = Behaviour(10, lambda second: 0.03 if second > 150 else 0.01, 0.02, from_second=-20)
    pods = {
        "s1": (STABLE, Behaviour(50, lambda second: 0.02 if second % 100 < 10 else 0.005, 0.01)),
        "s2": (STABLE, Behaviour(30, lambda _: 0.01, 0.02, until_second=130)),
        "c1": (CANDIDATE, restarting),
        "c2": (CANDIDATE, Behaviour(10, lambda _: 0.02, 0.03, from_second=80)),
    }
    prometheus.write(story.counters(pods))
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


async def test_ticks_that_were_missed_change_nothing(prometheus: PrometheusProcess, metrics: Counting) -> None:
    story = Story(gates=(errors_gate(),))
    prometheus.write(story.counters({"s": (STABLE, steady(0.01)), "c": (CANDIDATE, candidate(0.02))}))
    lazy = reader(metrics)
    for now in (14.0, 88.2, 89.9, 301.5):
        newest = await lazy.judge(story.request(now), story.at(now))
    assert newest == await judge(metrics, story, 301.5)


async def test_gates_share_one_query_a_look(prometheus: PrometheusProcess, metrics: Counting) -> None:
    story = Story(gates=(errors_gate(), latency_gate()))
    prometheus.write(story.counters({"s": (STABLE, steady(0.01)), "c": (CANDIDATE, candidate(0.01))}))
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
    prometheus: PrometheusProcess, metrics: Counting, slow_share: float, expected: tuple[str, str]
) -> None:
    story = Story(gates=(latency_gate(max_ratio="1.5"),))
    pods = {
        "s": (STABLE, Behaviour(50, slow_share=0.005)),
        "c": (CANDIDATE, Behaviour(10, slow_share=slow_share, from_second=-20)),
    }
    prometheus.write(story.counters(pods))
    (status,) = await judge(metrics, story, 301.5)
    assert said(status) == expected
    assert "took longer than 0.1 s" in status.message
    assert float(str(status.value)) == pytest.approx(slow_share, rel=0.1)


async def test_without_history_the_first_minutes_set_the_latency_bound_and_are_not_judged(
    prometheus: PrometheusProcess, metrics: Counting
) -> None:
    story = Story(gates=(latency_gate(),))
    pods = {
        "s": (STABLE, Behaviour(2, slow_share=0.0, from_second=-20)),
        "c": (CANDIDATE, Behaviour(2, slow_share=0.5, from_second=-20)),
    }
    prometheus.write(story.counters(pods))
    (early,) = await judge(metrics, story, 21.5)
    assert said(early) == ("Inconclusive", "NoData")
    assert "too few requests" in early.message
    live = reader(metrics)
    for tick in range(1, 31):
        now = tick * INTERVAL_SECONDS + 1.5
        (alive,) = await live.judge(story.request(now), story.at(now))
    assert said(alive) == ("Fail", "WorseThanStable")
    assert await judge(metrics, story, 301.5) == (alive,)


async def test_errors_that_come_in_clusters_need_more_evidence(
    prometheus: PrometheusProcess, metrics: Counting
) -> None:
    evidence = []
    for clustered in (False, True):
        story = Story(gates=(errors_gate(),))

        def share(second: float, *, clustered: bool = clustered) -> float:
            return (0.2 if second % 100 < 5 else 0.0) if clustered and second < 0 else 0.01

        pods = {"s": (STABLE, Behaviour(50, share)), "c": (CANDIDATE, candidate(0.02))}
        prometheus.write(story.counters(pods))
        (status,) = await judge(metrics, story, 201.5)
        evidence.append(int(str(status.evidence).removesuffix(" %")))
    calm, damped = evidence
    assert calm > 2 * damped


async def test_counters_of_other_namespaces_and_revisions_have_no_vote(
    prometheus: PrometheusProcess, metrics: Counting
) -> None:
    story, other = Story(gates=(errors_gate(),)), Story(gates=(errors_gate(),))
    prometheus.write(story.counters({"s": (STABLE, steady(0.01)), "older": ("r0000older", candidate(0.9))}))
    prometheus.write(other.counters({"s": (STABLE, steady(0.01)), "c": (CANDIDATE, candidate(0.9))}))
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
    prometheus: PrometheusProcess,
    metrics: Counting,
    pods: dict[str, tuple[str, Behaviour]],
    expected: tuple[str, str],
    words: str,
) -> None:
    story = Story(gates=(errors_gate(),))
    if pods:
        prometheus.write(story.counters(pods))
    (status,) = await judge(metrics, story, 301.5)
    assert said(status) == expected
    assert words in status.message


async def test_a_step_passes_only_on_requests_of_this_step(prometheus: PrometheusProcess, metrics: Counting) -> None:
    story = Story(gates=(errors_gate(min_samples=300),), steps=TWO_STEPS)
    prometheus.write(story.counters({"s": (STABLE, steady(0.01)), "c": (CANDIDATE, candidate(0.01))}))
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
