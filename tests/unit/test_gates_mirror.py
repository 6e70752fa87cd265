"""The mirror test: 'less than so many times as bad' is only said when it is so."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from millgate.gates.counters import Arm
from millgate.gates.eprocess import NO_EVIDENCE, add, log_mean
from millgate.gates.mirror import is_far_better, log_factors
from tests.unit.gate_nulls import expected_factors

shares = st.floats(min_value=0.001, max_value=0.5)
few = st.integers(min_value=1, max_value=8)


@settings(max_examples=60, deadline=None)
@given(few, few, shares, st.floats(min_value=1.0, max_value=3.0), st.sampled_from([1.5, 2.0, 5.0]))
def test_a_candidate_that_is_as_bad_as_the_bound_or_worse_is_expected_to_prove_nothing(
    mine: int, theirs: int, share: float, worse: float, pass_ratio: float
) -> None:
    assume(share * pass_ratio <= 1)
    rates = (min(1.0, share * pass_ratio * worse), share)
    factors = expected_factors(
        (mine, theirs), rates, lambda events: log_factors(pass_ratio, (mine, theirs), events, 1.0)
    )
    assert max(factors) <= 1 + 1e-9


def test_a_healthy_candidate_is_proven_better_than_twice_as_bad() -> None:
    logs = NO_EVIDENCE
    for _ in range(10):
        factors = log_factors(2.0, (100, 100), (10, 10), 1.0)
        assert factors is not None
        logs = add(logs, factors)
    assert log_mean(logs) > 5


def test_a_candidate_twice_as_bad_is_not_proven_better_than_that() -> None:
    factors = log_factors(2.0, (1000, 1000), (200, 100), 1.0)
    assert factors is not None
    assert log_mean(factors) < 0


def test_dispersion_divides_what_an_interval_says() -> None:
    plain, damped = log_factors(2.0, (50, 50), (1, 5), 1.0), log_factors(2.0, (50, 50), (1, 5), 4.0)
    assert plain is not None
    assert damped == pytest.approx(tuple(value / 4 for value in plain))


@pytest.mark.parametrize(
    ("candidate", "stable", "doubted"),
    [
        (Arm(1000, 0), Arm(9000, 900), True),
        (Arm(1000, 5), Arm(9000, 900), True),
        (Arm(1000, 50), Arm(9000, 900), False),  # half as many is good news
        (Arm(10, 0), Arm(90, 9), False),  # too few to say
        (Arm(1000, 0), Arm(9000, 0), False),
    ],
    ids=["no errors", "a twentieth", "half", "few", "none at all"],
)
def test_a_candidate_that_is_far_better_is_doubted(candidate: Arm, stable: Arm, doubted: bool) -> None:  # noqa: FBT001
    assert is_far_better(candidate, stable, alpha=0.01, dispersion=1.0) is doubted


@pytest.mark.parametrize(("requests", "events"), [((0, 0), (0, 0)), ((10, 90), (0, 0))])
def test_an_interval_without_errors_says_nothing(requests: tuple[float, float], events: tuple[float, float]) -> None:
    assert log_factors(2.0, requests, events, 1.0) is None
