"""Synthetic traffic for the gates: Poisson requests whose errors, answers and costs are drawn, never measured.

Every world gives the intervals of a rollout as the product reads them, so that the product's own code can judge them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millgate.gates.compare import TrafficStep
from millgate.gates.counters import Arm, Interval
from millgate.gates.measures import Arms
from millgate.gates.shapes import Shape, Shapes

Numbers = NDArray[Any]
HISTORY_SECONDS = 3600


@dataclass(frozen=True)
class Ladder:
    """The steps of a rollout: the candidate's share of the requests in each, and how often counters are read."""

    weights: tuple[float, ...] = (0.05, 0.10, 0.25, 0.50)
    step_seconds: int = 600
    interval_seconds: int = 10

    @property
    def seconds(self) -> int:
        return self.step_seconds * len(self.weights)

    @property
    def steps(self) -> tuple[TrafficStep, ...]:
        return tuple(TrafficStep(f"step-{i}", float(i * self.step_seconds)) for i in range(len(self.weights)))

    @property
    def starts(self) -> range:
        return range(0, self.seconds, self.interval_seconds)

    def weight(self, second: int) -> float:
        return self.weights[second // self.step_seconds]

    def requests(self, random: np.random.Generator, per_second: float) -> tuple[Numbers, Numbers]:
        """Of (candidate, stable) in each interval."""
        shares = np.array([self.weight(start) for start in self.starts])
        each = per_second * self.interval_seconds
        return random.poisson(each * shares), random.poisson(each * (1 - shares))


REPORT_LADDER = Ladder()
"""The rollout of facts/gates.md 2.2: 5, 10, 25 and 50 %, ten minutes each, a look every ten seconds."""
Course = Callable[[float], float]
"""How something goes on over the seconds of a rollout."""


def always_one(_: float) -> float:
    return 1.0


def never_shifted(_: float) -> float:
    return 0.0


@dataclass(frozen=True)
class ErrorWorld:
    """Requests fail. `factor`: the candidate's error rate over stable's; `weather`: what multiplies both.

    `cluster_size`: the mean of the geometric sizes in which errors come. `warmup_seconds`: so long the candidate is
    not read.
    """

    requests_per_second: float
    base_error_rate: float
    factor: Course = always_one
    weather: Course = always_one
    cluster_size: float = 1.0
    warmup_seconds: int = 0
    ladder: Ladder = REPORT_LADDER

    def intervals(self, random: np.random.Generator) -> Iterator[Interval[Arm]]:
        candidate, stable = self.ladder.requests(random, self.requests_per_second)
        base = self.base_error_rate * np.array([self.weather(float(start)) for start in self.ladder.starts])
        worse = base * np.array([self.factor(float(start)) for start in self.ladder.starts])
        found, allowed = self._errors(random, candidate, worse), self._errors(random, stable, base)
        for index, start in enumerate(self.ladder.starts):
            mine = Arm(float(candidate[index]), float(found[index]))
            theirs = Arm(float(stable[index]), float(allowed[index]))
            warm = start >= self.warmup_seconds
            yield Interval(start, start + self.ladder.interval_seconds, mine if warm else None, theirs)

    def history(self, random: np.random.Generator) -> list[tuple[float, float]]:
        """(requests, errors) of stable in the hour before, by interval."""
        count = HISTORY_SECONDS // self.ladder.interval_seconds
        requests = random.poisson(self.requests_per_second * self.ladder.interval_seconds, count)
        errors = self._errors(random, requests, np.full(count, self.base_error_rate))
        return [(float(asked), float(failed)) for asked, failed in zip(requests, errors, strict=True)]

    def _errors(self, random: np.random.Generator, requests: Numbers, rates: Numbers) -> Numbers:
        if self.cluster_size == 1.0:
            return random.binomial(requests, np.minimum(rates, 1.0))
        clusters = random.poisson(requests * rates / self.cluster_size)
        # A sum of geometric sizes is the number of clusters and a negative binomial number more.
        more = random.negative_binomial(np.maximum(clusters, 1), 1 / self.cluster_size)
        return np.minimum(requests, np.where(clusters > 0, clusters + more, 0))


@dataclass(frozen=True)
class SegmentWorld:
    """As many segments as `shares` has, each with its share of the requests; in the first, the candidate is worse."""

    requests_per_second: float
    base_error_rate: float
    shares: tuple[float, ...]
    factor: float
    ladder: Ladder = REPORT_LADDER

    def intervals(self, random: np.random.Generator) -> Iterator[Interval[Arms]]:
        worlds = [
            ErrorWorld(
                self.requests_per_second * share,
                self.base_error_rate,
                (lambda _: self.factor) if index == 0 else always_one,
                ladder=self.ladder,
            ).intervals(random)
            for index, share in enumerate(self.shares)
        ]
        for several in zip(*worlds, strict=True):
            mine = {f"s{i}": one.candidate for i, one in enumerate(several) if one.candidate is not None}
            theirs = {f"s{i}": one.stable for i, one in enumerate(several) if one.stable is not None}
            yield Interval(several[0].start, several[0].end, mine, theirs)


@dataclass(frozen=True)
class ShapeWorld:
    """Predictions are normal, and counted in `buckets` that were equally full when the model was trained.

    `candidate_shift`, `stable_shift`: of their mean, in standard deviations. `cluster_size`: how many answers are
    alike on average (geometric), as those to one request with many rows may be.
    """

    requests_per_second: float
    candidate_shift: Course = never_shifted
    stable_shift: Course = never_shifted
    buckets: int = 20
    cluster_size: float = 1.0
    ladder: Ladder = REPORT_LADDER

    def intervals(self, random: np.random.Generator) -> Iterator[Interval[Shapes]]:
        candidate, stable = self.ladder.requests(random, self.requests_per_second)
        for index, start in enumerate(self.ladder.starts):
            mine = self._shape(random, int(candidate[index]), self.candidate_shift(float(start)))
            theirs = self._shape(random, int(stable[index]), self.stable_shift(float(start)))
            yield Interval(start, start + self.ladder.interval_seconds, mine, theirs)

    def past(self, random: np.random.Generator) -> Shapes:
        """Stable's answers of the hour before."""
        return self._shape(random, int(random.poisson(self.requests_per_second * HISTORY_SECONDS)), 0.0)

    def _shape(self, random: np.random.Generator, count: int, shift: float) -> Shapes:
        names, shares = _normal_shares(self.buckets, shift)
        below = np.cumsum(self._answers(random, count, shares))
        return {"score": Shape(dict(zip(names, map(float, below), strict=True)))}

    def _answers(self, random: np.random.Generator, count: int, shares: Numbers) -> Numbers:
        if self.cluster_size == 1.0:
            return random.multinomial(count, shares)
        requests = random.multinomial(random.poisson(count / self.cluster_size), shares)
        more = random.negative_binomial(np.maximum(requests, 1), 1 / self.cluster_size)
        return np.where(requests > 0, requests + more, 0)


@cache
def _normal_shares(buckets: int, shift: float) -> tuple[tuple[str, ...], Numbers]:
    """The bounds between equally full buckets as labels, and how full they are once the mean has shifted."""
    normal = NormalDist()
    bounds = [normal.inv_cdf(i / buckets) for i in range(1, buckets)]
    return (*map(repr, bounds), "+Inf"), np.diff([0.0, *(normal.cdf(bound - shift) for bound in bounds), 1.0])


@dataclass(frozen=True)
class MeanWorld:
    """Requests cost something: exponentially distributed, on average 1 for stable and `factor` for the candidate."""

    requests_per_second: float
    factor: float = 1.0
    weather: Course = always_one
    ladder: Ladder = REPORT_LADDER

    def intervals(self, random: np.random.Generator) -> Iterator[Interval[Arm]]:
        candidate, stable = self.ladder.requests(random, self.requests_per_second)
        scale = np.array([self.weather(float(start)) for start in self.ladder.starts])
        mine = random.gamma(np.maximum(candidate, 1e-9)) * scale * self.factor
        theirs = random.gamma(np.maximum(stable, 1e-9)) * scale
        for index, start in enumerate(self.ladder.starts):
            one = Arm(float(candidate[index]), float(mine[index]))
            two = Arm(float(stable[index]), float(theirs[index]))
            yield Interval(start, start + self.ladder.interval_seconds, one, two)
