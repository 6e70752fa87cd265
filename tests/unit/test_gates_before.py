"""A fixed past: the candidate is held against what stable's hour allows, chance in that hour included."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millgate.gates.before import Before, drawn, limit, log_factors
from millgate.gates.counters import Arm
from millgate.gates.drift import Drift
from tests.unit.gate_nulls import binomial

ALPHA = 0.05


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 15), st.floats(0.001, 0.9), st.floats(0.0, 1.0))
def test_a_candidate_within_the_limit_is_expected_to_add_no_evidence(requests: int, bound: float, part: float) -> None:
    sums = [0.0] * 24
    for events, probability in binomial(requests, bound * part):
        factors = log_factors(bound, Arm(requests, events), 1.0)
        sums = [total + probability * math.exp(log) for total, log in zip(sums, factors, strict=True)]
    assert max(sums) <= 1 + 1e-9


@pytest.mark.parametrize("share", [0.0005, 0.005, 0.05, 0.3])
def test_the_hour_seldom_makes_the_limit_too_low(share: float) -> None:
    """The true share is above what the hour is taken for in at most a fifth of alpha."""
    random = np.random.default_rng(1)
    pasts = random.binomial(4000, share, 20_000)
    known = {int(events): limit(Arm(4000, float(events)), 1.0, ALPHA, 1.0) for events in set(pasts)}
    too_low = np.mean([(known[int(events)] or 1.0) < share for events in pasts])
    assert too_low <= 0.2 * ALPHA + 3 * math.sqrt(0.2 * ALPHA / 20_000)


@settings(max_examples=10, deadline=None)
@given(
    st.floats(0.002, 0.2),
    st.integers(200, 5000),
    st.lists(st.integers(1, 400), min_size=3, max_size=25),
    st.sampled_from([1.0, 2.0]),
    st.integers(0, 2**32),
)
def test_a_candidate_at_the_margin_crosses_as_seldom_as_alpha_says(
    share: float, past_requests: int, requests: list[int], rho: float, seed: int
) -> None:
    random, runs, crossed = np.random.default_rng(seed), 200, 0
    for _ in range(runs):
        past = Arm(past_requests, float(random.binomial(past_requests, share)))
        bound = limit(past, rho, ALPHA, 1.0)
        assert bound is not None
        before, highest = Before(bound), 0.0
        for count in requests:
            before = before.with_interval(Arm(count, float(random.binomial(count, min(1.0, rho * share)))))
            highest = max(highest, before.log_e)
        crossed += highest >= -math.log(ALPHA)
    assert crossed / runs <= ALPHA + 4 * math.sqrt(ALPHA * (1 - ALPHA) / runs)


def test_a_candidate_five_times_as_bad_is_found_soon() -> None:
    bound = limit(Arm(36_000, 360), 2.0, 0.01, 1.0)
    assert bound == pytest.approx(0.02 * 1.16, rel=0.02)
    before = Before(bound or 1.0)
    for _ in range(8):
        before = before.with_interval(Arm(150, 7.5))
    assert before.log_e > math.log(100)
    assert before.candidate == Arm(1200, 60)


def test_a_short_or_clustered_past_allows_more() -> None:
    long, short = limit(Arm(36_000, 360), 1.0, 0.01, 1.0), limit(Arm(360, 3.6), 1.0, 0.01, 1.0)
    clustered = limit(Arm(36_000, 360), 1.0, 0.01, 9.0)
    assert long is not None
    assert short is not None
    assert clustered is not None
    assert 0.01 < long < clustered < short


def test_without_a_past_there_is_no_limit() -> None:
    assert limit(Arm(0, 0), 2.0, 0.01, 1.0) is None


def test_a_limit_of_everything_lets_everything_pass() -> None:
    assert Before(1.0).with_interval(Arm(100, 100)).log_e < 0


@given(st.lists(st.integers(0, 500), min_size=1, max_size=20), st.floats(0, 3000))
def test_the_past_is_drawn_without_replacement(counts: list[int], wanted: float) -> None:
    left = tuple(map(float, counts))
    found = drawn(left, wanted)
    assert sum(found) == min(math.floor(wanted), sum(counts), 1000)
    assert all(0 <= one <= other for one, other in zip(found, left, strict=True))
    assert drawn(left, wanted) == found


def test_a_short_past_does_not_seem_to_be_known_ever_better() -> None:
    """An hour of 600 answers beside 7,200 of a healthy candidate: reused, it would fail every one of them."""
    random, runs, crossed = np.random.default_rng(1), 60, 0
    even = [0.1] * 10
    for _ in range(runs):
        left = tuple(map(float, random.multinomial(600, even)))
        drift, highest = Drift(), 0.0
        for _ in range(80):
            candidate = tuple(map(float, random.multinomial(90, even)))
            theirs = drawn(left, sum(candidate))
            left = tuple(count - gone for count, gone in zip(left, theirs, strict=True))
            drift = drift.with_interval(candidate, theirs)
            highest = max(highest, drift.log_e)
        crossed += highest >= -math.log(ALPHA)
    assert crossed / runs <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / runs)
