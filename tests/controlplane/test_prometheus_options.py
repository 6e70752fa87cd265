"""Segments, margins, warm-up and traffic shares on a real Prometheus, and the same again from a replay."""

import pytest

from tests.controlplane.custom_story import NEW_POD, OLD_POD, RATE, Grows, answers, counter, scraped, served, shipped
from tests.controlplane.evidence_case import Counting, gate, judge, reader, said
from tests.controlplane.prometheus_process import PrometheusProcess
from tests.controlplane.rollout_story import (
    CANDIDATE,
    INTERVAL_SECONDS,
    STABLE,
    Behaviour,
    Story,
    errors_gate,
)


async def test_a_segment_that_is_worse_fails_the_gate_and_is_named(
    prometheus: PrometheusProcess, metrics: Counting
) -> None:
    story = Story(gates=(gate("availability", **RATE, segmentBy="tenant"),))

    def tenants(scale: float, broken: float) -> list[Grows]:
        healthy = [
            served(code, rate * scale, tenant=tenant)
            for tenant in ("acme", "beta")
            for code, rate in (("200", 44.5), ("500", 0.5))
        ]
        return [*healthy, served("200", 10 * scale - broken, tenant="tiny"), served("500", broken, tenant="tiny")]

    prometheus.write([*scraped(story, OLD_POD, *tenants(1.0, 0.1))])
    prometheus.write([*scraped(story, NEW_POD, *tenants(0.2, 0.4), from_second=-20)])
    (status,) = await judge(metrics, story, 401.5)
    assert said(status) == ("Fail", "WorseThanStable")
    assert 'tenant="tiny"' in status.message


@pytest.mark.parametrize(
    ("more", "seconds", "expected"),
    [
        ({"minSamples": 1_000_000}, 601.5, ("Inconclusive", "TooFewSamples")),
        ({"minSamples": 1_000_000, "passRatio": "2"}, 601.5, ("Pass", "NotWorse")),
        ({}, 601.5, ("Pass", "NotWorse")),
    ],
    ids=["too few", "proven to be less than twice as bad", "enough"],
)
async def test_a_pass_ratio_passes_before_there_are_samples_enough(
    prometheus: PrometheusProcess, metrics: Counting, more: dict[str, object], seconds: float, expected: tuple[str, str]
) -> None:
    story = Story(gates=(errors_gate(**more),))
    pods = {
        "s": (STABLE, Behaviour(80, lambda _: 0.05)),
        "c": (CANDIDATE, Behaviour(40, lambda _: 0.05, from_second=-20)),
    }
    prometheus.write(story.counters(pods))
    assert said((await judge(metrics, story, seconds))[0]) == expected


async def test_a_difference_below_the_smallest_effect_never_fails(
    prometheus: PrometheusProcess, metrics: Counting
) -> None:
    pods = {
        "s": (STABLE, Behaviour(80, lambda _: 0.001)),
        "c": (CANDIDATE, Behaviour(40, lambda _: 0.02, from_second=-20)),
    }
    verdicts = []
    for effect in ("0.01", "0.05"):
        story = Story(gates=(errors_gate(minEffect=effect),))
        prometheus.write(story.counters(pods))
        verdicts.append(said((await judge(metrics, story, 301.5))[0]))
    assert verdicts == [("Fail", "WorseThanStable"), ("Pass", "NotWorse")]


async def test_a_cold_pod_is_left_out_until_it_has_been_seen_for_long_enough(
    prometheus: PrometheusProcess, metrics: Counting
) -> None:
    def cold(second: float) -> float:
        return 0.3 if second < 40 else 0.01

    def late(second: float) -> float:
        return 0.3 if second < 190 else 0.01

    verdicts = []
    for warmup in (0, 60):
        story = Story(gates=(errors_gate(warmupSeconds=warmup),))
        pods = {
            "s": (STABLE, Behaviour(120, lambda _: 0.01)),
            "c": (CANDIDATE, Behaviour(10, cold, from_second=-20)),
            "d": (CANDIDATE, Behaviour(10, late, from_second=150)),
        }
        prometheus.write(story.counters(pods))
        (early,), (newest,) = await judge(metrics, story, 21.5), await judge(metrics, story, 401.5)
        verdicts.append((early.verdict.value, newest.verdict.value))
        if warmup:
            assert "warming up" in early.message
            assert newest.samples == pytest.approx(10 * 360 + 10 * 190, rel=0.05)
    assert verdicts == [("Fail", "Fail"), ("Inconclusive", "Pass")]


