"""The conditions of a ModelDeployment: the contract for kstatus, `kubectl wait`, Helm, Flux and Argo CD.

`Ready` sums up, and its reason is the one word that a person reads first.
"""

from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Literal

from millgate.api.conditions import ConditionType, Reason
from millgate.api.spec import OnFail
from millgate.api.status import Condition, GateStatus, Rejected, RolloutStatus, Stage, Status, Verdict
from millgate.rollout.baseline import baseline_is_ready, wanted_baseline
from millgate.rollout.failures import unanswered
from millgate.rollout.foresight import short_steps
from millgate.rollout.sizes import stable_size
from millgate.rollout.snapshot import Problem, Snapshot
from millgate.rollout.steps import Progress, index_in, judge_step, steps_in_force

# Of stable's pods, as a Deployment counts its own availability by default (maxUnavailable 25 %).
AVAILABLE_SHARE = 0.75


@dataclass(frozen=True)
class Says:
    """What one condition says."""

    status: Literal["True", "False", "Unknown"]
    reason: Reason
    message: str = ""

    @property
    def true(self) -> bool:
        return self.status == "True"


def conditions_of(snapshot: Snapshot, status: Status, now: datetime) -> tuple[Condition, ...]:
    """All conditions, `Ready` last. `lastTransitionTime` moves only when a condition's status changes."""
    accepted = _accepted(snapshot, status)
    available = _available(snapshot, status)
    paused = _paused(snapshot, status, now)
    stalled = _stalled(snapshot, status, accepted, now)
    reconciling = _reconciling(snapshot, status, accepted, paused, stalled)
    ready = _ready(snapshot, status, available, paused, stalled, reconciling, accepted)
    said = {
        ConditionType.ACCEPTED: accepted,
        ConditionType.AVAILABLE: available,
        ConditionType.RECONCILING: reconciling,
        ConditionType.STALLED: stalled,
        ConditionType.PAUSED: paused,
        ConditionType.ROLLED_BACK: _rolled_back(snapshot, status),
        ConditionType.CANDIDATE_HEALTHY: _candidate_healthy(snapshot, status),
        ConditionType.TRAFFIC_PROGRAMMED: _traffic_programmed(snapshot),
        ConditionType.READY: ready,
    }
    return tuple(_stamp(type_, says, snapshot, now) for type_, says in said.items())


def _stamp(type_: ConditionType, says: Says, snapshot: Snapshot, now: datetime) -> Condition:
    before = next((c for c in snapshot.status.conditions if c.type == type_), None)
    unchanged = before is not None and before.status == says.status
    return Condition(
        type=type_,
        status=says.status,
        reason=says.reason,
        message=says.message[:2048],
        observed_generation=snapshot.generation,
        last_transition_time=before.last_transition_time if before is not None and unchanged else now,
    )


def _accepted(snapshot: Snapshot, status: Status) -> Says:
    target = snapshot.target
    if target.problem is not None and target.revision is None:
        known: Literal["False", "Unknown"] = "False" if target.permanent else "Unknown"
        return Says(known, target.problem.reason, target.problem.message)
    if target.revision is None:
        return Says("Unknown", Reason.RESOLVING, "the registry is being asked")
    version = f"model version {target.revision.model_version}, revision {target.revision.hash}"
    if target.problem is not None:
        return Says("True", target.problem.reason, f"{version}, as far as known: {target.problem.message}")
    short = "".join(f"; {step}" for step in short_steps(snapshot.spec.rollout, status.detections))
    return Says("True", Reason.ACCEPTED, version + short)


