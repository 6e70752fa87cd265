"""Each kind of question in words and verdicts: means, shapes, segments, the past, warm-up and skewed traffic."""

from typing import Any

import pytest

from millgate.api.spec import Compare
from millgate.api.status import GateStatus
from millgate.gates.asking import NO_PAST, Asked, Past
from millgate.gates.asking import test_of as the_test_of
from millgate.gates.compare import Evidence, TrafficStep, fold, judge
from millgate.gates.counters import Arm, Interval
from millgate.gates.shapes import Shape, Shapes, common_bins

NOON = 1_700_000_000
FIRST = TrafficStep("canary-10", NOON - 0.4, 0.1)


def told(
    arms: list[tuple[Any, Any]],
    compare: dict[str, Any],
    past: Past = NO_PAST,
    shipped: Shapes | None = None,
    *,
    pods: tuple[int, int] = (1, 9),
    cold: bool = False,
) -> GateStatus:
    """What a gate says after intervals of ten seconds."""
    test = the_test_of(Asked("gate", Compare.model_validate(compare), 0.01, past=past, shipped=shipped))
    evidence: Evidence[Any] = Evidence()
    for index, (candidate, stable) in enumerate(arms):
        start = NOON + 10 * index
        evidence = fold(evidence, test, (FIRST,), Interval(start, start + 10, candidate, stable, pods, cold))
    return judge(evidence, test, (FIRST,))


def said(status: GateStatus) -> tuple[str, str]:
    return status.verdict.value, str(status.reason)


MEAN = {"statistic": "Mean", "numerator": "tokens", "denominator": "answers"}


def means(candidate: float, stable: float, count: int, segment: str | None = None) -> list[tuple[Any, Any]]:
    """Intervals in which the means scatter by some percent."""
    wobble = [1.0 + 0.02 * ((7 * index) % 5 - 2) for index in range(count)]
    arms = [(Arm(20, 20 * candidate * w), Arm(180, 180 * stable * (2 - w))) for w in wobble]
    return arms if segment is None else [({segment: one}, {segment: two}) for one, two in arms]


@pytest.mark.parametrize(
    ("arms", "more", "expected", "words"),
    [
        (means(100, 100, 14), {}, ("Inconclusive", "TooFewSamples"), "14 of 15 intervals"),
        (means(100, 100, 20), {}, ("Pass", "NotWorse"), "not shown to be more than 1.2 times stable"),
        (means(150, 100, 14), {}, ("Inconclusive", "TooFewSamples"), "14 of 15 intervals"),
        (means(150, 100, 20), {}, ("Fail", "WorseThanStable"), "150 on average, 100 on stable"),
        (means(150, 100, 20), {"minEffect": "60"}, ("Pass", "NotWorse"), "not shown"),
        (means(115, 100, 60), {}, ("Pass", "NotWorse"), "not shown"),
        (means(100, 100, 60), {"minSamples": 10**6}, ("Inconclusive", "TooFewSamples"), "1,200 of 1,000,000"),
        (means(100, 100, 60), {"minSamples": 10**6, "passRatio": "2"}, ("Pass", "NotWorse"), "less than 2 times"),
    ],
    ids=[
        "too few intervals to know how a mean scatters",
        "alike",
        "more, but too early to say",
        "more",
        "more, by less than what matters",
        "more, within the margin",
        "too few samples",
        "proven good",
    ],
)
def test_a_mean(arms: list[tuple[Any, Any]], more: dict[str, Any], expected: tuple[str, str], words: str) -> None:
    status = told(arms, {**MEAN, **more})
    assert said(status) == expected
    assert words in status.message


def test_a_mean_by_segment_names_the_one_that_is_worse() -> None:
    quiet, loud = means(100, 100, 30, "a"), means(200, 100, 30, "b")
    both = [({**a[0], **b[0]}, {**a[1], **b[1]}) for a, b in zip(quiet, loud, strict=True)]
    status = told(both, {**MEAN, "segmentBy": "tenant"}, Past(segments=("a", "b")))
    assert said(status) == ("Fail", "WorseThanStable")
    assert 'tenant="b": 200 on average' in status.message


