"""Means: the half-normal mixture as its sources write it, and no verdict before it is worth something."""

import math

import numpy as np
import pytest

from e2e.bench.gates_judged import MEANS, detected_share, means, median_seconds, outcomes
from e2e.bench.gates_worlds import Ladder, MeanWorld
from millgate.gates.counters import Arm
from millgate.gates.mean import MIN_INTERVALS, Mean


def after(differences: list[float]) -> Mean:
    """Means of which the candidate's exceeds stable's by so much in each interval."""
    mean = Mean()
    for difference in differences:
        mean = mean.with_interval(Arm(10, 10 * (5 + difference)), Arm(90, 90 * 5), 1.0)
    return mean


def test_nothing_is_said_before_fifteen_intervals() -> None:
    noise = [1.0 + 0.1 * (-1) ** i for i in range(MIN_INTERVALS)]
    assert after(noise[:-1]).log_e == 0.0
    assert after(noise).log_e > math.log(100)


def test_with_many_intervals_it_is_the_confidence_sequence_of_the_report() -> None:
    """facts/gates.md 2.4: Fail when mean(D) exceeds sd*sqrt(2(k r²+1)/(k r)² * ln(1 + sqrt(k r²+1)/(2 alpha)))."""
    random, alpha, r2 = np.random.default_rng(1), 0.01, (-2 * math.log(0.01) + math.log(-2 * math.log(0.01)) + 1) / 20
    agreed = 0
    for shift in np.linspace(0.0, 0.4, 200):
        drawn = list(random.normal(shift, 1.0, 300))
        k, deviation = len(drawn), float(np.std(drawn, ddof=1))
        scale = k * r2 + 1
        bound = deviation * math.sqrt(2 * scale / (k**2 * r2) * math.log(1 + math.sqrt(scale) / (2 * alpha)))
        agreed += (after(drawn).log_e >= -math.log(alpha)) == (np.mean(drawn) > bound)
    assert agreed >= 195


@pytest.mark.parametrize("scatter", [0.01, 1.0])
def test_normal_means_at_the_margin_cross_as_seldom_as_alpha_says(scatter: float) -> None:
    random, runs, alpha = np.random.default_rng(1), 300, 0.05
    crossed = 0
    for _ in range(runs):
        mean, highest = Mean(), 0.0
        for difference in random.normal(0.0, scatter, 60):
            mean = mean.with_interval(Arm(10, 10 * (5 + difference)), Arm(90, 90 * 5), 1.0)
            highest = max(highest, mean.log_e)
        crossed += highest >= -math.log(alpha)
    assert crossed / runs <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)


def test_a_candidate_that_costs_less_is_never_close_to_failing() -> None:
    assert after([-1.0 + 0.1 * (-1) ** i for i in range(200)]).log_e < -5


def test_evidence_against_a_very_cheap_candidate_does_not_overflow() -> None:
    assert -100 < after([-4.9 + 1e-6 * (-1) ** i for i in range(500)]).log_e < -5


@pytest.mark.parametrize(("difference", "fails"), [(1.0, True), (1e-15, False), (0.0, False), (-1.0, False)])
def test_means_that_never_change_fail_for_more_than_a_last_digit(difference: float, fails: bool) -> None:  # noqa: FBT001
    assert (after([difference] * 20).log_e > math.log(100)) is fails


def test_means_of_nothing_but_noughts_say_nothing() -> None:
    mean = Mean()
    for _ in range(20):
        mean = mean.with_interval(Arm(10, 0), Arm(90, 0), 1.2)
    assert mean.log_e == 0.0


def test_an_interval_in_which_one_of_them_is_idle_is_left_out() -> None:
    mean = after([0.5] * 3)
    assert mean.with_interval(Arm(0, 0), Arm(10, 50), 1.0) is mean
    assert mean.with_interval(Arm(10, 50), Arm(0, 0), 1.0) is mean


def test_the_margin_multiplies_stables_mean() -> None:
    at_the_margin = Mean().with_interval(Arm(10, 60), Arm(90, 450), 1.2)
    assert at_the_margin.centre == pytest.approx(0.0)


@pytest.mark.parametrize("requests_per_second", [3.0, 10.0])
def test_the_time_to_see_a_doubling_is_that_which_the_gate_needs(requests_per_second: float) -> None:
    ladder, seen = Ladder((0.1,), 3600), Mean()
    for interval in MeanWorld(requests_per_second, ladder=ladder).intervals(np.random.default_rng(1)):
        assert interval.candidate is not None
        assert interval.stable is not None
        seen = seen.with_interval(interval.candidate, interval.stable, 1.2)
    found = outcomes(means(MeanWorld(requests_per_second, 2.0, ladder=ladder)), 60, seed=1)
    intervals = seen.intervals_to_see(2.0, alpha=0.01, rho=1.2)
    assert intervals is not None
    assert intervals * 3600 / seen.intervals == pytest.approx(median_seconds(found), rel=0.35)


def test_a_time_to_see_a_doubling_needs_fifteen_intervals_and_a_margin_below_two() -> None:
    noise = [0.1 * (-1) ** i for i in range(MIN_INTERVALS)]
    assert after(noise[:-1]).intervals_to_see(2.0, alpha=0.01, rho=1.2) is None
    assert after(noise).intervals_to_see(2.0, alpha=0.01, rho=1.2) == MIN_INTERVALS
    assert after(noise).intervals_to_see(2.0, alpha=0.01, rho=2.0) is None


@pytest.mark.parametrize("requests_per_second", [10.0, 100.0])
def test_healthy_candidates_are_left_alone_whatever_the_weight(requests_per_second: float) -> None:
    found = outcomes(means(MeanWorld(requests_per_second)), 60, seed=1)
    assert detected_share(found) == 0


def test_a_candidate_right_at_the_margin_fails_as_seldom_as_alpha_says() -> None:
    ladder = Ladder((0.1,), 1200)
    found = outcomes(means(MeanWorld(100.0, 1.2, ladder=ladder), MEANS), 300, seed=1)
    assert detected_share(found) <= 0.01 + 3 * math.sqrt(0.01 / 300)