def _available(snapshot: Snapshot, status: Status) -> Says:
    if status.stable is None:
        return Says("False", Reason.NO_STABLE_YET, "no revision has been promoted yet")
    observed = snapshot.revisions.get(status.stable.hash)
    ready = observed.ready if observed else 0
    size = stable_size(snapshot.spec)
    enough = max(1, ceil(size * AVAILABLE_SHARE))
    text = f"{ready} of {size} pods of {status.stable.workload_name} are ready"
    if ready >= enough:
        # The figure would change with every pod that comes and goes: the promise is that nothing is written then.
        said = f"at least {enough} of {size} pods are ready"
        why = (
            f"; not all: {observed.problem.reason}: {observed.problem.message}" if observed and observed.problem else ""
        )
        return Says("True", Reason.MINIMUM_REPLICAS_AVAILABLE, said + why)
    if observed is not None and observed.problem is not None:
        return Says("False", observed.problem.reason, f"{text}: {observed.problem.message}")
    return Says("False", Reason.STABLE_UNAVAILABLE, text)


def _rejection(snapshot: Snapshot, status: Status) -> Rejected | None:
    """The rejection of the very revision that spec asks for."""
    wanted = snapshot.target.revision
    if wanted is None:
        return None
    return next((entry for entry in status.rejected if entry.hash == wanted.hash), None)


def _stalled(snapshot: Snapshot, status: Status, accepted: Says, now: datetime) -> Says:
    """Only a person or another spec can go on. Never together with Reconciling: kstatus reads the first of the two."""
    rollout = status.rollout
    if snapshot.conflict is not None:
        return Says("True", snapshot.conflict.reason, snapshot.conflict.message)
    if rollout is not None and rollout.stage in {Stage.PREPARING, Stage.STEPPING}:
        return _stalled_first_rollout(snapshot, status, rollout, now)
    if rollout is not None and rollout.stage is Stage.ROLLING_BACK:
        return Says("False", Reason.NOT_STALLED)
    if accepted.status == "False":
        return Says("True", accepted.reason, accepted.message)
    rejection = _rejection(snapshot, status)
    if rejection is not None:
        serving = f"{status.stable.model_version} serves" if status.stable else "nothing serves"
        text = f"{rejection.model_version} was rejected, {serving}: {rejection.reason}: {rejection.message}"
        return Says("True", _stall_reason(rejection), text)
    return Says("False", Reason.NOT_STALLED)


def _stall_reason(rejection: Rejected) -> Reason:
    """The word that tells what to do next: look at the pods, at the artefact, or at the verdict."""
    own = {Reason.PROGRESS_DEADLINE_EXCEEDED, Reason.ARTIFACT_CHANGED, Reason.PREFLIGHT_FAILED}
    reason = Reason(rejection.reason)
    return reason if reason in own else Reason.ROLLED_BACK


def _stalled_first_rollout(snapshot: Snapshot, status: Status, rollout: RolloutStatus, now: datetime) -> Says:
    """Without a stable revision a passed deadline takes nothing back: the pods keep trying, and this says so."""
    pending = rollout.step_pending_time
    limit = snapshot.spec.rollout.progress_deadline_seconds
    if status.stable is not None or pending is None or (now - pending).total_seconds() < limit:
        return Says("False", Reason.NOT_STALLED)
    why = _problem(snapshot, status)
    detail = f": {why.reason}: {why.message}" if why else ""
    return Says("True", Reason.PROGRESS_DEADLINE_EXCEEDED, f"the first pods are not ready after {limit} s{detail}")


def _problem(snapshot: Snapshot, status: Status) -> Problem | None:
    observed = snapshot.revisions.get(status.candidate.hash) if status.candidate else None
    return observed.problem if observed else None


def _paused(snapshot: Snapshot, status: Status, now: datetime) -> Says:
    if snapshot.spec.paused:
        return Says("True", Reason.PAUSED_BY_SPEC, "`spec.paused` is true: weights are frozen")
    if status.paused_by is not None:
        return Says("True", Reason.PAUSED_BY_USER, f"by request {status.paused_by}: weights are frozen")
    rollout = status.rollout
    if rollout is None or rollout.stage is not Stage.STEPPING:
        return Says("False", Reason.NOT_PAUSED)
    failed = unanswered(snapshot.spec, rollout)
    if failed:
        said = f"step {rollout.steps[-1].name}: {', '.join(failed)} failed and waits for a person"
        return Says("True", Reason.AWAITING_DECISION, said)
    steps = steps_in_force(snapshot.spec, status)
    step = steps[index_in(steps, rollout)]
    report = judge_step(snapshot.spec, step, status, snapshot.verdicts, now)
    names = ", ".join(gate.name for gate in report.undecided)
    if report.progress is Progress.AWAITING_APPROVAL:
        return Says("True", Reason.AWAITING_APPROVAL, f"step {step.name} waits for approval of {names}")
    if report.progress is Progress.HELD:
        return Says("True", Reason.ANALYSIS_INCONCLUSIVE, f"step {step.name}: no verdict of {names} in time")
    return Says("False", Reason.NOT_PAUSED)


