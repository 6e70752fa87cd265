"""Which step a rollout is in, also after its steps were edited, and whether the step has passed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from millgate.api.conditions import Reason
from millgate.api.defaults import gates_of, max_seconds_of, on_fail_of, only_watched, steps_of
from millgate.api.spec import Gate, GateType, ModelDeploymentSpec, OnFail, OnInconclusive, Step
from millgate.api.status import GateStatus, RolloutStatus, Status, Verdict
from millgate.rollout.failures import unanswered

# The first revision has nothing to be compared with and nobody to take traffic from.
FIRST_STEP = Step(name="all", weight_percent=100)


def steps_in_force(spec: ModelDeploymentSpec, status: Status) -> tuple[Step, ...]:
    return steps_of(spec.rollout) if status.stable is not None else (FIRST_STEP,)


def index_in(steps: Sequence[Step], rollout: RolloutStatus) -> int:
    """The step in hand, also when the steps were edited.

    It is the one of the same name, else the last one whose weight is not above the current weight, else the first.
    """
    for index, step in enumerate(steps):
        if step.name == rollout.step_name:
            return index
    weight = live_weight(rollout)
    not_above = [index for index, step in enumerate(steps) if step.weight_percent <= weight]
    return not_above[-1] if not_above else 0


def live_weight(rollout: RolloutStatus) -> int:
    """The weight that the newest step to have begun asked for; 0 before the first."""
    return rollout.steps[-1].weight_percent if rollout.steps else 0


class Progress(Enum):
    """How an opened step stands."""

    RUNNING = auto()
    AWAITING_APPROVAL = auto()
    AWAITING_DECISION = auto()  # a gate whose failure is a question to a person has failed
    HELD = auto()  # past `maxSeconds`, gates cannot tell, a person must decide
    PASSED = auto()
    INCONCLUSIVE = auto()  # past `maxSeconds`, gates cannot tell, and the policy is to go back


@dataclass(frozen=True)
class StepReport:
    """`undecided`: the gates that keep the step from ending."""

    progress: Progress
    undecided: tuple[GateStatus, ...] = ()


def gates_in_force(spec: ModelDeploymentSpec, status: Status, step: Step) -> tuple[Gate, ...]:
    """The gates of a step. The first revision is asked none: whatever they said, nobody else could answer requests."""
    return gates_of(spec.rollout, step) if status.stable is not None else ()


def gate_reports(
    spec: ModelDeploymentSpec, step: Step, status: Status, verdicts: Sequence[GateStatus]
) -> tuple[GateStatus, ...]:
    """The newest verdict of each gate of the step; a gate that has said nothing yet is Pending."""
    approved = status.rollout.approved if status.rollout else ()
    known = {verdict.name: verdict for verdict in verdicts if verdict.step == step.name}
    reports = []
    for gate in gates_in_force(spec, status, step):
        if gate.type is GateType.APPROVAL:
            reports.append(_approval(gate.name, step.name, given=gate.name in approved))
        else:
            pending = GateStatus(name=gate.name, step=step.name, verdict=Verdict.PENDING, reason=Reason.PENDING)
            report = known.get(gate.name, pending)
            reports.append(report.model_copy(update={"on_fail": on_fail_of(gate).value}))
    return tuple(reports)


def _approval(name: str, step: str, *, given: bool) -> GateStatus:
    if given:
        return GateStatus(
            name=name, step=step, verdict=Verdict.PASS, reason=Reason.APPROVED, message="a person approved"
        )
    return GateStatus(
        name=name,
        step=step,
        verdict=Verdict.PENDING,
        reason=Reason.AWAITING_APPROVAL,
        message="waits for a person: kubectl millgate promote",
    )


def judge_step(
    spec: ModelDeploymentSpec, step: Step, status: Status, verdicts: Sequence[GateStatus], now: datetime
) -> StepReport:
    """Has an opened step passed? A Fail that takes back is decided before this is asked, and is no progress here."""
    rollout = status.rollout
    start = rollout.step_start_time if rollout else None
    if rollout is None or start is None:
        return StepReport(Progress.RUNNING)
    late = now >= start + timedelta(seconds=max_seconds_of(step))
    reports = gate_reports(spec, step, status, verdicts)
    watched = only_watched(spec.rollout, step)
    undecided = tuple(
        gate
        for gate in reports
        if not _lets_go(gate, rollout, late=late) and (gate.name not in watched or gate.verdict is Verdict.FAIL)
    )
    return StepReport(_progress(spec, step, rollout, undecided, now), undecided)


def _lets_go(gate: GateStatus, rollout: RolloutStatus, *, late: bool) -> bool:
    """It passes, a person let its failure pass, or it only warns: such a gate is waited for until it has looked."""
    if gate.verdict is Verdict.PASS or gate.name in rollout.accepted:
        return True
    return gate.on_fail == OnFail.ALERT and (gate.verdict is not Verdict.PENDING or late)


def _progress(
    spec: ModelDeploymentSpec, step: Step, rollout: RolloutStatus, undecided: tuple[GateStatus, ...], now: datetime
) -> Progress:
    start = rollout.step_start_time or now
    if unanswered(spec, rollout):
        return Progress.AWAITING_DECISION
    failed = any(gate.verdict is Verdict.FAIL for gate in undecided)
    if failed or now < start + timedelta(seconds=step.min_seconds):
        return Progress.RUNNING
    if not undecided:
        return Progress.PASSED
    if all(gate.reason == Reason.AWAITING_APPROVAL for gate in undecided):
        return Progress.AWAITING_APPROVAL
    if now < start + timedelta(seconds=max_seconds_of(step)):
        return Progress.RUNNING
    return _after_max_seconds(spec, rollout, undecided)


def _after_max_seconds(
    spec: ModelDeploymentSpec, rollout: RolloutStatus, undecided: tuple[GateStatus, ...]
) -> Progress:
    if any(gate.reason == Reason.AWAITING_APPROVAL for gate in undecided):
        return Progress.AWAITING_APPROVAL
    if rollout.proceed or spec.rollout.on_inconclusive is OnInconclusive.PROCEED:
        return Progress.PASSED
    if spec.rollout.on_inconclusive is OnInconclusive.ROLLBACK:
        return Progress.INCONCLUSIVE
    return Progress.HELD
