"""Which step a rollout is in, also after its steps were edited, and whether the step has passed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from millgate.api.conditions import Reason
from millgate.api.defaults import gates_of, max_seconds_of, steps_of
from millgate.api.spec import Gate, GateType, ModelDeploymentSpec, OnInconclusive, Step
from millgate.api.status import GateStatus, RolloutStatus, Status, Verdict

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
    HELD = auto()  # past `maxSeconds`, gates cannot tell, a person must decide
    PASSED = auto()
    INCONCLUSIVE = auto()  # past `maxSeconds`, gates cannot tell, and the policy is to go back


@dataclass(frozen=True)
class StepReport:
    progress: Progress
    gates: tuple[GateStatus, ...]

    @property
    def undecided(self) -> tuple[GateStatus, ...]:
        return tuple(gate for gate in self.gates if gate.verdict is not Verdict.PASS)


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
            reports.append(known.get(gate.name, pending))
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
    """Has an opened step passed? A Fail is decided before this is asked, and is no progress here."""
    rollout = status.rollout
    start = rollout.step_start_time if rollout else None
    if rollout is None or start is None:
        return StepReport(Progress.RUNNING, ())
    reports = gate_reports(spec, step, status, verdicts)
    report = StepReport(Progress.RUNNING, reports)
    if any(gate.verdict is Verdict.FAIL for gate in reports) or now < start + timedelta(seconds=step.min_seconds):
        return report
    if not report.undecided:
        return StepReport(Progress.PASSED, reports)
    if all(gate.reason == Reason.AWAITING_APPROVAL for gate in report.undecided):
        return StepReport(Progress.AWAITING_APPROVAL, reports)
    if now < start + timedelta(seconds=max_seconds_of(step)):
        return report
    return StepReport(_after_max_seconds(spec, rollout, report), reports)


def _after_max_seconds(spec: ModelDeploymentSpec, rollout: RolloutStatus, report: StepReport) -> Progress:
    if any(gate.reason == Reason.AWAITING_APPROVAL for gate in report.undecided):
        return Progress.AWAITING_APPROVAL
    if rollout.proceed or spec.rollout.on_inconclusive is OnInconclusive.PROCEED:
        return Progress.PASSED
    if spec.rollout.on_inconclusive is OnInconclusive.ROLLBACK:
        return Progress.INCONCLUSIVE
    return Progress.HELD
