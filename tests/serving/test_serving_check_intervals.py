"""The intervals behind a check's verdict: held against published values, against brute force, and against chance."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millgate_serving.checks import interval
from millgate_serving.checks.interval import Alphas, Interval
from millgate_serving.checks.verdict import Verdict, at_least, at_most

TWO_SIDED_95 = Alphas.of(0.025)
Z = 1.959963984540054


@pytest.mark.parametrize(
    ("hits", "rows", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_of_a_share_is_that_of_the_literature(hits, rows, low, high):
    found = interval.share(hits, rows, TWO_SIDED_95)
    assert (found.low, found.high) == pytest.approx((low, high), abs=6e-5)


def likelihood(gained: int, lost: int, rows: int, difference: float, second: float) -> float:
    """Of the counts, if `second` is the share of rows that only the second one has."""
    first, same = second + difference, 1 - 2 * second - difference
    if min(first, second, same) < 0:
        return -math.inf
    terms = [(gained, first), (lost, second), (rows - gained - lost, same)]
    return sum(count * math.log(share) if share > 0 else -math.inf for count, share in terms if count)


def score(gained: int, lost: int, rows: int, difference: float) -> float:
    """Standard errors between the counts and a true difference, with the nuisance share found by search."""
    low, high = max(0.0, -difference), (1 - difference) / 2
    for _ in range(200):  # the likelihood has one maximum
        a, b = low + (high - low) / 3, high - (high - low) / 3
        if likelihood(gained, lost, rows, difference, a) < likelihood(gained, lost, rows, difference, b):
            low = a
        else:
            high = b
    variance = (2 * low + difference - difference**2) / rows
    return ((gained - lost) / rows - difference) / math.sqrt(variance)


@pytest.mark.parametrize(
    ("gained", "lost", "rows"), [(3, 154, 2000), (12, 2, 50), (40, 100, 2000), (5, 5, 30), (0, 7, 500), (9, 0, 500)]
)
def test_the_ends_of_a_paired_difference_are_where_the_score_test_stops_rejecting(gained, lost, rows):
    found = interval.paired_difference(gained, lost, rows, TWO_SIDED_95)
    assert score(gained, lost, rows, found.low) == pytest.approx(Z, abs=1e-4)
    assert score(gained, lost, rows, found.high) == pytest.approx(-Z, abs=1e-4)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 2000))
def test_a_paired_difference_lies_in_its_interval_which_mirrors_when_the_versions_change_places(gained, lost, same):
    rows = gained + lost + same
    if not rows:
        return
    found = interval.paired_difference(gained, lost, rows, TWO_SIDED_95)
    mirrored = interval.paired_difference(lost, gained, rows, TWO_SIDED_95)
    assert -1 <= found.low <= found.value <= found.high <= 1
    assert (found.low, found.high) == pytest.approx((-mirrored.high, -mirrored.low), abs=1e-9)


def test_versions_that_answer_alike_are_not_sure_to_be_alike():
    assert interval.paired_difference(0, 0, 200, Alphas.of(0.05)).low == pytest.approx(-0.0134, abs=1e-4)
    assert at_least(interval.paired_difference(0, 0, 200, Alphas.of(0.05)), -0.01) is Verdict.UNKNOWN
    assert at_least(interval.paired_difference(0, 0, 500, Alphas.of(0.05)), -0.01) is Verdict.PASS


@pytest.mark.parametrize(("margin", "wrongly"), [(0.01, Verdict.PASS), (0.02, Verdict.FAIL)])
def test_at_the_margin_itself_a_verdict_is_wrong_as_seldom_as_alpha_says(margin, wrongly):
    """The true difference is the margin: either verdict would be an error, each with at most alpha."""
    random, tries = np.random.default_rng(5), 2000
    counts = random.multinomial(1000, [0.03, 0.03 + margin, 0.94 - margin], tries)
    wrong = 0
    for gained, lost, _ in counts:
        found = interval.paired_difference(int(gained), int(lost), 1000, Alphas.of(0.05))
        wrong += at_least(found, -margin) is wrongly
    assert 0.03 < wrong / tries < 0.065


def test_a_ratio_of_means_holds_the_true_one_as_often_as_it_says():
    random, tries, held = np.random.default_rng(6), 1000, 0
    for _ in range(tries):
        noise = random.exponential(1.0, 200)
        first = 1.2 * noise + random.exponential(0.3, 200)
        second = noise + random.exponential(0.25, 200)
        held += (found := interval.ratio_of_means(first, second, TWO_SIDED_95)).low <= 1.2 <= found.high
    assert held / tries == pytest.approx(0.95, abs=0.025)


def test_a_ratio_of_means_is_sharp_where_rows_agree_and_open_where_the_second_mean_may_be_nothing():
    values = [1.0, 2.0, 3.0, 7.0] * 10
    doubled = interval.ratio_of_means([2 * value for value in values], values, TWO_SIDED_95)
    assert (doubled.low, doubled.value, doubled.high) == pytest.approx((2, 2, 2))
    assert interval.ratio_of_means(values, [0.0] * 39 + [1.0], TWO_SIDED_95).high == math.inf
    assert interval.ratio_of_means([0.0] * 40, [0.0] * 40, TWO_SIDED_95) == Interval(1.0, 1.0, 1.0)
    assert at_most(interval.ratio_of_means(values, [0.0] * 40, TWO_SIDED_95), 1.5) is Verdict.FAIL


@pytest.mark.parametrize(("quantile", "least"), [(0.5, 5), (0.95, 59), (0.99, 299)])
def test_a_quantile_has_an_upper_end_only_from_enough_values_on(quantile, least):
    assert interval.quantile_of(range(least - 1), quantile, 0.05).high == math.inf
    assert interval.quantile_of(range(least), quantile, 0.05).high == least - 1


def test_a_quantile_of_ten_thousand_values_is_known_within_a_few_ranks():
    found = interval.quantile_of(range(1, 10_001), 0.99, 0.025)
    assert found.value == 9900
    assert 9879 <= found.low <= 9881
    assert 9919 <= found.high <= 9921


def test_the_median_of_twenty_lies_between_the_sixth_and_the_fifteenth():
    assert interval.median_of(range(1, 21), 0.05) == Interval(10.5, 6, 15)
    assert interval.median_of([1.0, 2.0], 0.05) == Interval(1.5, -math.inf, math.inf)


@pytest.mark.parametrize(
    ("low", "high", "differ"),
    [
        ((30, 100), (60, 100), True),
        ((7, 20), (10, 20), False),
        ((0, 50), (0, 50), False),
        ((490, 1000), (500, 1000), False),
    ],
)
def test_rates_differ_only_where_chance_is_no_explanation(low, high, differ):
    assert interval.rates_differ(low, high, 0.05) is differ


finite = st.floats(-1e6, 1e6)


@given(st.lists(finite, min_size=3, max_size=3).map(sorted), finite)
def test_a_verdict_is_given_only_by_a_whole_interval(ends, bound):
    found = Interval(ends[1], ends[0], ends[2])
    assert (at_least(found, bound) is Verdict.PASS) == (ends[0] >= bound)
    assert (at_least(found, bound) is Verdict.FAIL) == (ends[2] < bound)
    assert (at_most(found, bound) is Verdict.PASS) == (ends[2] <= bound)
    assert (at_most(found, bound) is Verdict.FAIL) == (ends[0] > bound)


def test_more_comparisons_make_a_failure_rarer_and_a_pass_no_easier():
    one = interval.paired_difference(10, 30, 1000, Alphas.of(0.05))
    many = interval.paired_difference(10, 30, 1000, Alphas.of(0.05, 20))
    assert many.low == one.low
    assert many.high > one.high
