"""What a comparison says when it cannot see, or sees what is no evidence, of counters that a real Prometheus holds."""

import json
import urllib.parse
import urllib.request

import pytest

from tests.controlplane.evidence_case import Counting
from tests.controlplane.prometheus_process import PrometheusProcess
from tests.controlplane.rollout_story import CANDIDATE, STABLE, Behaviour, Story, errors_gate
from tests.controlplane.safe_defaults import (
    OLDER,
    TWO_STEPS,
    Row,
    candidate,
    grown_by,
    reset_at,
    stable,
    verdict_of,
    without,
)


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


@pytest.mark.parametrize("row", COMPARED, ids=lambda row: row.situation)
async def test_a_comparison(prometheus: PrometheusProcess, metrics: Counting, row: Row) -> None:
    status = await verdict_of(prometheus, metrics, row)
    assert (status.verdict.value, status.reason) == row.expected, status.message
    assert row.words in status.message
    if row.samples is not None:
        assert status.samples is not None
        assert row.samples[0] <= status.samples <= row.samples[1]


def test_prometheus_serves_samples_of_five_minutes_ago_to_others(prometheus: PrometheusProcess) -> None:
    """Why the age of a sample is asked for: the same question by itself has an answer long after the pod is gone."""
    story = Story(gates=(errors_gate(),))
    prometheus.write(story.counters({"c": candidate(until_second=255)}))
    asked = {"query": f'millgate_requests_total{{namespace="{story.namespace}"}}', "time": str(story.anchor + 301)}
    with urllib.request.urlopen(f"{prometheus.url}/api/v1/query?{urllib.parse.urlencode(asked)}", timeout=10) as answer:
        assert len(json.load(answer)["data"]["result"]) == 1