def numbers(*counts: float) -> Shapes:
    """A histogram with bounds 1, 2, … of so many values each, the last of which is above all."""
    total, cumulative = 0.0, {}
    for index, count in enumerate(counts, 1):
        total += count
        cumulative[str(index) if index < len(counts) else "+Inf"] = total
    return {"score": Shape(cumulative)}


def named(**counts: float) -> Shapes:
    return {"label": Shape({}, counts)}


PREDICTIONS = {"preset": "Predictions"}
EVEN, TILTED = numbers(10, 10, 10, 10), numbers(2, 6, 12, 20)
WORLD = numbers(90, 90, 90, 90)


@pytest.mark.parametrize(
    ("candidate", "stable", "more", "expected", "words"),
    [
        (EVEN, WORLD, {}, ("Pass", "NotWorse"), "not shown to differ from stable by 0.1"),
        (TILTED, WORLD, {}, ("Fail", "Shifted"), "the predictions of score have moved by"),
        (TILTED, WORLD, {"minEffect": "2"}, ("Pass", "NotWorse"), "by 2"),
        (TILTED, numbers(18, 54, 108, 180), {}, ("Pass", "NotWorse"), "not shown"),
        (numbers(1, 0, 0, 0), WORLD, {"minSamples": 1}, ("Inconclusive", "TooFewSamples"), "too few to tell a shape"),
        (named(cat=5, dog=15), named(cat=90, dog=90), {}, ("Fail", "Shifted"), "of label"),
        (named(cat=10, dog=10), named(cat=90, dog=90), {}, ("Pass", "NotWorse"), "not shown"),
        (named(cat=10, other=10), named(dog=90), {}, ("Inconclusive", "TooFewSamples"), "no bound in common"),
        (EVEN, named(cat=1), {}, ("Inconclusive", "TooFewSamples"), "no bound in common"),
    ],
    ids=[
        "alike",
        "another shape",
        "smaller than what matters",
        "the world has changed",
        "too few",
        "other answers",
        "the same answers",
        "nothing in common",
        "another kind of output",
    ],
)
def test_a_distribution(
    candidate: Shapes, stable: Shapes, more: dict[str, Any], expected: tuple[str, str], words: str
) -> None:
    status = told([(candidate, stable)] * 60, {**PREDICTIONS, **more})
    assert said(status) == expected
    assert words in status.message


def test_of_several_outputs_the_one_that_has_moved_is_named() -> None:
    both = {"steady": EVEN["score"], **TILTED}, {"steady": WORLD["score"], **WORLD}
    status = told([both] * 60, PREDICTIONS)
    assert said(status) == ("Fail", "Shifted")
    assert "the predictions of score" in status.message


@pytest.mark.parametrize(
    ("stable", "expected"),
    [(WORLD, ("Fail", "Shifted")), (numbers(18, 54, 108, 180), ("Pass", "NotWorse")), (None, ("Fail", "Shifted"))],
    ids=[
        "only the candidate has left its training",
        "stable has as well",
        "stable has no traffic: its past hour tells",
    ],
)
def test_against_training_stable_is_the_witness(stable: Shapes | None, expected: tuple[str, str]) -> None:
    past = Past(shapes=numbers(9000, 9000, 9000, 9000))
    shipped = numbers(1000, 1000, 1000, 1000)
    status = told([(TILTED, stable)] * 60, {**PREDICTIONS, "reference": "Training"}, past, shipped)
    assert said(status) == expected


