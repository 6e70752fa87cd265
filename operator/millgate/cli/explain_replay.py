"""The course of a rollout's gates, reached again from the anchors in status and what Prometheus still has."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from millgate.api.policy import policy_digest
from millgate.api.spec import Rollout
from millgate.api.status import GateStatus, HistoryEntry, Outcome, RolloutStatus, Stage, StepRecord, Verdict
from millgate.cli.view import View
from millgate.evidence.reader import EvidenceReader, EvidenceRequest
from millgate.gates.before_gate import BeforeTally
from millgate.gates.compare import Process
from millgate.gates.grid import SETTLE_SECONDS
from millgate.gates.mean_gate import MeanTally
from millgate.gates.share_gate import SegmentTally, Tally

MAX_LOOKS = 480
"""Of a longer rollout not every interval is shown; every one of them is judged all the same."""
_UNREADABLE = "Metrics"  # how every reason begins that is about Prometheus and not about the candidate


class ReplayError(Exception):
    """The course cannot be reached again; the text is for a person."""


@dataclass(frozen=True)
class Past:
    """One rollout, as far as its evidence goes: who was held against whom, when, and under which policy.

    `said` is what the operator said of it: the newest verdicts, or the message that a rollout has ended with.
    """

    request: EvidenceRequest
    revision: int
    model_version: str
    outcome: str
    end: datetime
    policy_changed: bool
    said: tuple[GateStatus, ...] = ()
    message: str = ""


@dataclass(frozen=True)
class Side:
    """What one revision did. `events` is None where requests are not counted by what happened in them."""

    requests: float
    events: float | None

    def minus(self, before: "Side | None") -> "Side":
        """What was added since `before`; a count that is smaller has begun anew."""
        if before is None or before.requests > self.requests:
            return self
        events = None if self.events is None or before.events is None else self.events - before.events
        return Side(self.requests - before.requests, events)


@dataclass(frozen=True)
class Look:
    """One look at one gate: what was counted since the look before, and the verdict."""

    at: datetime
    step: str
    weight_percent: int
    status: GateStatus
    candidate: Side | None = None
    stable: Side | None = None


@dataclass(frozen=True)
class GateCourse:
    """All looks at one gate. `same`: whether the verdict is the operator's own; None where it cannot be compared."""

    name: str
    looks: tuple[Look, ...]
    said: str | None
    same: bool | None

    @property
    def verdict(self) -> GateStatus:
        return self.looks[-1].status


def past_of(view: View, revision: int | None, now: datetime) -> Past:
    """The rollout of this revision; the newest one without it. Raises ReplayError where status knows too little."""
    if view.spec is None:
        raise ReplayError("`spec` has fields that this command does not know: is it as new as the operator?")
    current, number = view.status.rollout, _number_in_flight(view)
    if current is not None and number is not None and revision in (None, number):
        return _in_flight(view, view.spec.rollout, current, number, now)
    found = [one for one in view.status.history if revision in (None, one.revision)]
    if not found:
        raise ReplayError(f"status knows no rollout {'' if revision is None else f'of revision {revision}'}".rstrip())
    return _ended(view, view.spec.rollout, found[0])


def _number_in_flight(view: View) -> int | None:
    """The number of the rollout in hand; None while there is none, or when it is already in history as taken back."""
    rollout = view.status.rollout
    if rollout is None or rollout.stage is Stage.ROLLING_BACK:
        return None
    track = view.status.stable if rollout.stage is Stage.PROMOTING else view.status.candidate
    return None if track is None else track.revision


def _in_flight(view: View, policy: Rollout, rollout: RolloutStatus, number: int, now: datetime) -> Past:
    status, swapped = view.status, rollout.stage is Stage.PROMOTING
    candidate, stable = (status.stable, status.previous) if swapped else (status.candidate, status.stable)
    if candidate is None or stable is None or not rollout.steps:
        raise ReplayError("no step has begun in which a revision is held against another")
    looks = [gate.last_check_time for gate in status.gates if gate.last_check_time is not None]
    return Past(
        request=_request(view, policy, rollout, candidate.hash, stable.hash),
        revision=number,
        model_version=candidate.model_version,
        outcome="promoted, and the version before is kept warm" if swapped else f"step {rollout.step_name}",
        end=max(looks) + timedelta(seconds=SETTLE_SECONDS) if looks else now,
        policy_changed=False,
        said=status.gates,
    )


def _ended(view: View, policy: Rollout, entry: HistoryEntry) -> Past:
    if entry.stable_hash is None or not entry.steps:
        text = f"rollout {entry.revision} had no step in which a revision is held against another"
        raise ReplayError(
            text if entry.policy is not None else f"status does not know how rollout {entry.revision} went"
        )
    rollout = RolloutStatus(
        id=f"{view.name}-{entry.revision}-{entry.hash}",
        stage=Stage.STEPPING,
        start_time=entry.start_time,
        stage_start_time=entry.start_time,
        steps=entry.steps,
    )
    taken_back = entry.outcome is not Outcome.PROMOTED
    return Past(
        request=_request(view, policy, rollout, entry.hash, entry.stable_hash),
        revision=entry.revision,
        model_version=entry.model_version,
        outcome=f"{entry.outcome.value}: {entry.reason}" if taken_back else entry.outcome.value,
        end=entry.end_time,
        policy_changed=entry.policy != policy_digest(policy),
        message=entry.message,
    )


def _request(view: View, policy: Rollout, rollout: RolloutStatus, candidate: str, stable: str) -> EvidenceRequest:
    return EvidenceRequest("replay", view.namespace, view.name, rollout, candidate, stable, policy)


