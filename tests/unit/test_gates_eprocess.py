"""The e-process: valid at any number of looks, for any common error rate and any weights."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millgate.gates.eprocess import (
    MAX_DISPERSION,
    NO_EVIDENCE,
    RATIO_STEPS,
    add,
    dispersion,
    log_average,
    log_factors,
    log_mean,
    log_mixture,
    log_mixture_of,
    start_weight,
)
from tests.unit.gate_nulls import expected_factors


def test_alternatives_run_from_just_above_the_margin_to_64_times_it() -> None:
    assert len(RATIO_STEPS) == 24
    assert RATIO_STEPS[0] == pytest.approx(1.19, abs=0.01)
    assert RATIO_STEPS[-1] == 64


@pytest.mark.parametrize(
    ("requests", "events"),
    [((0, 0), (0, 0)), ((10, 90), (0, 0)), ((0, 0), (0, 3))],
    ids=["nothing at all", "no errors", "errors without requests"],
)
def test_an_interval_without_errors_says_nothing(requests: tuple[float, float], events: tuple[float, float]) -> None:
    assert log_factors(1.2, requests, events, 1.0) is None


def test_one_error_of_the_candidate_is_weighed_as_the_formula_says() -> None:
    # facts/gates.md 2.1 by hand: w = 0.1, rho = 1.2, r = 1.2 * 2 ** (4 / 4) = 2.4
    factors = log_factors(1.2, (10, 90), (1, 0), 1.0)
    assert factors is not None
    expected = math.log(2.4 / 1.2) - math.log((2.4 * 0.1 + 0.9) / (1.2 * 0.1 + 0.9))
    assert factors[3] == pytest.approx(expected)


def test_dispersion_divides_what_an_interval_says() -> None:
    plain, damped = log_factors(1.2, (10, 90), (2, 5), 1.0), log_factors(1.2, (10, 90), (2, 5), 4.0)
    assert plain is not None
    assert damped == pytest.approx(tuple(value / 4 for value in plain))


@pytest.mark.parametrize("share_of_traffic", [(0, 100), (100, 0)])
def test_with_all_traffic_on_one_revision_nothing_is_learnt(share_of_traffic: tuple[float, float]) -> None:
    candidate, stable = share_of_traffic
    events = (3.0, 0.0) if candidate else (0.0, 3.0)
    factors = log_factors(1.2, (candidate, stable), events, 1.0)
    assert factors == pytest.approx(NO_EVIDENCE, abs=1e-12)


@given(st.integers(min_value=1, max_value=200))
def test_the_bets_on_all_steps_never_exceed_the_stake(steps: int) -> None:
    assert sum(start_weight(index) for index in range(steps)) <= 1.0


def test_evidence_starts_at_one_however_many_steps_have_begun() -> None:
    for steps in range(1, 70):
        assert log_mixture([NO_EVIDENCE] * steps) == pytest.approx(0.0, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 8), st.integers(1, 8)),
    st.floats(0.001, 1.0),
    st.floats(0.0, 1.0),
    st.sampled_from([1.0, 1.2, 2.0]),
    st.sampled_from([1.0, 3.0]),
)
def test_an_interval_of_a_candidate_within_the_margin_is_expected_to_add_no_evidence(
    requests: tuple[int, int], share: float, part: float, rho: float, dispersion: float
) -> None:
    """Exactly, for every alternative, at any error rate: so no number of looks makes a false alarm likelier (Ville)."""
    rates = (min(1.0, share * rho) * part, share)
    factors = expected_factors(requests, rates, lambda events: log_factors(rho, requests, events, dispersion))
    assert max(factors) <= 1 + 1e-9


def test_processes_of_any_kind_are_mixed_by_what_was_bet_on_them() -> None:
    expected = math.exp(3) / 2 + math.exp(-1) / 8 + 3 / 8  # what is not bet yet keeps its value
    assert log_mixture_of([3.0, -1.0]) == pytest.approx(math.log(expected))
    assert log_mixture_of([0.0] * 5) == pytest.approx(0.0)
    assert log_mixture_of([math.inf, 0.0]) == math.inf


def test_the_average_of_several_is_that_of_their_evidence_and_one_without_any() -> None:
    assert log_average([]) == 0.0
    assert log_average([math.log(4.0), math.log(2.0)]) == pytest.approx(math.log(3.0))
    assert log_average([-math.inf, -math.inf]) == -math.inf


nulls = st.lists(
    st.tuples(
        st.floats(min_value=0.01, max_value=0.99),  # the candidate's share of the requests
        st.floats(min_value=0.001, max_value=0.5),  # the error rate of both, which may jump
        st.integers(min_value=1, max_value=200),  # requests of both
        st.booleans(),  # a step begins
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=15, deadline=None)
@given(nulls, st.sampled_from([1.0, 1.2, 2.0]), st.integers(min_value=0, max_value=2**32))
def test_mean_evidence_against_a_healthy_candidate_is_at_most_one(
    intervals: list[tuple[float, float, int, bool]], rho: float, seed: int
) -> None:
    """On the very boundary of the null: the candidate fails rho times as often as stable, and not more."""
    dice = random.Random(seed)
    runs, alpha = 200, 0.05
    values, crossed = [], 0
    for _ in range(runs):
        starts, top = [NO_EVIDENCE], 0.0
        for share, rate, requests, step_begins in intervals:
            if step_begins:
                starts.append(NO_EVIDENCE)
            candidate = round(share * requests)
            stable = requests - candidate
            errors = (
                sum(dice.random() < min(1.0, rate * rho) for _ in range(candidate)) if rate * rho <= 1 else 0,
                sum(dice.random() < rate for _ in range(stable)),
            )
            factors = log_factors(rho, (candidate, stable), errors, 1.0)
            if factors is not None:
                starts = [add(logs, factors) for logs in starts]
            top = max(top, log_mixture(starts))
        values.append(math.exp(log_mixture(starts)))
        crossed += top >= -math.log(alpha)
    mean = sum(values) / runs
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / runs / runs)
    assert mean <= 1 + 5 * deviation + 1e-9
    assert crossed / runs <= alpha + 5 * math.sqrt(alpha * (1 - alpha) / runs)


@given(st.lists(st.floats(min_value=-50, max_value=50), min_size=24, max_size=24))
def test_the_mean_of_likelihood_ratios_is_taken_without_overflow(values: list[float]) -> None:
    shift = 2000.0  # exp(2000) is no float
    shifted = log_mean(tuple(value + shift for value in values))
    assert shifted == pytest.approx(log_mean(tuple(values)) + shift)


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([], 1.0),
        ([(100.0, 3.0)], 1.0),
        ([(100.0, 0.0)] * 50, 1.0),
        ([(0.0, 0.0)] * 50, 1.0),
        ([(100.0, 1.0)] * 50, 1.0),  # steadier than chance: still 1
        ([(100.0, 0.0), (100.0, 10.0)] * 25, 5.0 * 50 / 49),  # (0-5)²/5 and (10-5)²/5, each 25 times, over 49
        ([(100.0, 0.0)] * 239 + [(100.0, 100.0)], MAX_DISPERSION),  # an incident is not a cluster
    ],
    ids=["no history", "one interval", "no errors", "no requests", "steady", "clustered", "incident"],
)
def test_dispersion_of_stables_hour_before_the_rollout(history: list[tuple[float, float]], expected: float) -> None:
    assert dispersion(history) == pytest.approx(expected)
