"""Traffic shares: a split that is not the wanted one is noticed, and chance is not."""

import numpy as np
import pytest

from millgate.gates.skew import LOOKS, TrafficShare


def after(looks: list[tuple[float, float, float]]) -> TrafficShare:
    share = TrafficShare()
    for candidate, stable, expected in looks:
        share = share.with_look(candidate, stable, expected)
    return share


@pytest.mark.parametrize(
    ("look", "skewed"),
    [
        ((100.0, 900.0, 0.1), False),
        ((0.0, 1000.0, 0.1), True),  # the candidate gets nothing
        ((500.0, 500.0, 0.1), True),
        ((3.0, 7.0, 0.1), False),  # ten requests can fall so
        ((11_000.0, 89_000.0, 0.1), False),  # certain, but no more than balancers do
        ((13_000.0, 87_000.0, 0.1), True),
        ((0.0, 0.0, 0.1), False),
        ((1000.0, 0.0, 1.0), False),  # nothing to share
    ],
    ids=["as meant", "nothing", "half", "ten requests", "a tenth off", "a third off", "idle", "all of it"],
)
def test_a_share_that_stays_off_is_noticed(look: tuple[float, float, float], skewed: bool) -> None:  # noqa: FBT001
    assert after([look] * LOOKS).skewed is skewed


def test_it_takes_several_looks_in_a_row() -> None:
    off, right = (500.0, 500.0, 0.1), (100.0, 900.0, 0.1)
    assert not after([off] * (LOOKS - 1)).skewed
    assert not after([off, off, right, off, off]).skewed
    assert after([off, off, right, off, off, off]).skewed


def test_an_idle_interval_neither_clears_nor_adds() -> None:
    off, idle = (500.0, 500.0, 0.1), (0.0, 0.0, 0.1)
    assert after([off, off, idle, off]).skewed
    assert not after([off, idle, off, idle]).skewed


def test_what_was_seen_is_kept_for_the_message() -> None:
    share = after([(500.0, 500.0, 0.1)])
    assert (share.observed_share, share.expected_share) == (0.5, 0.1)


@pytest.mark.parametrize("per_interval", [5, 100, 10_000])
def test_chance_is_hardly_ever_taken_for_a_skew(per_interval: int) -> None:
    random = np.random.default_rng(1)
    share, alarms = TrafficShare(), 0
    for _ in range(20_000):
        candidate, stable = random.poisson(0.1 * per_interval), random.poisson(0.9 * per_interval)
        share = share.with_look(float(candidate), float(stable), 0.1)
        alarms += share.skewed
    assert alarms == 0