async def replay(reader: EvidenceReader, past: Past) -> tuple[GateCourse, ...]:
    """Judge again as the operator did, look by look. Raises ReplayError when Prometheus cannot be read."""
    looks: dict[str, list[Look]] = {}
    counted: dict[str, tuple[Side, Side | None]] = {}
    for request, point in _thinned(list(_looks(past))):
        now = datetime.fromtimestamp(point + SETTLE_SECONDS, UTC)
        statuses = await reader.judge(request, now)
        unreadable = next((one for one in statuses if one.reason.startswith(_UNREADABLE)), None)
        if unreadable is not None:
            raise ReplayError(unreadable.message)
        newest = _counted(reader, request)
        for status in statuses:
            at = datetime.fromtimestamp(point, UTC)
            candidate, stable = _added(newest.get(status.name), counted.get(status.name))
            look = Look(at, request.step.name, request.step.weight_percent, status, candidate, stable)
            looks.setdefault(status.name, []).append(look)
        counted = newest
    return tuple(_course(past, name, tuple(found)) for name, found in looks.items())


def _looks(past: Past) -> Iterator[tuple[EvidenceRequest, int]]:
    """Every point of the grid at which the operator could look, with what it was asked at that time."""
    steps = past.request.rollout.steps
    for index, step in enumerate(steps):
        end = steps[index + 1].start_time if index + 1 < len(steps) else past.end
        request = _begun(past.request, steps[: index + 1])
        grid = request.grid
        first = max(
            0, math.ceil((step.start_time.timestamp() - SETTLE_SECONDS - grid.anchor_seconds) / _interval(past))
        )
        last = end.timestamp() - SETTLE_SECONDS
        begin = grid.anchor_seconds + first * _interval(past)
        # The operator looked at the last point before its verdict ended the rollout; the next step has its own points.
        is_last = index + 1 == len(steps)
        yield from (
            (request, point) for point in range(begin, math.floor(last) + 1, _interval(past)) if is_last or point < last
        )


def _interval(past: Past) -> int:
    return past.request.policy.interval_seconds


def _begun(request: EvidenceRequest, steps: Sequence[StepRecord]) -> EvidenceRequest:
    """As it was asked when the last of `steps` was the newest one; only in that of all was it promoted already."""
    over = len(steps) < len(request.rollout.steps)
    changes = {"steps": tuple(steps), "stage": Stage.STEPPING if over else request.rollout.stage}
    return replace(request, rollout=request.rollout.model_copy(update=changes))


def _thinned(looks: list[tuple[EvidenceRequest, int]]) -> list[tuple[EvidenceRequest, int]]:
    """At most so many looks, the last of each step among them."""
    stride = math.ceil(len(looks) / MAX_LOOKS)
    kept = []
    for index, look in enumerate(looks):
        is_last = index + 1 == len(looks) or looks[index + 1][0] is not look[0]
        if is_last or index % stride == 0:
            kept.append(look)
    return kept


def _counted(reader: EvidenceReader, request: EvidenceRequest) -> dict[str, tuple[Side, Side | None]]:
    """What each Compare gate has counted so far."""
    course = reader.course(request.uid)
    if course is None:
        return {}
    return {gate.name: _sides(gate.evidence.tallies[0]) for gate in course.gates if gate.evidence.tallies}


def _sides(process: Process) -> tuple[Side, Side | None]:
    """The candidate and its reference; None where that is an hour of the past, to which nothing is added."""
    mine, theirs = process.samples
    if isinstance(process, BeforeTally):
        return Side(mine, process.before.candidate.events), None
    arms: tuple[Any, Any] | None = None
    if isinstance(process, SegmentTally):
        arms = (process.whole.candidate, process.whole.stable)
    elif isinstance(process, Tally):
        arms = (process.candidate, process.stable)
    elif isinstance(process, MeanTally):
        arms = (process.candidate, process.reference)
    return Side(mine, arms and arms[0].events), Side(theirs, arms and arms[1].events)


def _added(
    newest: tuple[Side, Side | None] | None, before: tuple[Side, Side | None] | None
) -> tuple[Side | None, Side | None]:
    if newest is None:
        return None, None
    mine, theirs = before or (None, None)
    stable = newest[1]
    return newest[0].minus(mine), None if stable is None else stable.minus(theirs)


def _course(past: Past, name: str, looks: tuple[Look, ...]) -> GateCourse:
    if past.message.startswith(f"gate {name} "):
        looks = _until_failed(looks)
        verdict = looks[-1].status
        same = verdict.verdict is Verdict.FAIL and verdict.message in past.message
        return GateCourse(name, looks, past.message, same)
    verdict = looks[-1].status
    said = next((one for one in past.said if one.name == name and one.step == verdict.step), None)
    if said is None:
        return GateCourse(name, looks, None, None)
    text = f"{said.verdict.value} {said.reason}: {said.message}"
    then = next((look.status for look in looks if look.status.last_check_time == said.last_check_time), None)
    return GateCourse(name, looks, text, None if then is None else _figures(said) == _figures(then))


def _until_failed(looks: tuple[Look, ...]) -> tuple[Look, ...]:
    """Up to the look that ended the rollout: what came between it and the record of it decided nothing."""
    failed = next((index for index, look in enumerate(looks) if look.status.verdict is Verdict.FAIL), len(looks) - 1)
    return looks[: failed + 1]


def _figures(status: GateStatus) -> tuple[object, ...]:
    return (status.verdict, status.reason, status.value, status.reference, status.samples, status.evidence)
