"""Random counts, from nothing but `random()`, so that a seed gives the same rollouts on every machine."""

import math
from functools import lru_cache
from random import Random

_MEANS_KEPT = 16_384


def poisson(random: Random, mean: float) -> int:
    """A Poisson number: by products of uniforms for small means, else by Hörmann's transformed rejection.

    Hörmann, "The transformed rejection method for generating Poisson random variables", 1993, algorithm PTRS. Exact.
    """
    if mean <= 0:
        return 0
    return _by_products(random, mean) if mean < 10 else _by_rejection(random, mean)


def _by_products(random: Random, mean: float) -> int:
    draw, limit, count = random.random, _limit(mean), 0
    product = draw()
    while product > limit:
        product *= draw()
        count += 1
    return count


@lru_cache(maxsize=_MEANS_KEPT)
def _limit(mean: float) -> float:
    return math.exp(-mean)


def _by_rejection(random: Random, mean: float) -> int:
    a, b, surely_below, steepness, log_mean = _hat(mean)
    draw = random.random
    while True:
        u, v = draw() - 0.5, 1.0 - draw()
        tail = 0.5 - abs(u)
        if tail <= 0:
            continue
        count = math.floor((2 * a / tail + b) * u + mean + 0.43)
        if tail >= 0.07 and v <= surely_below:
            return count
        if count < 0 or (tail < 0.013 and v > tail):
            continue
        accepted = -mean + count * log_mean - math.lgamma(count + 1)
        if math.log(v) + steepness - math.log(a / (tail * tail) + b) <= accepted:
            return count


@lru_cache(maxsize=_MEANS_KEPT)
def _hat(mean: float) -> tuple[float, float, float, float, float]:
    """The constants of the rejection for one mean: a rollout draws with the same few again and again."""
    b = 0.931 + 2.53 * math.sqrt(mean)
    a = -0.059 + 0.02483 * b
    return a, b, 0.9277 - 3.6224 / (b - 2), math.log(1.1239 + 1.1328 / (b - 3.4)), math.log(mean)


def clustered(random: Random, mean: float, cluster_size: float) -> int:
    """Events that come in clusters of geometric size with this mean: retries, sticky sessions. Poisson at size 1."""
    if cluster_size <= 1:
        return poisson(random, mean)
    clusters = poisson(random, mean / cluster_size)
    # The sum of k geometric sizes is k and a negative binomial number: a Poisson one with a gamma mean.
    return clusters + poisson(random, random.gammavariate(clusters, cluster_size - 1)) if clusters else 0
