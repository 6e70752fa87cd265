"""The conditional mixture e-process: evidence that may be looked at forever (facts/gates.md 2.1).

Given that an answer is an error, under H0 (`p_candidate <= rho * p_stable`) it is the candidate's with probability at
most `rho*w / (rho*w + 1 - w)`, where w is the candidate's share of the requests of that interval. A likelihood ratio
against this bound is a supermartingale, and so is a mean of several, so by Ville's inequality it ever reaches 1/alpha
with probability at most alpha: at any number of looks, for any common error rate over time, and for changing weights.
(The same family as Lindon and Malek, "Anytime-Valid Inference for Multinomial Count Data", NeurIPS 2022.)
"""

import math
import operator
from collections.abc import Sequence

RATIO_STEPS = tuple(2.0 ** (j / 4) for j in range(1, 25))
"""The alternatives, as multiples of the margin rho: 1.19 to 64 times."""
_STEPS = tuple((step - 1, math.log(step)) for step in RATIO_STEPS)

Logs = tuple[float, ...]
NO_EVIDENCE: Logs = (0.0,) * len(RATIO_STEPS)

MAX_DISPERSION = 50.0
"""Clusters of 20 errors make about 40. More than that tells of an incident in the hour before, not of clusters, and
would make the test blind to everything."""


def log_factors(
    rho: float, requests: tuple[float, float], events: tuple[float, float], dispersion: float
) -> Logs | None:
    """The logarithms by which one interval multiplies the likelihood ratios, one for each of RATIO_STEPS.

    `requests` and `events` are (candidate, stable). None where the interval says nothing.
    """
    total, errors = sum(requests), sum(events)
    if total <= 0 or errors <= 0:
        return None
    share = requests[0] / total
    # (rho*m*w + 1 - w) / (rho*w + 1 - w) = 1 + (m - 1) * blame, for the alternative of m times the margin
    blame = rho * share / (rho * share + 1 - share)
    mine, all_of_them = events[0] / dispersion, errors / dispersion
    return tuple([mine * log_step - all_of_them * math.log1p(more * blame) for more, log_step in _STEPS])


def add(logs: Logs, factors: Logs) -> Logs:
    return tuple(map(operator.add, logs, factors))


def log_mean(logs: Logs) -> float:
    """Log of the mean of the likelihood ratios: one e-process over the grid of alternatives."""
    return log_sum(logs) - math.log(len(logs))


def start_weight(index: int) -> float:
    """The share of the bet that is put on the process begun at the rollout's step `index` with traffic.

    A half goes to the whole rollout, an eighth to each of the next three steps, then always a half of what is left:
    1/2, 1/8, 1/8, 1/8, 1/16, 1/32, … A step's share must not depend on how many steps will follow, since steps may
    be edited while a rollout is under way and evidence must come out the same when it is read again; and for any
    number of steps the shares must not sum to more than 1, for then a mixture of e-processes is one.
    """
    if index == 0:
        return 1 / 2
    return 1 / 8 if index <= 3 else 1 / 2**index


def log_mixture(starts: Sequence[Logs]) -> float:
    """Log of E: the processes begun so far. What is not yet bet keeps its value, so that E starts at 1."""
    return log_mixture_of([log_mean(logs) for logs in starts])


def log_mixture_of(log_es: Sequence[float]) -> float:
    """Log of E, from the log of each process begun so far, of whatever kind: steps, segments, means, distributions."""
    weights = [start_weight(index) for index in range(len(log_es))]
    terms = [math.log(weight) + log_e for weight, log_e in zip(weights, log_es, strict=True)]
    unspent = 1.0 - sum(weights)
    return log_sum([*terms, math.log(unspent)] if unspent > 0 else terms)


def log_average(log_es: Sequence[float]) -> float:
    """Log of the mean of several E (0, that is E = 1, of none): segments or outputs, however they hang together."""
    return log_sum(log_es) - math.log(len(log_es)) if log_es else 0.0


def dispersion(intervals: Sequence[tuple[float, float]]) -> float:
    """How much more errors scatter than independent ones would, from (requests, errors) of one revision at peace.

    phi = max(1, sum((e - n*p)^2 / (n*p)) / (H - 1)) over H intervals with requests: retries and sticky sessions make
    errors come in clusters, and a test that takes them for independent rolls back healthy candidates (facts/gates.md
    2.1: half of them at clusters of five). 1 without history.
    """
    busy = [(requests, errors) for requests, errors in intervals if requests > 0]
    total, errors = sum(requests for requests, _ in busy), sum(errors for _, errors in busy)
    if len(busy) < 2 or errors <= 0:
        return 1.0
    rate = errors / total
    scatter = sum((found - requests * rate) ** 2 / (requests * rate) for requests, found in busy) / (len(busy) - 1)
    return min(MAX_DISPERSION, max(1.0, scatter))


def log_sum(logs: Sequence[float]) -> float:
    """Log of the sum of what `logs` are the logarithms of, without overflow."""
    largest = max(logs)
    if math.isinf(largest):
        return largest
    return largest + math.log(math.fsum([math.exp(value - largest) for value in logs]))