def test_bins_are_the_bounds_that_both_have() -> None:
    bins = common_bins(Shape({"0.5": 1, "1": 3, "2": 4, "+Inf": 6}), Shape({"1": 5, "3": 6, "+Inf": 9}))
    assert bins.bounds == ("1", "+Inf")
    assert bins.counts(Shape({"0.5": 1, "1": 3, "2": 4, "+Inf": 6})) == (3, 3)
    assert bins.counts(Shape({"2": 4, "+Inf": 6})) is None


def test_categories_that_only_one_has_are_others() -> None:
    bins = common_bins(Shape({}, {"a": 1, "b": 2, "__other__": 3}), Shape({}, {"a": 1, "c": 2, "__other__": 3}))
    assert bins.categories == ("__other__", "a")
    assert bins.counts(Shape({}, {"a": 1, "b": 2, "__other__": 3})) == (5, 1)


BEFORE = {"preset": "Errors", "reference": "Before"}


@pytest.mark.parametrize(
    ("failed", "expected"),
    [(0.3, ("Pass", "NotWorse")), (1.2, ("Pass", "NotWorse")), (6.0, ("Fail", "WorseThanStable"))],
)
def test_against_the_past_the_margin_is_two(failed: float, expected: tuple[str, str]) -> None:
    status = told([(Arm(100, failed), None)] * 60, BEFORE, Past(arm=Arm(36_000, 360)))
    assert said(status) == expected
    assert "1 % of 36,000 in stable's last hour" in status.message


@pytest.mark.parametrize(
    ("arms", "pods", "expected"),
    [
        ((Arm(10, 0), Arm(90, 0)), (1, 9), ("Pass", "NotWorse")),
        ((Arm(10, 0), Arm(90, 0)), (1, 1), ("Pass", "NotWorse")),
        ((Arm(50, 0), Arm(50, 0)), (1, 1), ("Pass", "NotWorse")),
        ((Arm(90, 0), Arm(10, 0)), (1, 9), ("Inconclusive", "TrafficSkewed")),
        ((Arm(90, 1), Arm(10, 0)), (1, 3), ("Inconclusive", "TrafficSkewed")),
    ],
    ids=["by weight", "by weight, not by pods", "by pods, not by weight", "by neither", "by neither, and errors"],
)
def test_requests_come_by_weight_or_by_pods(
    arms: tuple[Arm, Arm], pods: tuple[int, int], expected: tuple[str, str]
) -> None:
    assert said(told([arms] * 20, {"preset": "Errors"}, pods=pods)) == expected
    two_looks = told([arms] * 2, {"preset": "Errors", "minSamples": 1}, pods=pods)
    assert two_looks.reason == "NotWorse"


def test_skewed_traffic_saves_nobody() -> None:
    """A candidate that is shown to be worse fails, whoever is sent to it."""
    status = told([(Arm(90, 40), Arm(10, 0))] * 20, {"preset": "Errors"}, pods=(1, 9))
    assert said(status) == ("Fail", "WorseThanStable")


def test_pods_that_warm_up_are_no_missing_pods() -> None:
    status = told([(None, Arm(90, 0))], {"preset": "Errors"}, cold=True)
    assert said(status) == ("Inconclusive", "NoData")
    assert "warming up" in status.message


def test_a_doubling_takes_longer_to_see_with_less_traffic() -> None:
    busy, quiet = (
        told([(Arm(10 * n, 0.1 * n), Arm(90 * n, 0.9 * n))] * 20, {"preset": "Errors"}).detects_double_after_seconds
        for n in (10, 1)
    )
    assert busy is not None
    assert quiet is not None
    assert quiet == pytest.approx(10 * busy, rel=0.02)


def test_without_an_error_yet_the_past_tells_how_long_a_doubling_takes() -> None:
    arms = [(Arm(100, 0), Arm(900, 0))] * 5
    assert told(arms, {"preset": "Errors"}).detects_double_after_seconds is None
    past = Past(arm=Arm(36_000, 360))
    assert told(arms, {"preset": "Errors"}, past).detects_double_after_seconds is not None
