"""Every statistic, reference and option of `Compare` on what a real Prometheus holds, and the same from a replay."""

from collections.abc import Iterator

import pytest

from millgate.api.spec import Compare, Gate, GateType
from millgate.api.status import GateStatus
from millgate.evidence.reader import EvidenceReader
from millgate.sources.prometheus import Prometheus
from tests.controlplane.custom_story import NEW_POD, OLD_POD, Grows, answers, counter, scraped, shipped
from tests.controlplane.prometheus_process import Page, PrometheusProcess
from tests.controlplane.rollout_story import (
    CANDIDATE,
    INTERVAL_SECONDS,
    SCRAPE_SECONDS,
    STABLE,
    Behaviour,
    Story,
    errors_gate,
)

BASELINE = f"{STABLE}-baseline"


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


def gate(name: str, **compare: object) -> Gate:
    return Gate(name=name, type=GateType.COMPARE, compare=Compare(**compare))


def said(status: GateStatus) -> tuple[str, str]:
    return status.verdict.value, status.reason


async def judge(metrics: Prometheus, story: Story, seconds: float) -> GateStatus:
    """What a fresh process says of the story's one gate at `seconds` after the anchor."""
    reader = EvidenceReader(metrics, scrape_interval_seconds=SCRAPE_SECONDS)
    (status,) = await reader.judge(story.request(seconds), story.at(seconds))
    return status


def served(code: str, rate: float, **labels: str) -> Grows:
    return counter("http_requests_total", rate, code=code, **labels)


RATE = {
    "statistic": "Rate",
    "numerator": 'http_requests_total{code=~"5.."}',
    "denominator": "http_requests_total",
}


@pytest.mark.parametrize(
    ("failing", "expected"), [(0.1, ("Pass", "NotWorse")), (2.0, ("Fail", "WorseThanStable"))], ids=["alike", "worse"]
)
async def test_a_rate_of_another_servers_counters_is_judged_by_the_names_of_the_pods(
    server: PrometheusProcess, metrics: Prometheus, failing: float, expected: tuple[str, str]
) -> None:
    story = Story(gates=(gate("availability", **RATE),))
    server.write(
        [
            *scraped(story, OLD_POD, served("200", 49.5, method="GET"), served("500", 0.5, method="GET")),
            *scraped(
                story,
                NEW_POD,
                served("200", 5, method="GET"),
                served("200", 5, method="POST"),
                served("500", failing, method="POST"),
                from_second=-20,
            ),
            # Another ModelDeployment, whose name begins alike, and a stranger.
            *scraped(story, f"fraud-{CANDIDATE}-more-5f6b7c-q9w8e", served("500", 50)),
            *scraped(story, "web-0", served("500", 50)),
        ]
    )
    status = await judge(metrics, story, 301.5)
    assert said(status) == expected
    if expected[0] == "Pass":
        assert status.samples == pytest.approx((10 + failing) * 300, rel=0.05)


async def test_a_series_of_another_namespace_has_no_vote_whatever_the_selector_says(
    server: PrometheusProcess, metrics: Prometheus
) -> None:
    other = Story(gates=())
    numerator = f'http_requests_total{{code="500",namespace="{other.namespace}"}}'
    story = Story(gates=(gate("availability", **{**RATE, "numerator": numerator}),))
    server.write([*scraped(other, NEW_POD, served("500", 50)), *scraped(story, NEW_POD, served("200", 50))])
    server.write([*scraped(story, OLD_POD, served("200", 50))])
    status = await judge(metrics, story, 301.5)
    assert (said(status), status.value) == (("Pass", "NotWorse"), "0")


