"""`passRatio`: the mirror test, which proves that the candidate is less than so many times as bad as stable.

H0 is `p_candidate >= R * p_stable`, and the alternatives are smaller ratios: the likelihood ratio of facts/gates.md 2.1
with the roles exchanged. Valid at every look, as there; E >= 1/alpha proves 'less than R times'.
"""

import math

from millgate.gates.counters import Arm
from millgate.gates.eprocess import RATIO_STEPS, Logs, log_mean

FAR_BETTER = 0.2
"""A candidate that is shown to have less than a fifth of stable's events is not praised but doubted: does it answer?"""


def log_factors(
    pass_ratio: float, requests: tuple[float, float], events: tuple[float, float], dispersion: float
) -> Logs | None:
    """As `eprocess.log_factors`, for the alternatives pass_ratio / RATIO_STEPS. None where nothing is said.

    `requests` and `events` are (candidate, stable). Sum them with `eprocess.add` and read them with `log_mean`.
    """
    total, errors = sum(requests), sum(events)
    if total <= 0 or errors <= 0:
        return None
    share = requests[0] / total
    blame = pass_ratio * share / (pass_ratio * share + 1 - share)
    return tuple(
        (-events[0] * math.log(step) - errors * math.log1p((1 / step - 1) * blame)) / dispersion for step in RATIO_STEPS
    )


def is_far_better(candidate: Arm, stable: Arm, *, alpha: float, dispersion: float) -> bool:
    """The candidate is shown to have less than FAR_BETTER times stable's share of events, in one step.

    Within a step the weight stays, so that all of its intervals say together what their sum says.
    """
    factors = log_factors(
        FAR_BETTER, (candidate.requests, stable.requests), (candidate.events, stable.events), dispersion
    )
    return factors is not None and log_mean(factors) >= -math.log(alpha)
