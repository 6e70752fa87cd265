"""Random counts, from nothing but `random()`, so that a seed gives the same rollouts on every machine."""

import math
from random import Random


def poisson(random: Random, mean: float) -> int:
    """A Poisson number: by products of uniforms for small means, else by Hörmann's transformed rejection.

    Hörmann, "The transformed rejection method for generating Poisson random variables", 1993, algorithm PTRS. Exact.
    """
    if mean <= 0:
        return 0
    return _by_products(random, mean) if mean < 10 else _by_rejection(random, mean)


def _by_products(random: Random, mean: float) -> int:
    limit, count, product = math.exp(-mean), 0, random.random()
    while product > limit:
        product *= random.random()
        count += 1
    return count


def _by_rejection(random: Random, mean: float) -> int:
    b = 0.931 + 2.53 * math.sqrt(mean)
    a = -0.059 + 0.02483 * b
    steepness = math.log(1.1239 + 1.1328 / (b - 3.4))
    surely_below = 0.9277 - 3.6224 / (b - 2)
    log_mean = math.log(mean)
    while True:
        u, v = random.random() - 0.5, 1.0 - random.random()
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


def clustered(random: Random, mean: float, cluster_size: float) -> int:
    """Events that come in clusters of geometric size with this mean: retries, sticky sessions. Poisson at size 1."""
    if cluster_size <= 1:
        return poisson(random, mean)
    clusters = poisson(random, mean / cluster_size)
    # The sum of k geometric sizes is k and a negative binomial number: a Poisson one with a gamma mean.
    return clusters + poisson(random, random.gammavariate(clusters, cluster_size - 1)) if clusters else 0