@pytest.mark.parametrize(
    "selector",
    [
        "sum(http_requests_total)",
        "http_requests_total offset 5m",
        'a{b="c" or d="e"}',
        "a{",
        '{code="5"}',
        "a + b",
        'http_requests_total{code=~"(?x)5"}',  # a regular expression to one parser, and not to Prometheus
    ],
)
async def test_what_is_no_plain_selector_is_refused_and_the_other_gates_go_on(
    server: PrometheusProcess, metrics: Prometheus, selector: str
) -> None:
    story = Story(gates=(gate("odd", **{**RATE, "numerator": selector}), errors_gate()))
    pods = {
        "s": (STABLE, Behaviour(50, lambda _: 0.01)),
        "c": (CANDIDATE, Behaviour(10, lambda _: 0.01, from_second=-20)),
    }
    server.write(story.counters(pods))
    reader = EvidenceReader(metrics, scrape_interval_seconds=SCRAPE_SECONDS)
    odd, errors = await reader.judge(story.request(301.5), story.at(301.5))
    assert said(odd) == ("Inconclusive", "QueryRefused")
    assert said(errors) == ("Pass", "NotWorse")


@pytest.mark.parametrize(
    ("slow", "expected"), [(0.05, ("Pass", "NotWorse")), (1.5, ("Fail", "WorseThanStable"))], ids=["alike", "slower"]
)
async def test_a_histogram_of_another_server_is_judged_above_stables_quantile(
    server: PrometheusProcess, metrics: Prometheus, slow: float, expected: tuple[str, str]
) -> None:
    story = Story(gates=(gate("p95", statistic="Exceedance", histogram="took_seconds", quantile="0.95"),))

    def took(per_second: float, late: float) -> list[Grows]:
        buckets = {"0.1": per_second * 0.5, "0.5": per_second - late, "2.5": per_second, "+Inf": per_second}
        return [
            *(counter("took_seconds_bucket", rate, le=le) for le, rate in buckets.items()),
            counter("took_seconds_count", per_second),
        ]

    server.write([*scraped(story, OLD_POD, *took(50, 0.25))])
    server.write([*scraped(story, NEW_POD, *took(10, slow), from_second=-20)])
    status = await judge(metrics, story, 301.5)
    assert said(status) == expected
    assert "took_seconds above 0.5" in status.message


@pytest.mark.parametrize(
    ("tokens", "expected"), [(101.0, ("Pass", "NotWorse")), (160.0, ("Fail", "WorseThanStable"))], ids=["alike", "more"]
)
async def test_a_mean_needs_fifteen_intervals_and_then_knows(
    server: PrometheusProcess, metrics: Prometheus, tokens: float, expected: tuple[str, str]
) -> None:
    compare = {"statistic": "Mean", "numerator": "tokens_total", "denominator": "answers_total"}
    story = Story(gates=(gate("tokens", **compare),))

    def used(per_answer: float, per_second: float) -> list[Grows]:
        # A deterministic wobble: without any scatter there would be nothing to learn.
        rate = counter("tokens_total", lambda second: per_second * per_answer * (0.9 + 0.2 * (second * 7 % 11) / 10))
        return [rate, counter("answers_total", per_second)]

    server.write([*scraped(story, OLD_POD, *used(100, 50)), *scraped(story, NEW_POD, *used(tokens, 10))])
    early, late = await judge(metrics, story, 141.5), await judge(metrics, story, 401.5)
    assert said(early) == ("Inconclusive", "TooFewSamples")
    assert "intervals with requests" in early.message
    assert said(late) == expected
    assert float(str(late.value)) == pytest.approx(tokens, rel=0.05)