async def test_traffic_that_comes_in_other_shares_than_pods_would_give_holds_the_step(
    prometheus: PrometheusProcess, metrics: Counting
) -> None:
    story = Story(gates=(errors_gate(),))
    pods = {f"s{n}": (STABLE, Behaviour(2, lambda _: 0.0)) for n in range(3)}
    prometheus.write(
        story.counters({**pods, "c": (CANDIDATE, Behaviour(50, lambda _: 0.0, from_second=-20))}),
    )
    (status,) = await judge(metrics, story, 301.5)
    assert said(status) == ("Inconclusive", "TrafficSkewed")
    assert "where 25 % are meant" in status.message


async def test_each_gate_is_told_its_share_of_the_budget_and_how_long_a_doubling_takes(
    prometheus: PrometheusProcess, metrics: Counting
) -> None:
    story = Story(gates=(errors_gate(), gate("availability", **RATE)))
    pods = {
        "s": (STABLE, Behaviour(90, lambda _: 0.01)),
        "c": (CANDIDATE, Behaviour(10, lambda _: 0.01, from_second=-20)),
    }
    prometheus.write(story.counters(pods))
    errors, _ = await judge(metrics, story, 301.5)
    assert float(str(errors.alpha)) <= 0.005
    assert errors.detects_double_after_seconds is not None
    assert 200 < errors.detects_double_after_seconds < 800  # facts/gates.md 2.1: 318 s at rho 1.2, alpha 1 %


async def test_live_reading_and_a_replay_agree_for_every_statistic_and_reference(
    prometheus: PrometheusProcess, metrics: Counting
) -> None:
    gates = (
        errors_gate(warmupSeconds=45, passRatio="2"),
        gate("before", preset="Errors", reference="Before"),
        gate("latency", preset="Latency"),
        gate("predictions", preset="Predictions"),
        gate("skew", preset="Predictions", reference="Training"),
        gate("availability", **RATE, segmentBy="tenant"),
        gate("tokens", statistic="Mean", numerator="tokens_total", denominator="http_requests_total"),
    )
    story = Story(gates=gates, steps=(("canary-10", 10, -0.5), ("half", 50, 103.0)))
    pods = {
        OLD_POD: (STABLE, Behaviour(50, lambda s: 0.02 if s % 70 < 10 else 0.01, 0.01)),
        NEW_POD: (CANDIDATE, Behaviour(10, lambda _: 0.015, 0.02, from_second=-20)),
        f"{NEW_POD[:-1]}z": (CANDIDATE, Behaviour(10, lambda _: 0.01, 0.01, from_second=60, until_second=220)),
    }
    prometheus.write(story.counters(pods))
    own = [
        served("200", 30, tenant="a"),
        served("500", 0.4, tenant="a"),
        counter("tokens_total", lambda s: 900 + s % 7),
    ]
    prometheus.write([*scraped(story, OLD_POD, *own, *answers(STABLE, 50)), *shipped(story, STABLE, OLD_POD)])
    prometheus.write([*scraped(story, NEW_POD, *own, *answers(CANDIDATE, 10, 0.2), from_second=-20)])
    prometheus.write([*shipped(story, CANDIDATE, NEW_POD)])
    live = reader(metrics)
    for tick in range(1, 41):
        now = tick * INTERVAL_SECONDS + 1.5
        alive = await live.judge(story.request(now), story.at(now))
        if tick % 8 == 0:
            assert await judge(metrics, story, now) == alive
    assert {status.name: status.reason for status in alive}.keys() == {one.name for one in gates}
    assert "NoData" not in {status.reason for status in alive}
