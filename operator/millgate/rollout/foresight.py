"""Is a step long enough for its Compare gates to see a doubling? Reckoned from what the newest steps have seen."""

from collections.abc import Sequence
from dataclasses import dataclass

from millgate.api.defaults import gates_of, max_ratio_of, steps_of
from millgate.api.spec import Compare, Rollout
from millgate.api.status import Detection, Status
from millgate.gates.detection import DOUBLE, Traffic, seconds_to_see

_KEPT = 32
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


@dataclass(frozen=True)
class ShortStep:
    """A step that will be over before `gate`, the quickest of its Compare gates, would see twice stable's figure."""

    step: str
    min_seconds: int
    gate: str
    needed_seconds: float

    def __str__(self) -> str:
        """A clause of the Accepted condition."""
        return (
            f"step {self.step} ({self.min_seconds} s) is too short to see a doubling: "
            f"{self.gate} needs about {_in_words(self.needed_seconds)}"
        )


def short_steps(policy: Rollout, known: Sequence[Detection]) -> tuple[ShortStep, ...]:
    """The steps in which no Compare gate of known speed could see a doubling within `minSeconds`."""
    found = []
    for step in steps_of(policy):
        if not 0 < step.weight_percent < 100:
            continue
        needed = {
            gate.name: _needed_seconds(gate.compare, known_one, step.weight_percent)
            for gate in gates_of(policy, step)
            for known_one in known
            if gate.compare is not None and gate.name == known_one.gate
        }
        quickest = min(((seconds, name) for name, seconds in needed.items() if seconds is not None), default=None)
        if quickest is not None and quickest[0] > step.min_seconds:
            found.append(ShortStep(step.name, step.min_seconds, quickest[1], quickest[0]))
    return tuple(found)


def _needed_seconds(compare: Compare, known: Detection, weight_percent: int) -> float | None:
    """What is known for one weight, for another one at the same traffic: traffic, alpha and dispersion cancel out."""
    rho = max_ratio_of(compare)
    there, here = (
        seconds_to_see(DOUBLE, Traffic(1.0, 1.0, percent / 100), alpha=0.01, rho=rho)
        for percent in (known.weight_percent, weight_percent)
    )
    return None if there is None or here is None else known.seconds * here / there


def remembered(status: Status) -> tuple[Detection, ...]:
    """What is known of the gates' speed, with what the step that is about to end has shown."""
    rollout = status.rollout
    weights = {record.name: record.weight_percent for record in rollout.steps} if rollout else {}
    seen = {
        gate.name: Detection(
            gate=gate.name, weight_percent=weights[gate.step], seconds=gate.detects_double_after_seconds
        )
        for gate in status.gates
        if gate.detects_double_after_seconds is not None and 0 < weights.get(gate.step, 0) < 100
    }
    kept = tuple(known for known in status.detections if known.gate not in seen)
    return (*seen.values(), *kept)[:_KEPT]


def _in_words(seconds: float) -> str:
    for unit, word in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {word}"
    return f"{seconds:.0f} s"
