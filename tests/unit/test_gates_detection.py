"""How long it takes to know: the rule of thumb against the simulated table, and against the product's own code."""

import pytest

from e2e.bench.gates_judged import ALPHA, errors, median_seconds, outcomes
from e2e.bench.gates_worlds import ErrorWorld, Ladder
from millgate.gates.detection import DOUBLE, Traffic, seconds_to_see
from millgate.gates.eprocess import start_weight

# facts/gates.md 2.1: total requests times base share, median, alpha 1 %, one process that has the whole bet.
TABLE = {
    0.01: {1.0: 1529, 1.2: 2757, 1.5: 8732},
    0.05: {1.0: 323, 1.2: 563, 1.5: 1835},
    0.10: {1.0: 172, 1.2: 318, 1.5: 1024},
    0.25: {1.0: 80, 1.2: 153, 1.5: 536},
    0.50: {1.0: 65, 1.2: 121, 1.5: 432},
}


@pytest.mark.parametrize(
    ("weight", "rho", "simulated"), [(weight, rho, x) for weight, row in TABLE.items() for rho, x in row.items()]
)
def test_the_time_to_see_a_doubling_is_that_of_the_simulated_table(weight: float, rho: float, simulated: float) -> None:
    whole_bet = 0.01 / start_weight(0)
    seconds = seconds_to_see(DOUBLE, Traffic(1.0, 1.0, weight), alpha=whole_bet, rho=rho)
    assert seconds == pytest.approx(simulated, rel=0.12)


@pytest.mark.parametrize(
    ("requests_per_second", "base_share", "weight", "ratio"),
    [(100.0, 0.01, 0.05, 2.0), (100.0, 0.01, 0.5, 2.0), (1000.0, 0.001, 0.25, 2.0), (20.0, 0.01, 0.1, 5.0)],
)
def test_the_time_is_that_which_the_gate_needs(
    requests_per_second: float, base_share: float, weight: float, ratio: float
) -> None:
    world = ErrorWorld(requests_per_second, base_share, lambda _: ratio, ladder=Ladder((weight,), 3600))
    found = median_seconds(outcomes(errors(world), 60, seed=1))
    expected = seconds_to_see(ratio, Traffic(requests_per_second, base_share, weight), alpha=ALPHA, rho=1.2)
    assert expected == pytest.approx(found, rel=0.25)


def test_less_alpha_clusters_and_rarer_events_take_longer() -> None:
    usual = Traffic(100.0, 0.01, 0.1)
    seconds = seconds_to_see(DOUBLE, usual, alpha=0.01, rho=1.2)
    assert seconds is not None
    assert seconds_to_see(DOUBLE, usual, alpha=0.001, rho=1.2) > seconds
    assert seconds_to_see(DOUBLE, usual, alpha=0.01, rho=1.2, dispersion=3.0) == pytest.approx(3 * seconds)
    assert seconds_to_see(DOUBLE, Traffic(100.0, 0.001, 0.1), alpha=0.01, rho=1.2) == pytest.approx(10 * seconds)


@pytest.mark.parametrize(
    ("traffic", "rho"),
    [
        (Traffic(100.0, 0.01, 0.1), 2.0),
        (Traffic(0.0, 0.01, 0.1), 1.2),
        (Traffic(100.0, 0.0, 0.1), 1.2),
        (Traffic(100.0, 0.01, 0.0), 1.2),
        (Traffic(100.0, 0.01, 1.0), 1.2),
    ],
    ids=["a margin of two", "no requests", "no events", "no candidate", "no stable"],
)
def test_what_can_never_be_seen_has_no_time(traffic: Traffic, rho: float) -> None:
    assert seconds_to_see(DOUBLE, traffic, alpha=0.01, rho=rho) is None
