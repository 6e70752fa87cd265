"""Simulated rollouts for the gates: Poisson requests, independent errors, the product's own folding."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from millgate.gates.compare import Evidence, Terms, TrafficStep, fold
from millgate.gates.counters import Arm, Interval
from millgate.gates.share_gate import ShareTest, Tally

INTERVAL_SECONDS = 10
STEP_SECONDS = 600
WEIGHTS = (0.05, 0.10, 0.25, 0.50)
STEPS = tuple(TrafficStep(f"step-{index}", float(index * STEP_SECONDS)) for index in range(len(WEIGHTS)))
# The second column of facts/gates.md 2.2: margin 1.2, alpha 1 %, restarts at each step.
C2 = ShareTest(Terms("errors", alpha=0.01, min_samples=1), max_ratio=1.2, described="requests failed")


@dataclass(frozen=True)
class World:
    """What a simulated rollout meets. `factor(t)`: the candidate's error rate over stable's at second t.

    `weather(t)`: what happens to both alike, as a multiple of the base error rate.
    """

    requests_per_second: float
    base_error_rate: float
    factor: Callable[[float], float] = lambda _: 1.0
    weather: Callable[[float], float] = lambda _: 1.0


def detection_seconds(world: World, random: np.random.Generator, test: ShareTest = C2) -> int | None:
    """When the gate fails, in seconds from the rollout's start; None when it never does within 40 minutes."""
    points = len(WEIGHTS) * STEP_SECONDS // INTERVAL_SECONDS
    starts = np.arange(points) * INTERVAL_SECONDS
    weights = np.array([WEIGHTS[int(start) // STEP_SECONDS] for start in starts])
    per_interval = world.requests_per_second * INTERVAL_SECONDS
    candidate = random.poisson(per_interval * weights)
    stable = random.poisson(per_interval * (1 - weights))
    base = np.array([world.base_error_rate * world.weather(float(start)) for start in starts])
    rates = base * np.array([world.factor(float(start)) for start in starts])
    candidate_errors = random.binomial(candidate, np.minimum(rates, 1.0))
    stable_errors = random.binomial(stable, base)
    evidence: Evidence[Tally] = Evidence()
    for index, start in enumerate(starts):
        arms = (
            Arm(int(candidate[index]), int(candidate_errors[index])),
            Arm(int(stable[index]), int(stable_errors[index])),
        )
        begun = STEPS[: int(start) // STEP_SECONDS + 1]
        evidence = fold(evidence, test, begun, Interval(int(start), int(start) + INTERVAL_SECONDS, *arms))
        if evidence.crossing is not None:
            return evidence.crossing.at_seconds
    return None


def detections(world: World, runs: int, seed: int) -> list[int | None]:
    random = np.random.default_rng(seed)
    return [detection_seconds(world, random) for _ in range(runs)]


def median_seconds(found: list[int | None]) -> float:
    return float(np.median([40 * 60 + 1 if seconds is None else seconds for seconds in found]))
