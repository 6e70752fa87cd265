"""What many simulated rollouts of one candidate come to."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from millgate.simulate.candidates import Candidate
from millgate.simulate.play import Ending, Outcome


@dataclass(frozen=True)
class Tally:
    """Shares of the runs by how they ended, when they did (seconds from the first request), and what it cost users.

    Times are those of the ending that most runs had; None where that is to be held, which is no verdict.
    """

    runs: int
    shares: Mapping[Ending, float]
    verdict: Ending
    median_seconds: float | None
    p90_seconds: float | None
    bad_requests: float
    gates: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        return {
            "runs": self.runs,
            "promoted": self.shares[Ending.PROMOTED],
            "rolledBack": self.shares[Ending.ROLLED_BACK],
            "held": self.shares[Ending.HELD],
            "verdict": self.verdict.value,
            "secondsToVerdict": {"median": self.median_seconds, "p90": self.p90_seconds},
            "meanBadRequests": self.bad_requests,
            "gates": dict(self.gates),
        }


@dataclass(frozen=True)
class Result:
    """One candidate under the policy, and under the rule of thumb."""

    candidate: Candidate
    policy: Tally
    thumb: Tally
    ends: Sequence[tuple[Ending, float]]
    thumb_ends: Sequence[tuple[Ending, float]]

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.candidate.name,
            "description": self.candidate.says,
            "badRequestsAre": self.candidate.harm.value,
            "policy": self.policy.to_json(),
            "ruleOfThumb": self.thumb.to_json(),
        }


def tally(outcomes: Sequence[Outcome]) -> Tally:
    """Raises ValueError without outcomes."""
    if not outcomes:
        raise ValueError("no runs")
    runs = len(outcomes)
    endings = Counter(outcome.ending for outcome in outcomes)
    verdict = max(Ending, key=lambda ending: endings[ending])
    times = sorted(outcome.seconds for outcome in outcomes if outcome.ending is verdict)
    decided = verdict is not Ending.HELD
    gates = Counter(gate for outcome in outcomes for gate in outcome.gates)
    return Tally(
        runs=runs,
        shares={ending: endings[ending] / runs for ending in Ending},
        verdict=verdict,
        median_seconds=quantile(times, 0.5) if decided else None,
        p90_seconds=quantile(times, 0.9) if decided else None,
        bad_requests=sum(outcome.bad_requests for outcome in outcomes) / runs,
        gates={gate: count / runs for gate, count in sorted(gates.items())},
    )


def result(candidate: Candidate, outcomes: Sequence[Outcome], thumb: Sequence[Outcome]) -> Result:
    return Result(
        candidate,
        tally(outcomes),
        tally(thumb),
        [(outcome.ending, outcome.seconds) for outcome in outcomes],
        [(outcome.ending, outcome.seconds) for outcome in thumb],
    )


def quantile(ascending: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    index = -int(-share * len(ascending) // 1) - 1
    return ascending[max(0, min(len(ascending) - 1, index))]
