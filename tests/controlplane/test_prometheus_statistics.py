"""Every statistic against every reference, on what a real Prometheus holds."""

import pytest

from tests.controlplane.custom_story import NEW_POD, OLD_POD, RATE, Grows, answers, counter, scraped, served, shipped
from tests.controlplane.evidence_case import Counting, gate, judge, reader, said
from tests.controlplane.prometheus_process import PrometheusProcess
from tests.controlplane.rollout_story import (
    CANDIDATE,
    STABLE,
    Behaviour,
    Story,
    errors_gate,
)

BASELINE = f"{STABLE}-baseline"


@pytest.mark.parametrize(
    ("failing", "expected"), [(0.1, ("Pass", "NotWorse")), (2.0, ("Fail", "WorseThanStable"))], ids=["alike", "worse"]
)
async def test_a_rate_of_another_servers_counters_is_judged_by_the_names_of_the_pods(
    prometheus: PrometheusProcess, metrics: Counting, failing: float, expected: tuple[str, str]
) -> None:
    story = Story(gates=(gate("availability", **RATE),))
    prometheus.write(
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
    (status,) = await judge(metrics, story, 301.5)
    assert said(status) == expected
    if expected[0] == "Pass":
        assert status.samples == pytest.approx((10 + failing) * 300, rel=0.05)


async def test_a_series_of_another_namespace_has_no_vote_whatever_the_selector_says(
    prometheus: PrometheusProcess, metrics: Counting
) -> None:
    other = Story(gates=())
    numerator = f'http_requests_total{{code="500",namespace="{other.namespace}"}}'
    story = Story(gates=(gate("availability", **{**RATE, "numerator": numerator}),))
    prometheus.write([*scraped(other, NEW_POD, served("500", 50)), *scraped(story, NEW_POD, served("200", 50))])
    prometheus.write([*scraped(story, OLD_POD, served("200", 50))])
    (status,) = await judge(metrics, story, 301.5)
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
    prometheus: PrometheusProcess, metrics: Counting, selector: str
) -> None:
    story = Story(gates=(gate("odd", **{**RATE, "numerator": selector}), errors_gate()))
    pods = {
        "s": (STABLE, Behaviour(50, lambda _: 0.01)),
        "c": (CANDIDATE, Behaviour(10, lambda _: 0.01, from_second=-20)),
    }
    prometheus.write(story.counters(pods))
    odd, errors = await judge(metrics, story, 301.5)
    assert said(odd) == ("Inconclusive", "QueryRefused")
    assert said(errors) == ("Pass", "NotWorse")


@pytest.mark.parametrize(
    ("slow", "expected"), [(0.05, ("Pass", "NotWorse")), (1.5, ("Fail", "WorseThanStable"))], ids=["alike", "slower"]
)
async def test_a_histogram_of_another_server_is_judged_above_stables_quantile(
    prometheus: PrometheusProcess, metrics: Counting, slow: float, expected: tuple[str, str]
) -> None:
    story = Story(gates=(gate("p95", statistic="Exceedance", histogram="took_seconds", quantile="0.95"),))

    def took(per_second: float, late: float) -> list[Grows]:
        buckets = {"0.1": per_second * 0.5, "0.5": per_second - late, "2.5": per_second, "+Inf": per_second}
        return [
            *(counter("took_seconds_bucket", rate, le=le) for le, rate in buckets.items()),
            counter("took_seconds_count", per_second),
        ]

    prometheus.write([*scraped(story, OLD_POD, *took(50, 0.25))])
    prometheus.write([*scraped(story, NEW_POD, *took(10, slow), from_second=-20)])
    (status,) = await judge(metrics, story, 301.5)
    assert said(status) == expected
    assert "took_seconds above 0.5" in status.message


