"""Verdicts against the figures of facts/gates.md: the cells of `python -m e2e.bench.gates`, a few rollouts of each."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e2e.bench.gates_cells import CELLS
from e2e.bench.gates_judged import C2, errors, outcomes
from e2e.bench.gates_worlds import ErrorWorld
from millgate.gates.compare import Evidence, TrafficStep, fold
from millgate.gates.counters import Arm, Interval

FAST = {
    "1 % errors, 10/s: healthy": 60,
    "0.1 % errors, 100/s: healthy": 60,
    "1 % errors, 100/s: 5x": 100,
    "1 % errors, 100/s: 50x": 100,
    "1 % errors, 10/s: 5x": 100,
    "0.1 % errors, 100/s: 50x": 100,
    "1 % errors, 1000/s: 2x": 100,
    "R1 incident x20 on both, in the last step": 40,
    "R3 base rate drifts from half to double": 40,
    "R4 5x in the first 60 s, warm-up of 120 s": 40,
    "R5 errors in clusters of 5": 40,
    "R6 10x in one of 20 segments": 20,
    "R7 harmless 1.1x at 1000/s": 40,
    "R8 turns 5x bad at minute 30": 60,
    "no shift, 1/s, 10 %": 20,
    "no shift, 10/s, 5 to 50 %": 20,
    "+0.5 sd on both at minute 15, 100/s": 20,
    "+0.5 sd, 10/s, 10 %, 20 buckets": 60,
    "healthy, 10/s": 30,
    "1.5x, 100/s": 60,
    "no shift, 100/s, rows in batches of 20": 10,
    "base rate drifts from half to double": 20,
    "+0.5 sd, 1/s": 30,
}
NAMED = {cell.name: cell for cell in CELLS}


@pytest.mark.parametrize(("name", "runs"), FAST.items(), ids=FAST.keys())
def test_what_the_report_found_is_found_again(name: str, runs: int) -> None:
    cell = NAMED[name]
    found = outcomes(cell.rollout, runs, seed=2)
    assert cell.holds(found), cell.row(found)


def test_a_simulation_with_the_same_seed_has_the_same_outcome() -> None:
    rollout = errors(ErrorWorld(100, 0.01, lambda _: 5.0))
    assert outcomes(rollout, 5, seed=3) == outcomes(rollout, 5, seed=3)
    assert outcomes(rollout, 5, seed=3) != outcomes(rollout, 5, seed=4)


def test_errors_in_clusters_are_as_many_and_scatter_as_clusters_do() -> None:
    """Geometric sizes of mean 5: the variance is 9 times the mean."""
    history = ErrorWorld(1000, 0.01, cluster_size=5.0).history(np.random.default_rng(5))
    failed = np.array([errors for _, errors in history])
    assert failed.mean() == pytest.approx(100, rel=0.1)
    assert failed.var() / failed.mean() == pytest.approx(9, rel=0.35)


moments = st.tuples(
    st.integers(1, 60),  # seconds until the next look
    st.floats(0.01, 0.99),  # the candidate's share of the requests
    st.floats(0.001, 0.6),  # stable's error rate, which may jump
    st.integers(0, 300),  # requests of both
    st.sampled_from(["", "", "", "", "a step begins", "nothing was read"]),
)


def evidence_of(random: np.random.Generator, course: Sequence[tuple[int, float, float, int, str]], alpha: float):
    test = replace(C2, terms=replace(C2.terms, alpha=alpha))
    steps, second = [TrafficStep("step", 0.0)], 0
    evidence = Evidence()
    for seconds, share, rate, requests, happens in course:
        if happens == "a step begins":
            steps.append(TrafficStep("step", float(second)))
        mine = random.binomial(requests, share)
        failed = random.binomial(mine, min(1.0, C2.max_ratio * rate)), random.binomial(requests - mine, rate)
        arms = Arm(float(mine), float(failed[0])), Arm(float(requests - mine), float(failed[1]))
        known = (None, arms[1]) if happens == "nothing was read" else arms
        evidence = fold(evidence, test, steps, Interval(second, second + seconds, *known))
        second += seconds
    return evidence


@settings(max_examples=12, deadline=None)
@given(st.lists(moments, min_size=1, max_size=20), st.integers(0, 2**32))
def test_whatever_happens_to_both_evidence_stays_at_one_on_average_and_crosses_as_seldom_as_alpha_says(
    course: list[tuple[int, float, float, int, str]], seed: int
) -> None:
    """On the very boundary of the null: the candidate fails as often as the margin allows, and no more."""
    random, runs, alpha = np.random.default_rng(seed), 200, 0.05
    found = [evidence_of(random, course, alpha) for _ in range(runs)]
    values = np.exp([evidence.log_e for evidence in found])
    assert values.mean() <= 1 + 5 * values.std() / math.sqrt(runs) + 1e-9
    crossed = sum(evidence.crossing is not None for evidence in found) / runs
    assert crossed <= alpha + 4 * math.sqrt(alpha * (1 - alpha) / runs)