def _reconciling(snapshot: Snapshot, status: Status, accepted: Says, paused: Says, stalled: Says) -> Says:
    rollout = status.rollout
    if stalled.true:
        return Says("False", stalled.reason)
    if rollout is not None and rollout.stage is Stage.ROLLING_BACK:
        return Says("True", Reason.ROLLING_BACK, f"{rollout.reason}: {rollout.message}")
    if paused.true:
        return Says("False", paused.reason)
    if snapshot.write_failure is not None:
        return Says("True", Reason.PROGRESSING_WITH_RETRY, snapshot.write_failure.message)
    if accepted.status == "Unknown":
        return Says("True", Reason.PROGRESSING_WITH_RETRY, accepted.message)
    if rollout is None or rollout.stage is Stage.PROMOTING:
        return Says("False", Reason.IDLE)
    if rollout.stage is Stage.PREPARING:
        return _preparing(snapshot, rollout)
    if rollout.step_start_time is None:
        return _scaling_up(snapshot, status, rollout)
    return Says("True", Reason.ROLLOUT_IN_PROGRESS, f"rollout {rollout.id}: step {rollout.step_name}")


def _preparing(snapshot: Snapshot, rollout: RolloutStatus) -> Says:
    report = snapshot.preflight
    said = f": {report.reason}: {report.message}" if report is not None and report.reason is not None else ""
    if rollout.preflight_retry_time is not None or (rollout.preflight_attempt > 1 and said):
        return Says("True", Reason.PROGRESSING_WITH_RETRY, f"preflight, attempt {rollout.preflight_attempt}{said}")
    return Says("True", Reason.PREFLIGHT, f"rollout {rollout.id}: the model is fetched and checked{said}")


def _scaling_up(snapshot: Snapshot, status: Status, rollout: RolloutStatus) -> Says:
    why = _problem(snapshot, status)
    whose = "its pods"
    if why is None and not baseline_is_ready(snapshot, status):
        whose, why = "its pods and those of the baseline", _baseline_problem(snapshot, status)
    detail = f": {why.reason}: {why.message}" if why else ""
    return Says("True", Reason.SCALING_UP, f"step {rollout.step_name} waits for {whose}{detail}")


def _baseline_problem(snapshot: Snapshot, status: Status) -> Problem | None:
    wanted = wanted_baseline(snapshot, status)
    there = snapshot.baselines.get(wanted.hash) if wanted else None
    return there.problem if there else None


def _rolled_back(snapshot: Snapshot, status: Status) -> Says:
    rollout = status.rollout
    going_back = rollout is not None and rollout.stage is Stage.ROLLING_BACK
    rejection = _rejection(snapshot, status)
    if rejection is None or (rollout is not None and not going_back):
        return Says("False", Reason.NOT_ROLLED_BACK)
    return Says("True", Reason(rejection.reason), rejection.message)