@pytest.mark.parametrize(
    ("shift", "expected"),
    [(0.0, ("Pass", "NotWorse")), (0.1, ("Pass", "NotWorse")), (0.6, ("Fail", "Shifted"))],
    ids=["alike", "a small shift", "a large one"],
)
@pytest.mark.parametrize("kind", ["prediction", "feature", "custom"])
async def test_a_distribution_fails_only_for_a_large_shift(
    server: PrometheusProcess, metrics: Prometheus, kind: str, shift: float, expected: tuple[str, str]
) -> None:
    preset = {"prediction": "Predictions", "feature": "Features"}
    own = {"statistic": "Distribution", "histogram": "custom"}
    story = Story(gates=(gate("shape", **({"preset": preset[kind]} if kind in preset else own)),))
    metric = f"millgate_{kind}" if kind in preset else "custom"
    server.write([*scraped(story, OLD_POD, *answers(STABLE, 90, metric=metric))])
    server.write([*scraped(story, NEW_POD, *answers(CANDIDATE, 10, shift, metric=metric), from_second=-20)])
    status = await judge(metrics, story, 301.5)
    assert said(status) == expected


async def test_a_shift_that_is_common_to_both_is_none(server: PrometheusProcess, metrics: Prometheus) -> None:
    story = Story(gates=(gate("predictions", preset="Predictions"),))

    def world(second: float) -> float:
        return 0.8 if second > 100 else 0.0

    server.write([*scraped(story, OLD_POD, *answers(STABLE, 90, world))])
    server.write([*scraped(story, NEW_POD, *answers(CANDIDATE, 10, world), from_second=-20)])
    assert said(await judge(metrics, story, 401.5)) == ("Pass", "NotWorse")


async def test_histograms_with_other_bounds_are_compared_at_those_that_both_have(
    server: PrometheusProcess, metrics: Prometheus
) -> None:
    story = Story(gates=(gate("predictions", preset="Predictions"),))
    server.write([*scraped(story, OLD_POD, *answers(STABLE, 90, edges=("-1.0", "-0.3", "0.0", "0.9", "+Inf")))])
    server.write([*scraped(story, NEW_POD, *answers(CANDIDATE, 10, 0.9), from_second=-20)])
    assert said(await judge(metrics, story, 301.5)) == ("Fail", "Shifted")
    apart = Story(gates=(gate("predictions", preset="Predictions"),))
    server.write([*scraped(apart, OLD_POD, *answers(STABLE, 90, edges=("-1.1", "+Inf")))])
    server.write([*scraped(apart, NEW_POD, *answers(CANDIDATE, 10, 0.9), from_second=-20)])
    status = await judge(metrics, apart, 301.5)
    assert said(status) == ("Inconclusive", "TooFewSamples")
    assert "no bound in common" in status.message


@pytest.mark.parametrize(
    ("candidate_mean", "stable_mean", "expected"),
    [(0.8, 0.0, ("Fail", "Shifted")), (0.8, 0.8, ("Pass", "NotWorse"))],
    ids=["only the candidate has left its training", "the world has left it"],
)
async def test_against_training_the_candidate_is_blamed_only_for_what_stable_has_not(
    server: PrometheusProcess,
    metrics: Prometheus,
    candidate_mean: float,
    stable_mean: float,
    expected: tuple[str, str],
) -> None:
    story = Story(gates=(gate("skew", preset="Predictions", reference="Training"),))
    server.write([*scraped(story, OLD_POD, *answers(STABLE, 90, stable_mean)), *shipped(story, STABLE, OLD_POD)])
    server.write([*scraped(story, NEW_POD, *answers(CANDIDATE, 10, candidate_mean), from_second=-20)])
    server.write([*shipped(story, CANDIDATE, NEW_POD)])
    assert said(await judge(metrics, story, 301.5)) == expected


