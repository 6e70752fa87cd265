"""Skew from training: the candidate is blamed for what it moved, not for what the world did to both."""

import math

import pytest

from millgate.gates.training import Training

SHIPPED = (250.0, 250.0, 250.0, 250.0)
TRAINED, MOVED = (25.0, 25.0, 25.0, 25.0), (5.0, 15.0, 30.0, 50.0)


def after(candidate: tuple[float, ...], stable: tuple[float, ...], intervals: int = 20) -> Training:
    skew = Training(SHIPPED)
    for _ in range(intervals):
        skew = skew.with_interval(candidate, stable)
    return skew


def test_a_candidate_that_moved_alone_is_blamed() -> None:
    skew, excess = after(MOVED, TRAINED), after(MOVED, TRAINED).excess()
    assert excess is not None
    assert excess > 0.25
    assert skew.log_e > math.log(100)


def test_a_world_that_moved_both_blames_nobody() -> None:
    skew = after(MOVED, MOVED)
    mine, theirs = skew.candidate_distance(), skew.stable_distance()
    assert mine is not None
    assert mine > 0.25
    assert mine == pytest.approx(theirs, rel=0.1)
    assert skew.excess() == pytest.approx(0.0, abs=0.05)
    assert skew.log_e < 0.1


def test_a_candidate_that_is_nearer_to_its_training_than_stable_is_not_blamed() -> None:
    excess = after(TRAINED, MOVED).excess()
    assert excess is not None
    assert excess < 0


def test_a_few_answers_have_no_distance() -> None:
    skew = after((1.0, 1.0, 1.0, 1.0), TRAINED, intervals=10)
    assert skew.candidate_distance() is None
    assert skew.excess() is None
