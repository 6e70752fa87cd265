"""Rollouts through synthetic worlds, judged look by look with the product's own code."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from e2e.bench.gates_worlds import ErrorWorld, Ladder, MeanWorld, SegmentWorld, ShapeWorld
from millgate.api.defaults import MAX_RATIO_BEFORE, MIN_INDEX
from millgate.gates.before_gate import BeforeTest
from millgate.gates.compare import Evidence, Terms, Test, fold
from millgate.gates.counters import NOTHING, Arm, Interval
from millgate.gates.eprocess import dispersion
from millgate.gates.mean_gate import MeanTest
from millgate.gates.segments import chosen
from millgate.gates.shape_gate import ShapeTest
from millgate.gates.share_gate import SegmentTest, ShareTest

ALPHA = 0.01
TERMS = Terms(name="gate", alpha=ALPHA, min_samples=1)
# The second column of facts/gates.md 2.2: margin 1.2, alpha 1 %, restarts at each step.
C2 = ShareTest(TERMS, max_ratio=1.2, described="requests failed")
MEANS = MeanTest(TERMS, max_ratio=1.2)
SHAPES = ShapeTest(TERMS, min_effect=float(MIN_INDEX))


@dataclass(frozen=True)
class Outcome:
    """How one rollout ended: when the gate failed (None: never), and how many requests the candidate failed by then."""

    detected_seconds: int | None
    failed_requests: float = 0.0


Rollout = Callable[[np.random.Generator], Outcome]


def errors(world: ErrorWorld, test: ShareTest = C2) -> Rollout:
    def run(random: np.random.Generator) -> Outcome:
        known = test
        if world.cluster_size != 1.0:
            known = replace(test, dispersion=dispersion(world.history(random)))
        failed = 0.0

        def counted() -> Iterable[Interval[Any]]:
            nonlocal failed
            for interval in world.intervals(random):
                failed += interval.candidate.events if interval.candidate is not None else 0.0
                yield interval

        return Outcome(_detected(counted(), known, world.ladder), failed)

    return run


def segments(world: SegmentWorld) -> Rollout:
    busy = {f"s{index}": share for index, share in enumerate(world.shares)}
    test = SegmentTest(C2, "tenant", chosen(busy))
    return lambda random: Outcome(_detected(world.intervals(random), test, world.ladder))


def errors_against_the_past(world: ErrorWorld) -> Rollout:
    """Without stable beside the candidate: the hour before is what it is held against, at the default margin."""

    def run(random: np.random.Generator) -> Outcome:
        history = world.history(random)
        past = sum((Arm(*interval) for interval in history), NOTHING)
        test = BeforeTest(TERMS, float(MAX_RATIO_BEFORE), "requests failed", past, dispersion(history))
        return Outcome(_detected(world.intervals(random), test, world.ladder))

    return run


def shapes_against_the_past(world: ShapeWorld) -> Rollout:
    def run(random: np.random.Generator) -> Outcome:
        test = replace(SHAPES, past=world.past(random), past_alone=True)
        return Outcome(_detected(world.intervals(random), test, world.ladder))

    return run


def shapes(world: ShapeWorld, test: ShapeTest = SHAPES) -> Rollout:
    return lambda random: Outcome(_detected(world.intervals(random), test, world.ladder))


def means(world: MeanWorld, test: MeanTest = MEANS) -> Rollout:
    return lambda random: Outcome(_detected(world.intervals(random), test, world.ladder))


def _detected(intervals: Iterable[Interval[Any]], test: Test[Any, Any], ladder: Ladder) -> int | None:
    evidence: Evidence[Any] = Evidence()
    begun = [ladder.steps[: count + 1] for count in range(len(ladder.weights))]
    for interval in intervals:
        evidence = fold(evidence, test, begun[interval.start // ladder.step_seconds], interval)
        if evidence.crossing is not None:
            return evidence.crossing.at_seconds
    return None


def outcomes(rollout: Rollout, runs: int, seed: int) -> list[Outcome]:
    random = np.random.default_rng(seed)
    return [rollout(random) for _ in range(runs)]


def median_seconds(found: Sequence[Outcome]) -> float:
    """Of the times to detection; infinite when fewer than half of the runs detected anything."""
    return float(np.median([np.inf if one.detected_seconds is None else one.detected_seconds for one in found]))


def detected_share(found: Sequence[Outcome], *, after: int = 0, until: float = np.inf) -> float:
    """The share of runs detected later than `after` and not later than `until` (seconds)."""
    return sum(one.detected_seconds is not None and after < one.detected_seconds <= until for one in found) / len(found)