def _candidate_healthy(snapshot: Snapshot, status: Status) -> Says:
    rollout = status.rollout
    if rollout is not None and rollout.stage is Stage.PROMOTING:
        failed = _failed(snapshot, status, rollout)
        if failed is not None:
            return failed
    if rollout is None or status.candidate is None or rollout.stage is Stage.PROMOTING:
        # What spec asks for was judged already: that is said until spec asks for something else, or a person to retry.
        rejection = _rejection(snapshot, status)
        if rejection is not None:
            return Says("False", Reason(rejection.reason), rejection.message)
        return Says("Unknown", Reason.NO_CANDIDATE, "no candidate is in flight")
    if rollout.stage is Stage.ROLLING_BACK:
        reason = Reason(rollout.reason) if rollout.reason else Reason.FAILING
        return Says("False", reason, rollout.message or "")
    problem = _problem(snapshot, status) or _preflight_problem(snapshot, rollout)
    if problem is not None:
        return Says("False", problem.reason, problem.message)
    failed = _failed(snapshot, status, rollout)
    if failed is not None:
        return failed
    open_ = _first(status.gates, Verdict.INCONCLUSIVE) or _first(status.gates, Verdict.PENDING)
    if open_ is not None:
        return Says("Unknown", Reason(open_.reason), f"{open_.name}: {_steady(open_)}")
    if not status.gates:
        return Says("Unknown", Reason.PENDING, "no gate has been asked yet")
    return Says("True", Reason.PASSING, "all gates pass: " + ", ".join(gate.name for gate in status.gates))


def _failed(snapshot: Snapshot, status: Status, rollout: RolloutStatus) -> Says | None:
    """A gate has failed, also one whose failure takes nothing back."""
    held = unanswered(snapshot.spec, rollout)
    if held:
        of_it = next((gate for gate in status.gates if gate.name == held[0]), None)
        now = f": {_steady(of_it)}" if of_it else ""
        return Says("False", Reason.AWAITING_DECISION, f"{', '.join(held)} failed and waits for a person{now}")
    failing = _first(status.gates, Verdict.FAIL)
    if failing is None:
        return None
    excuse = ""
    if failing.name in rollout.accepted:
        excuse = " (a person let it pass)"
    elif failing.on_fail == OnFail.ALERT:
        excuse = " (onFail Alert: the rollout goes on)"
    return Says("False", Reason.FAILING, f"{failing.name}: {failing.message}{excuse}")


def _steady(gate: GateStatus) -> str:
    """The figures stand in `status.gates`; a condition says what kind of doubt there is."""
    return gate.message or gate.reason


def _preflight_problem(snapshot: Snapshot, rollout: RolloutStatus) -> Problem | None:
    report = snapshot.preflight
    if rollout.stage is not Stage.PREPARING or report is None or report.reason is None:
        return None
    return Problem(report.reason, report.message)


def _first(gates: tuple[GateStatus, ...], verdict: Verdict) -> GateStatus | None:
    return next((gate for gate in gates if gate.verdict is verdict), None)


def _traffic_programmed(snapshot: Snapshot) -> Says:
    if snapshot.write_failure is not None:
        return Says("False", snapshot.write_failure.reason, snapshot.write_failure.message)
    if not snapshot.route.weights:
        return Says("Unknown", Reason.NO_ROUTE_YET, "no revision gets traffic yet")
    if not snapshot.route.programmed:
        return Says("False", Reason.WEIGHT_DRIFT, snapshot.route.message)
    return Says("True", Reason.PROGRAMMED)


def _ready(  # noqa: PLR0913, PLR0917  # it sums up the others
    snapshot: Snapshot, status: Status, available: Says, paused: Says, stalled: Says, reconciling: Says, accepted: Says
) -> Says:
    for blocking in (stalled, reconciling, paused):
        if blocking.true:
            reason = _first_word(blocking, accepted) if blocking is reconciling else blocking.reason
            return Says("False", reason, blocking.message)
    wanted = snapshot.target.revision
    if status.stable is None or wanted is None or wanted.hash != status.stable.hash:
        return Says("False", Reason.RESOLVING, "the newest spec is not promoted yet")
    if not available.true:
        return Says("False", available.reason, available.message)
    return Says("True", Reason.PROMOTED, f"model version {status.stable.model_version} serves")


def _first_word(reconciling: Says, accepted: Says) -> Reason:
    """While it retries, the word that a person needs first is what it waits for."""
    if reconciling.reason is Reason.PROGRESSING_WITH_RETRY and accepted.status == "Unknown":
        return accepted.reason
    return reconciling.reason