@pytest.mark.parametrize(
    ("tokens", "expected"), [(101.0, ("Pass", "NotWorse")), (160.0, ("Fail", "WorseThanStable"))], ids=["alike", "more"]
)
async def test_a_mean_needs_fifteen_intervals_and_then_knows(
    prometheus: PrometheusProcess, metrics: Counting, tokens: float, expected: tuple[str, str]
) -> None:
    compare = {"statistic": "Mean", "numerator": "tokens_total", "denominator": "answers_total"}
    story = Story(gates=(gate("tokens", **compare),))

    def used(per_answer: float, per_second: float) -> list[Grows]:
        # A deterministic wobble: without any scatter there would be nothing to learn.
        rate = counter("tokens_total", lambda second: per_second * per_answer * (0.9 + 0.2 * (second * 7 % 11) / 10))
        return [rate, counter("answers_total", per_second)]

    prometheus.write([*scraped(story, OLD_POD, *used(100, 50)), *scraped(story, NEW_POD, *used(tokens, 10))])
    (early,), (late,) = await judge(metrics, story, 141.5), await judge(metrics, story, 401.5)
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
    prometheus: PrometheusProcess, metrics: Counting, kind: str, shift: float, expected: tuple[str, str]
) -> None:
    preset = {"prediction": "Predictions", "feature": "Features"}
    own = {"statistic": "Distribution", "histogram": "custom"}
    story = Story(gates=(gate("shape", **({"preset": preset[kind]} if kind in preset else own)),))
    metric = f"millgate_{kind}" if kind in preset else "custom"
    prometheus.write([*scraped(story, OLD_POD, *answers(STABLE, 90, metric=metric))])
    prometheus.write([*scraped(story, NEW_POD, *answers(CANDIDATE, 10, shift, metric=metric), from_second=-20)])
    (status,) = await judge(metrics, story, 301.5)
    assert said(status) == expected


async def test_a_shift_that_is_common_to_both_is_none(prometheus: PrometheusProcess, metrics: Counting) -> None:
    story = Story(gates=(gate("predictions", preset="Predictions"),))

    def world(second: float) -> float:
        return 0.8 if second > 100 else 0.0

    prometheus.write([*scraped(story, OLD_POD, *answers(STABLE, 90, world))])
    prometheus.write([*scraped(story, NEW_POD, *answers(CANDIDATE, 10, world), from_second=-20)])
    assert said((await judge(metrics, story, 401.5))[0]) == ("Pass", "NotWorse")


async def test_histograms_with_other_bounds_are_compared_at_those_that_both_have(
    prometheus: PrometheusProcess, metrics: Counting
) -> None:
    story = Story(gates=(gate("predictions", preset="Predictions"),))
    prometheus.write([*scraped(story, OLD_POD, *answers(STABLE, 90, edges=("-1.0", "-0.3", "0.0", "0.9", "+Inf")))])
    prometheus.write([*scraped(story, NEW_POD, *answers(CANDIDATE, 10, 0.9), from_second=-20)])
    assert said((await judge(metrics, story, 301.5))[0]) == ("Fail", "Shifted")
    apart = Story(gates=(gate("predictions", preset="Predictions"),))
    prometheus.write([*scraped(apart, OLD_POD, *answers(STABLE, 90, edges=("-1.1", "+Inf")))])
    prometheus.write([*scraped(apart, NEW_POD, *answers(CANDIDATE, 10, 0.9), from_second=-20)])
    (status,) = await judge(metrics, apart, 301.5)
    assert said(status) == ("Inconclusive", "TooFewSamples")
    assert "no bound in common" in status.message


@pytest.mark.parametrize(
    ("candidate_mean", "stable_mean", "expected"),
    [(0.8, 0.0, ("Fail", "Shifted")), (0.8, 0.8, ("Pass", "NotWorse"))],
    ids=["only the candidate has left its training", "the world has left it"],
)
async def test_against_training_the_candidate_is_blamed_only_for_what_stable_has_not(
    prometheus: PrometheusProcess,
    metrics: Counting,
    candidate_mean: float,
    stable_mean: float,
    expected: tuple[str, str],
) -> None:
    story = Story(gates=(gate("skew", preset="Predictions", reference="Training"),))
    prometheus.write([*scraped(story, OLD_POD, *answers(STABLE, 90, stable_mean)), *shipped(story, STABLE, OLD_POD)])
    prometheus.write([*scraped(story, NEW_POD, *answers(CANDIDATE, 10, candidate_mean), from_second=-20)])
    prometheus.write([*shipped(story, CANDIDATE, NEW_POD)])
    assert said((await judge(metrics, story, 301.5))[0]) == expected


