"""How long will it take to know? The expected time until a doubling is seen, from the traffic and the base share."""

import math
from dataclasses import dataclass

from millgate.gates.eprocess import start_weight

DOUBLE = 2.0
_OVERSHOOT = 1.3
"""What a mixture over alternatives costs beyond ln(1/alpha), in the median: within 11 % of the simulated table of
facts/gates.md 2.1, whose rule of thumb has 2.5 and lies 9 to 31 % above it."""
_STAKE = start_weight(0)
"""What is bet on the process that began with the rollout: a candidate is mostly bad from its first request on."""


@dataclass(frozen=True)
class Traffic:
    """Requests of both revisions, stable's share of events, and the candidate's share (0..1) of the requests."""

    requests_per_second: float
    base_share: float
    weight: float


def seconds_to_see(
    ratio: float, traffic: Traffic, *, alpha: float, rho: float, dispersion: float = 1.0
) -> float | None:
    """About how long (median) until a candidate with `ratio` times stable's share of events fails; None for never.

    Events needed are dispersion * (ln(1/(alpha*stake)) + overshoot) / KL(theta_ratio || theta_rho), where
    theta_r = r*w/(r*w + 1 - w).
    """
    weight, events_per_second = traffic.weight, traffic.requests_per_second * traffic.base_share
    if ratio <= rho or events_per_second <= 0 or not 0 < weight < 1:
        return None
    found, allowed = _blame(ratio, weight), _blame(rho, weight)
    divergence = found * math.log(found / allowed) + (1 - found) * math.log((1 - found) / (1 - allowed))
    needed = (math.log(1 / (alpha * _STAKE)) + _OVERSHOOT) * dispersion / divergence
    return needed / (events_per_second * (ratio * weight + 1 - weight))


def _blame(ratio: float, weight: float) -> float:
    return ratio * weight / (ratio * weight + 1 - weight)
