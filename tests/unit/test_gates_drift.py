"""Distributions: real and large shifts are found, small samples and a changing world are none."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millgate.gates.drift import MIN_PER_BUCKET, Drift, index_between
from tests.unit.gate_nulls import multinomial

shapes = st.lists(st.floats(min_value=0.05, max_value=1.0), min_size=3, max_size=3)
answers = st.tuples(st.integers(min_value=0, max_value=60), st.integers(1, 60), st.integers(1, 60))


def shares_of(weights: list[float]) -> list[float]:
    return [weight / sum(weights) for weight in weights]


@settings(max_examples=40, deadline=None)
@given(shapes, answers, answers, st.integers(1, 4), st.integers(1, 4))
def test_an_interval_in_which_nothing_differs_is_expected_to_add_no_evidence(
    weights: list[float], before: tuple[int, int, int], stable_before: tuple[int, int, int], mine: int, theirs: int
) -> None:
    """Exactly, whatever was learnt before: with that, no number of looks makes a false alarm likelier (Ville)."""
    past = Drift()
    for _ in range(4):
        past = past.with_interval(tuple(map(float, before)), tuple(map(float, stable_before)))
        stable_before = (stable_before[1], stable_before[2], stable_before[0])
    assert past.dispersion is not None
    shares, expected = shares_of(weights), 0.0
    for candidate, probability in multinomial(mine, shares):
        for stable, other in multinomial(theirs, shares):
            later = past.with_interval(tuple(map(float, candidate)), tuple(map(float, stable)))
            expected += probability * other * math.exp(later.log_e - past.log_e)
    assert expected <= 1 + 1e-9


def run(random: np.random.Generator, intervals: list[tuple[int, int]], shapes: list[tuple[list[float], list[float]]]):
    drift, highest = Drift(), 0.0
    for (mine, theirs), (one, two) in zip(intervals, shapes, strict=True):
        drift = drift.with_interval(
            tuple(map(float, random.multinomial(mine, one))), tuple(map(float, random.multinomial(theirs, two)))
        )
        highest = max(highest, drift.log_e)
    return drift, highest


@settings(max_examples=10, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 200), st.integers(0, 200), st.lists(st.floats(0.01, 1.0), min_size=6, max_size=6)),
        min_size=2,
        max_size=12,
    ),
    st.integers(0, 2**32),
)
def test_without_a_difference_evidence_stays_at_one_on_average_and_seldom_crosses(
    intervals: list[tuple[int, int, list[float]]], seed: int
) -> None:
    """Whatever the weights, the rates and a world that changes its shape from interval to interval."""
    random, runs, alpha = np.random.default_rng(seed), 150, 0.05
    sizes = [(mine, theirs) for mine, theirs, _ in intervals]
    worlds = [(shares_of(weights), shares_of(weights)) for _, _, weights in intervals]
    found = [run(random, sizes, worlds) for _ in range(runs)]
    values = np.exp([drift.log_e for drift, _ in found])
    assert values.mean() <= 1 + 5 * values.std() / math.sqrt(runs) + 1e-9
    crossed = np.mean([highest >= -math.log(alpha) for _, highest in found])
    assert crossed <= alpha + 5 * math.sqrt(alpha * (1 - alpha) / runs)


def test_a_shift_of_the_candidate_is_found_real_and_large() -> None:
    drift = Drift()
    for _ in range(12):
        drift = drift.with_interval((10.0, 20.0, 40.0, 30.0), (225.0, 225.0, 225.0, 225.0))
    index = drift.index()
    assert drift.log_e > math.log(100)
    assert index is not None
    assert index.value > 0.1


def test_answers_that_scatter_more_than_independent_ones_say_less() -> None:
    """(45-55)² and (55-45)² over 100, twice: 2 for each pair of neighbours, where 1 is expected."""
    steady, scattered = Drift(), Drift()
    for i in range(8):
        steady = steady.with_interval((10.0, 30.0), (50.0, 50.0))
        scattered = scattered.with_interval((10.0, 30.0), (45.0, 55.0) if i % 2 else (55.0, 45.0))
    assert steady.dispersion == 1.0
    assert scattered.dispersion == pytest.approx(2.0)
    assert scattered.log_e < steady.log_e


def test_where_stable_has_no_true_intervals_the_candidates_tell_how_much_answers_scatter() -> None:
    drift = Drift()
    for i in range(8):
        mine = (45.0, 55.0) if i % 2 else (55.0, 45.0)
        drift = drift.with_interval(mine, (50.0, 50.0), witness=mine)
    assert drift.dispersion == pytest.approx(2.0)


def test_until_it_is_known_how_much_answers_scatter_the_candidate_is_only_watched() -> None:
    drift = Drift()
    for _ in range(4):
        drift = drift.with_interval((90.0, 10.0), (500.0, 500.0))
    assert drift.dispersion is None
    assert drift.log_e == 0.0
    assert drift.samples == 400


@pytest.mark.parametrize("size", [5, 20])
def test_requests_with_many_rows_that_are_alike_make_no_shift(size: int) -> None:
    random, crossed, runs = np.random.default_rng(1), 0, 40
    even = [0.1] * 10
    for _ in range(runs):
        drift, highest = Drift(), 0.0
        for _ in range(60):
            mine, theirs = (random.multinomial(count, even) * float(size) for count in (20, 80))
            drift = drift.with_interval(tuple(mine), tuple(theirs))
            highest = max(highest, drift.log_e)
        assert drift.dispersion == pytest.approx(size, rel=0.3)
        crossed += highest >= math.log(100)
    assert crossed <= 1


@pytest.mark.parametrize(("candidate", "stable"), [((0.0, 0.0), (5.0, 5.0)), ((5.0, 5.0), (0.0, 0.0))])
def test_an_interval_in_which_one_of_them_is_idle_says_nothing(
    candidate: tuple[float, ...], stable: tuple[float, ...]
) -> None:
    drift = Drift().with_interval((3.0, 4.0), (5.0, 6.0))
    assert drift.with_interval(candidate, stable) is drift


def test_a_world_that_changes_while_the_weight_grows_is_no_difference_in_size() -> None:
    """Counted together, the candidate's answers would mostly be late ones and stable's early ones (Simpson)."""
    drift = Drift()
    for mine, theirs, shape in ((50, 950, (0.8, 0.1, 0.1)), (500, 500, (0.1, 0.1, 0.8))):
        drift = drift.with_interval(tuple(mine * share for share in shape), tuple(theirs * share for share in shape))
    index = drift.index()
    assert index is not None
    assert index.value == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize(("size", "buckets"), [(90, None), (150, 2), (300, 5), (1000, 20), (100_000, 20)])
def test_small_samples_are_compared_in_fewer_buckets(size: int, buckets: int | None) -> None:
    even = tuple([float(size) / 20] * 20)
    index = index_between(even, even, size, 10 * size)
    assert (None if index is None else index.buckets) == buckets


@given(
    st.lists(st.floats(0, 1000), min_size=2, max_size=30),
    st.lists(st.floats(0, 1000), min_size=2, max_size=30),
    st.booleans(),
)
def test_no_index_is_taken_over_buckets_that_are_too_empty(
    found: list[float],
    reference: list[float],
    ordered: bool,  # noqa: FBT001
) -> None:
    length = min(len(found), len(reference))
    one, two = tuple(found[:length]), tuple(reference[:length])
    index = index_between(one, two, sum(one), sum(two), ordered=ordered)
    if index is not None:
        assert index.buckets * MIN_PER_BUCKET <= min(sum(one), sum(two)) * (1 + 1e-9)
        assert math.isfinite(index.value)


def test_categories_that_are_rare_are_put_together_whatever_their_order() -> None:
    found, reference = (10.0, 500.0, 20.0, 470.0), (20.0, 480.0, 10.0, 490.0)
    index = index_between(found, reference, 1000, 1000, ordered=False)
    assert index is not None
    assert index.buckets == 2


@pytest.mark.parametrize(("buckets", "size"), [(10, 500), (20, 1000), (6, 300)])
def test_the_index_of_equal_distributions_is_nought_on_average(buckets: int, size: int) -> None:
    """PSI itself is (B-1)(1/n+1/m) on average: at 20 buckets and 100 answers that is 'large' in 97 % of the cases."""
    random = np.random.default_rng(1)
    even = [1 / buckets] * buckets
    values = []
    for _ in range(300):
        found, reference = random.multinomial(size, even), random.multinomial(10 * size, even)
        index = index_between(tuple(map(float, found)), tuple(map(float, reference)), size, 10 * size)
        assert index is not None
        values.append(index.value)
    assert abs(np.mean(values)) < 4 * np.std(values) / math.sqrt(len(values)) + 0.002


def test_half_a_standard_deviation_is_an_index_of_a_quarter() -> None:
    """facts/gates.md 3.2: 0.245, which is why the default bound lies below it."""
    bounds = [NormalDist().inv_cdf(i / 20) for i in range(1, 20)]
    shifted = np.diff([0.0, *(NormalDist().cdf(bound - 0.5) for bound in bounds), 1.0]) * 1e6
    index = index_between(tuple(shifted), tuple([5e4] * 20), 1e6, 1e6)
    assert index is not None
    assert index.value == pytest.approx(0.245, abs=0.005)