async def test_baseline_pods_are_the_reference_and_stables_own_are_not(
    prometheus: PrometheusProcess, metrics: Counting
) -> None:
    story = Story(gates=(errors_gate(reference="Baseline"),))
    pods = {
        "s": (STABLE, Behaviour(80, lambda _: 0.0)),
        "b": (BASELINE, Behaviour(10, lambda _: 0.1, from_second=-20)),
        "c": (CANDIDATE, Behaviour(10, lambda _: 0.1, from_second=-20)),
    }
    prometheus.write(story.counters(pods))
    (status,) = await judge(metrics, story, 301.5)
    assert said(status) == ("Pass", "NotWorse")
    assert float(str(status.reference)) == pytest.approx(0.1, rel=0.1)
    assert "on the baseline" in status.message


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.01, ("Pass", "NotWorse")), (0.1, ("Fail", "WorseThanStable"))],
    ids=["as in the hour before", "ten times as many"],
)
async def test_against_the_hour_before_stable_needs_no_traffic(
    prometheus: PrometheusProcess, metrics: Counting, share: float, expected: tuple[str, str]
) -> None:
    story = Story(gates=(errors_gate(reference="Before"),))
    pods = {
        "s": (STABLE, Behaviour(50, lambda _: 0.01, until_second=0)),
        "c": (CANDIDATE, Behaviour(50, lambda _: share, from_second=-20)),
    }
    prometheus.write(story.counters(pods))
    (status,) = await judge(metrics, story, 301.5)
    assert said(status) == expected
    assert "in stable's last hour" in status.message


async def test_without_an_hour_before_nothing_is_said_against_it(
    prometheus: PrometheusProcess, metrics: Counting
) -> None:
    story = Story(gates=(errors_gate(reference="Before"),))
    prometheus.write(story.counters({"c": (CANDIDATE, Behaviour(50, lambda _: 0.9, from_second=-20))}))
    (status,) = await judge(metrics, story, 301.5)
    assert said(status) == ("Inconclusive", "NoData")
    assert "stable's last hour" in status.message


@pytest.mark.parametrize("reference", ["Before", "Training"])
@pytest.mark.parametrize(("shift", "expected"), [(0.0, ("Pass", "NotWorse")), (0.9, ("Fail", "Shifted"))])
async def test_where_stable_answers_nothing_a_shape_is_held_against_its_past_hour(
    prometheus: PrometheusProcess, metrics: Counting, reference: str, shift: float, expected: tuple[str, str]
) -> None:
    story = Story(gates=(gate("shape", preset="Predictions", reference=reference),))
    prometheus.write([*scraped(story, OLD_POD, *answers(STABLE, 50), until_second=0)])
    prometheus.write([*scraped(story, NEW_POD, *answers(CANDIDATE, 50, shift), from_second=-20)])
    prometheus.write([*shipped(story, CANDIDATE, NEW_POD)])
    assert said((await judge(metrics, story, 301.5))[0]) == expected


async def test_at_100_percent_the_past_reaches_into_the_steps_before(
    prometheus: PrometheusProcess, metrics: Counting
) -> None:
    """A stable revision as young as the rollout has no hour before it: what it did in the canary step counts."""
    story = Story(gates=(errors_gate(),), steps=(("half", 50, -0.5), ("all", 100, 103.0)))
    pods = {
        "s": (STABLE, Behaviour(20, lambda _: 0.01, from_second=-5, until_second=105)),
        "c": (CANDIDATE, Behaviour(20, lambda second: 0.2 if second > 200 else 0.01, from_second=-20)),
    }
    prometheus.write(story.counters(pods))
    live, seen = reader(metrics), {}
    for tick in range(1, 31):
        now = tick * 10 + 1.5
        (alive,) = await live.judge(story.request(now), story.at(now))
        assert await judge(metrics, story, now) == (alive,)
        seen[tick] = (alive.step, *said(alive))
    assert seen[10] == ("half", "Pass", "NotWorse")
    assert seen[11] == ("all", "Pending", "Pending")
    assert seen[19] == ("all", "Pass", "NotWorse")
    assert seen[30] == ("all", "Fail", "WorseThanStable")
    assert "in stable's last hour" in alive.message
