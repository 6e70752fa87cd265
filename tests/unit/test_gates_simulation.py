"""Verdicts against the figures of facts/gates.md 2.2: few false rollbacks, bad candidates found as fast as there."""

from collections.abc import Callable

import pytest

from tests.unit.gate_simulation import World, detections, median_seconds


@pytest.mark.parametrize(("error_rate", "requests_per_second"), [(0.01, 10.0), (0.001, 100.0)])
def test_a_healthy_candidate_is_hardly_ever_rolled_back(error_rate: float, requests_per_second: float) -> None:
    found = detections(World(requests_per_second, error_rate), runs=200, seed=1)
    assert sum(seconds is not None for seconds in found) / len(found) <= 0.005


@pytest.mark.parametrize(
    ("error_rate", "requests_per_second", "factor", "median_of_the_report"),
    [
        (0.01, 100.0, 2.0, 660),
        (0.01, 100.0, 5.0, 50),
        (0.01, 100.0, 50.0, 10),
        (0.01, 10.0, 5.0, 430),
        (0.001, 100.0, 50.0, 20),
        (0.01, 1000.0, 2.0, 80),
    ],
)
def test_a_bad_candidate_is_found_as_fast_as_the_report_says(
    error_rate: float, requests_per_second: float, factor: float, median_of_the_report: float
) -> None:
    found = detections(World(requests_per_second, error_rate, lambda _: factor), runs=200, seed=2)
    assert median_seconds(found) <= 1.1 * median_of_the_report


def test_a_candidate_that_turns_bad_after_thirty_good_minutes_is_found() -> None:
    found = detections(World(100.0, 0.01, lambda second: 5.0 if second >= 1800 else 1.0), runs=100, seed=3)
    assert sum(seconds is not None and seconds > 1800 for seconds in found) >= 99
    assert median_seconds(found) - 1800 <= 30


@pytest.mark.parametrize(
    "weather",
    [
        lambda second: 20.0 if second >= 1800 else 1.0,
        lambda second: 20.0 if second < 300 else 1.0,
        lambda second: 0.5 + 1.5 * second / 2400,
    ],
    ids=["R1: incident in the last step", "R2: incident in the first step", "R3: drift from half to double"],
)
def test_what_happens_to_both_revisions_rolls_nothing_back(weather: Callable[[float], float]) -> None:
    """Pooled tests roll back every healthy candidate in R1 and R3: the steps have different weights (Simpson)."""
    found = detections(World(100.0, 0.01, weather=weather), runs=60, seed=4)
    assert found.count(None) == len(found)
