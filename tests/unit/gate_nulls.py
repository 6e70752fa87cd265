"""Exact expectations of one interval's factors: every outcome of a few requests is tried, with its probability.

A factor whose expectation is at most 1 in every interval, whatever happened before, makes a supermartingale: then no
number of looks makes a healthy candidate fail more often than alpha (Ville).
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

Outcome = tuple[int, ...]


def binomial(requests: int, share: float) -> Iterator[tuple[int, float]]:
    """(events, probability) of so many independent requests."""
    for events in range(requests + 1):
        yield events, math.comb(requests, events) * share**events * (1 - share) ** (requests - events)


def multinomial(answers: int, shares: Sequence[float]) -> Iterator[tuple[Outcome, float]]:
    """(counts, probability) of so many independent answers."""
    for counts in itertools.product(range(answers + 1), repeat=len(shares)):
        if sum(counts) == answers:
            ways = math.factorial(answers) // math.prod(map(math.factorial, counts))
            yield counts, ways * math.prod(share**count for share, count in zip(shares, counts, strict=True))


def expected_factors(
    requests: tuple[int, int],
    shares: tuple[float, float],
    log_factors: Callable[[tuple[float, float]], Sequence[float] | None],
) -> list[float]:
    """The expectation of each alternative's factor, over all events of (candidate, reference)."""
    sums: list[float] = []
    for mine, probability in binomial(requests[0], shares[0]):
        for theirs, other in binomial(requests[1], shares[1]):
            factors = log_factors((float(mine), float(theirs)))
            values = [1.0] * 24 if factors is None else [math.exp(log) for log in factors]
            sums = sums or [0.0] * len(values)
            sums = [total + probability * other * value for total, value in zip(sums, values, strict=True)]
    return sums