async def test_baseline_pods_are_the_reference_and_stables_own_are_not(
    server: PrometheusProcess, metrics: Prometheus
) -> None:
    story = Story(gates=(errors_gate(reference="Baseline"),))
    pods = {
        "s": (STABLE, Behaviour(80, lambda _: 0.0)),
        "b": (BASELINE, Behaviour(10, lambda _: 0.1, from_second=-20)),
        "c": (CANDIDATE, Behaviour(10, lambda _: 0.1, from_second=-20)),
    }
    server.write(story.counters(pods))
    status = await judge(metrics, story, 301.5)
    assert said(status) == ("Pass", "NotWorse")
    assert float(str(status.reference)) == pytest.approx(0.1, rel=0.1)
    assert "on the baseline" in status.message


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.01, ("Pass", "NotWorse")), (0.1, ("Fail", "WorseThanStable"))],
    ids=["as in the hour before", "ten times as many"],
)
async def test_against_the_hour_before_stable_needs_no_traffic(
    server: PrometheusProcess, metrics: Prometheus, share: float, expected: tuple[str, str]
) -> None:
    story = Story(gates=(errors_gate(reference="Before"),))
    pods = {
        "s": (STABLE, Behaviour(50, lambda _: 0.01, until_second=0)),
        "c": (CANDIDATE, Behaviour(50, lambda _: share, from_second=-20)),
    }
    server.write(story.counters(pods))
    status = await judge(metrics, story, 301.5)
    assert said(status) == expected
    assert "in stable's hour before the rollout" in status.message


async def test_without_an_hour_before_nothing_is_said_against_it(
    server: PrometheusProcess, metrics: Prometheus
) -> None:
    story = Story(gates=(errors_gate(reference="Before"),))
    server.write(story.counters({"c": (CANDIDATE, Behaviour(50, lambda _: 0.9, from_second=-20))}))
    status = await judge(metrics, story, 301.5)
    assert said(status) == ("Inconclusive", "NoData")
    assert "hour before" in status.message


async def test_a_segment_that_is_worse_fails_the_gate_and_is_named(
    server: PrometheusProcess, metrics: Prometheus
) -> None:
    story = Story(gates=(gate("availability", **RATE, segmentBy="tenant"),))

    def tenants(scale: float, broken: float) -> list[Grows]:
        healthy = [
            served(code, rate * scale, tenant=tenant)
            for tenant in ("acme", "beta")
            for code, rate in (("200", 44.5), ("500", 0.5))
        ]
        return [*healthy, served("200", 10 * scale - broken, tenant="tiny"), served("500", broken, tenant="tiny")]

    server.write([*scraped(story, OLD_POD, *tenants(1.0, 0.1))])
    server.write([*scraped(story, NEW_POD, *tenants(0.2, 0.4), from_second=-20)])
    status = await judge(metrics, story, 401.5)
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
    server: PrometheusProcess, metrics: Prometheus, more: dict[str, object], seconds: float, expected: tuple[str, str]
) -> None:
    story = Story(gates=(errors_gate(**more),))
    pods = {
        "s": (STABLE, Behaviour(80, lambda _: 0.05)),
        "c": (CANDIDATE, Behaviour(40, lambda _: 0.05, from_second=-20)),
    }
    server.write(story.counters(pods))
    assert said(await judge(metrics, story, seconds)) == expected


async def test_a_difference_below_the_smallest_effect_never_fails(
    server: PrometheusProcess, metrics: Prometheus
) -> None:
    pods = {
        "s": (STABLE, Behaviour(80, lambda _: 0.001)),
        "c": (CANDIDATE, Behaviour(40, lambda _: 0.02, from_second=-20)),
    }
    verdicts = []
    for effect in ("0.01", "0.05"):
        story = Story(gates=(errors_gate(minEffect=effect),))
        server.write(story.counters(pods))
        verdicts.append(said(await judge(metrics, story, 301.5)))
    assert verdicts == [("Fail", "WorseThanStable"), ("Pass", "NotWorse")]


