"""What the status says besides the state machine: figures of the revisions, the step in hand, when to look again."""

from datetime import datetime, timedelta

from millgate.api.conditions import EventReason
from millgate.api.defaults import max_seconds_of, named_gate, on_fail_of
from millgate.api.names import LABEL_COMPONENT, LABEL_HASH, LABEL_NAME
from millgate.api.spec import ModelDeploymentSpec, Step
from millgate.api.status import GateStatus, RolloutStatus, Stage, Status, Track
from millgate.rollout.draft import Draft
from millgate.rollout.foresight import short_steps
from millgate.rollout.snapshot import Snapshot
from millgate.rollout.steps import Progress, gate_reports, index_in, judge_step, live_weight, steps_in_force


def with_figures(draft: Draft, snapshot: Snapshot, now: datetime) -> Draft:
    """Fill in what can be seen: pods, weights, verdicts, and the times of the step in hand."""
    status = draft.status
    stable = _seen(snapshot, status.stable)
    figured = draft.with_status(
        observed_generation=snapshot.generation,
        resolution=snapshot.target.resolution or status.resolution,
        stable=stable,
        candidate=_seen(snapshot, _with_wanted_weight(status)),
        previous=_seen(snapshot, status.previous),
        replicas=_pods(snapshot, stable),
        ready_replicas=stable.ready_replicas if stable else 0,
        # The pods that an autoscaler may count: stable's alone, since `spec.replicas` is stable's size. Were the
        # candidate's among them, each rollout would make stable grow.
        selector=f"{LABEL_NAME}={snapshot.name},{LABEL_COMPONENT}=server"
        + (f",{LABEL_HASH}={stable.hash}" if stable else ""),
    )
    return _with_short_steps(_with_step(figured, snapshot, now), snapshot)


def _with_short_steps(draft: Draft, snapshot: Snapshot) -> Draft:
    """Tell once of steps that are too short: when the Accepted condition does not name them yet."""
    said = next((one.message for one in snapshot.status.conditions if one.type == "Accepted"), "")
    new = [
        step
        for step in short_steps(snapshot.spec.rollout, draft.status.detections)
        if f"step {step.step} (" not in said
    ]
    return draft.saying(EventReason.STEP_TOO_SHORT, "; ".join(map(str, new))[:1024], "Warning") if new else draft


def _seen(snapshot: Snapshot, track: Track | None) -> Track | None:
    if track is None:
        return None
    observed = snapshot.revisions.get(track.hash)
    return track.model_copy(
        update={
            "ready_replicas": observed.ready if observed else 0,
            "observed_weight_percent": snapshot.route.weights.get(track.hash, 0),
        }
    )


def _with_wanted_weight(status: Status) -> Track | None:
    if status.candidate is None or status.rollout is None:
        return status.candidate
    going_back = status.rollout.stage is Stage.ROLLING_BACK
    wanted = 0 if going_back else live_weight(status.rollout)
    return status.candidate.model_copy(update={"desired_weight_percent": wanted})


def _pods(snapshot: Snapshot, track: Track | None) -> int:
    observed = snapshot.revisions.get(track.hash) if track else None
    return observed.pods if observed else 0


def _with_step(draft: Draft, snapshot: Snapshot, now: datetime) -> Draft:
    draft = _with_verdicts(draft, snapshot)
    rollout = draft.rollout
    if rollout is None or rollout.stage is Stage.PROMOTING:
        return draft
    if rollout.stage is not Stage.STEPPING:
        deadline = _pending_deadline(snapshot, rollout) if rollout.stage is Stage.PREPARING else None
        return draft.with_rollout(next_step_time=None, deadline_time=deadline)
    steps = steps_in_force(snapshot.spec, draft.status)
    index = index_in(steps, rollout)
    step = steps[index]
    opened = rollout.step_start_time
    changed = draft.with_rollout(
        step_display=f"{index + 1}/{len(steps)}",
        next_step_time=opened + timedelta(seconds=step.min_seconds) if opened else None,
        deadline_time=_step_deadline(snapshot, rollout, step),
    )
    if opened is None:
        return changed
    return _with_held_event(
        changed.with_status(gates=gate_reports(snapshot.spec, step, draft.status, snapshot.verdicts)),
        snapshot,
        step,
        now,
    )


def _with_verdicts(draft: Draft, snapshot: Snapshot) -> Draft:
    """The newest verdicts of the step that was in hand: also the one that has just taken the candidate back."""
    before, after = snapshot.status.rollout, draft.rollout
    if before is None or after is None or not before.steps or before.stage not in {Stage.STEPPING, Stage.PROMOTING}:
        return draft
    if after.stage is Stage.PREPARING:
        return draft  # of another candidate
    newest = {
        verdict.name: _with_consequence(snapshot.spec, verdict)
        for verdict in snapshot.verdicts
        if verdict.step == before.steps[-1].name
    }
    known = [newest.pop(gate.name, gate) for gate in draft.status.gates]
    return draft.with_status(gates=(*known, *newest.values()))


def _with_consequence(spec: ModelDeploymentSpec, verdict: GateStatus) -> GateStatus:
    gate = named_gate(spec.rollout, verdict.step, verdict.name)
    return verdict if gate is None else verdict.model_copy(update={"on_fail": on_fail_of(gate).value})


def _step_deadline(snapshot: Snapshot, rollout: RolloutStatus, step: Step) -> datetime | None:
    if rollout.step_start_time is not None:
        return rollout.step_start_time + timedelta(seconds=max_seconds_of(step))
    return _pending_deadline(snapshot, rollout)


def _pending_deadline(snapshot: Snapshot, rollout: RolloutStatus) -> datetime | None:
    if rollout.step_pending_time is None:
        return None
    return rollout.step_pending_time + timedelta(seconds=snapshot.spec.rollout.progress_deadline_seconds)


def _with_held_event(draft: Draft, snapshot: Snapshot, step: Step, now: datetime) -> Draft:
    """Tell once that a person is waited for: when the Paused condition does not say so yet."""
    rollout = draft.rollout
    if rollout is None:
        return draft
    progress = judge_step(snapshot.spec, step, draft.status, snapshot.verdicts, now).progress
    paused = next((c for c in snapshot.status.conditions if c.type == "Paused" and c.status == "True"), None)
    if progress is Progress.HELD and (paused is None or paused.reason != "AnalysisInconclusive"):
        text = f"step {step.name}: gates cannot tell; kubectl millgate promote or abort"
        return draft.saying(EventReason.HELD_INCONCLUSIVE, text, "Warning")
    if progress is Progress.AWAITING_APPROVAL and (paused is None or paused.reason != "AwaitingApproval"):
        return draft.saying(EventReason.AWAITING_APPROVAL, f"step {step.name}: kubectl millgate promote")
    return draft


def next_look_seconds(status: Status, now: datetime) -> float | None:
    """When time alone will change something: the end of a step, a deadline, the end of keep-warm."""
    rollout = status.rollout
    if rollout is None:
        return None
    times = (rollout.next_step_time, rollout.deadline_time, rollout.preflight_retry_time)
    ahead = [(time - now).total_seconds() for time in times if time is not None and time > now]
    return min(ahead, default=None)