async def test_a_cold_pod_is_left_out_until_it_has_been_seen_for_long_enough(
    server: PrometheusProcess, metrics: Prometheus
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
        server.write(story.counters(pods))
        early, newest = await judge(metrics, story, 21.5), await judge(metrics, story, 401.5)
        verdicts.append((early.verdict.value, newest.verdict.value))
        if warmup:
            assert "warming up" in early.message
            assert newest.samples == pytest.approx(10 * 360 + 10 * 190, rel=0.05)
    assert verdicts == [("Fail", "Fail"), ("Inconclusive", "Pass")]


async def test_traffic_that_comes_in_other_shares_than_pods_would_give_holds_the_step(
    server: PrometheusProcess, metrics: Prometheus
) -> None:
    story = Story(gates=(errors_gate(),))
    pods = {f"s{n}": (STABLE, Behaviour(2, lambda _: 0.0)) for n in range(3)}
    server.write(
        story.counters({**pods, "c": (CANDIDATE, Behaviour(50, lambda _: 0.0, from_second=-20))}),
    )
    status = await judge(metrics, story, 301.5)
    assert said(status) == ("Inconclusive", "TrafficSkewed")
    assert "where 25 % are meant" in status.message


async def test_each_gate_is_told_its_share_of_the_budget_and_how_long_a_doubling_takes(
    server: PrometheusProcess, metrics: Prometheus
) -> None:
    story = Story(gates=(errors_gate(), gate("availability", **RATE)))
    pods = {
        "s": (STABLE, Behaviour(90, lambda _: 0.01)),
        "c": (CANDIDATE, Behaviour(10, lambda _: 0.01, from_second=-20)),
    }
    server.write(story.counters(pods))
    reader = EvidenceReader(metrics, scrape_interval_seconds=SCRAPE_SECONDS)
    errors, _ = await reader.judge(story.request(301.5), story.at(301.5))
    assert float(str(errors.alpha)) <= 0.005
    assert errors.detects_double_after_seconds is not None
    assert 200 < errors.detects_double_after_seconds < 800  # facts/gates.md 2.1: 318 s at rho 1.2, alpha 1 %


async def test_live_reading_and_a_replay_agree_for_every_statistic_and_reference(
    server: PrometheusProcess, metrics: Prometheus
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
    server.write(story.counters(pods))
    own = [
        served("200", 30, tenant="a"),
        served("500", 0.4, tenant="a"),
        counter("tokens_total", lambda s: 900 + s % 7),
    ]
    server.write([*scraped(story, OLD_POD, *own, *answers(STABLE, 50)), *shipped(story, STABLE, OLD_POD)])
    server.write([*scraped(story, NEW_POD, *own, *answers(CANDIDATE, 10, 0.2), from_second=-20)])
    server.write([*shipped(story, CANDIDATE, NEW_POD)])
    live = EvidenceReader(metrics, scrape_interval_seconds=SCRAPE_SECONDS)
    for tick in range(1, 41):
        now = tick * INTERVAL_SECONDS + 1.5
        alive = await live.judge(story.request(now), story.at(now))
        if tick % 8 == 0:
            fresh = EvidenceReader(metrics, scrape_interval_seconds=SCRAPE_SECONDS)
            assert await fresh.judge(story.request(now), story.at(now)) == alive
    assert {status.name: status.reason for status in alive}.keys() == {one.name for one in gates}
    assert "NoData" not in {status.reason for status in alive}


@pytest.mark.parametrize("reference", ["Before", "Training"])
@pytest.mark.parametrize(("shift", "expected"), [(0.0, ("Pass", "NotWorse")), (0.9, ("Fail", "Shifted"))])
async def test_where_stable_answers_nothing_a_shape_is_held_against_its_past_hour(
    server: PrometheusProcess, metrics: Prometheus, reference: str, shift: float, expected: tuple[str, str]
) -> None:
    story = Story(gates=(gate("shape", preset="Predictions", reference=reference),))
    server.write([*scraped(story, OLD_POD, *answers(STABLE, 50), until_second=0)])
    server.write([*scraped(story, NEW_POD, *answers(CANDIDATE, 50, shift), from_second=-20)])
    server.write([*shipped(story, CANDIDATE, NEW_POD)])
    assert said(await judge(metrics, story, 301.5)) == expected
