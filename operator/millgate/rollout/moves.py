"""The transitions of the state machine, each as one change of the status.

They say what is decided; the writes that a decision asks for are derived from the status afterwards (see `writes`).
"""

from datetime import datetime, timedelta

from millgate.api.conditions import EventReason, Reason
from millgate.api.names import rollout_id, workload_name
from millgate.api.revision import Revision
from millgate.api.spec import Step
from millgate.api.status import (
    HistoryEntry,
    Outcome,
    Rejected,
    RolloutStatus,
    Stage,
    Status,
    StepRecord,
    Track,
)
from millgate.rollout.draft import Draft
from millgate.rollout.foresight import remembered
from millgate.rollout.guards import TakeBack
from millgate.rollout.snapshot import ObservedRevision, Snapshot

HISTORY_LENGTH = 10
REJECTED_LENGTH = 16
MESSAGE_LENGTH = 1024


def start(draft: Draft, snapshot: Snapshot, revision: Revision, now: datetime) -> Draft:
    """A new hash: it becomes the candidate, and a revision that was still kept warm is let go."""
    number = next_number(draft.status)
    observed = snapshot.revisions.get(revision.hash)
    candidate = track_of(snapshot.name, number, revision, _pinned_digest(draft.status, observed, revision.hash))
    rollout = RolloutStatus(
        id=rollout_id(snapshot.name, number, revision.hash),
        stage=Stage.PREPARING,
        start_time=now,
        stage_start_time=now,
        step_pending_time=now,
    )
    return draft.with_status(candidate=candidate, previous=None, rollout=rollout, gates=()).saying(
        EventReason.ROLLOUT_STARTED,
        f"rollout {rollout.id}: model version {revision.model_version}"
        + (f" beside {draft.status.stable.model_version}" if draft.status.stable else ", the first one"),
    )


def adopt(draft: Draft, snapshot: Snapshot, observed: ObservedRevision) -> Draft:
    """The live route names a revision of ours that status has forgotten, as after a restore from a backup."""
    return draft.with_status(
        stable=track_of(snapshot.name, next_number(draft.status), observed.revision, observed.digest)
    )


def begin_stepping(draft: Draft, first: Step, now: datetime) -> Draft:
    return _wait_for_step(draft.with_rollout(stage=Stage.STEPPING, stage_start_time=now), 0, first, now)


def next_step(draft: Draft, index: int, step: Step, now: datetime) -> Draft:
    return _wait_for_step(draft, index, step, now)


def _wait_for_step(draft: Draft, index: int, step: Step, now: datetime) -> Draft:
    return draft.with_rollout(
        step_index=index,
        step_name=step.name,
        step_weight_percent=step.weight_percent,
        step_pending_time=now,
        step_start_time=None,
        approved=(),
        proceed=False,
    )


def open_step(draft: Draft, step: Step, now: datetime) -> Draft:
    """The pods are ready: from now on the step's time and its evidence count. The route follows once this is stored."""
    rollout = draft.rollout
    if rollout is None:
        return draft
    record = StepRecord(name=step.name, weight_percent=step.weight_percent, start_time=now)
    return (
        draft.with_status(detections=remembered(draft.status))
        .with_rollout(
            step_pending_time=None,
            step_start_time=now,
            steps=(*rollout.steps, record)[-64:],
            failed=(),
            accepted=(),
            traffic_start_time=rollout.traffic_start_time or (now if step.weight_percent > 0 else None),
        )
        .saying(EventReason.STEP_STARTED, f"rollout {rollout.id}: step {step.name}, weight {step.weight_percent} %")
    )


def promote(draft: Draft, keep_warm_seconds: int, now: datetime) -> Draft:
    """The roles are swapped: no pod is started again. The revision before stays warm for the way back."""
    status, rollout = draft.status, draft.rollout
    if rollout is None or status.candidate is None:
        return draft
    reason = Reason.ALL_CHECKS_PASSED if status.stable else Reason.FIRST_REVISION
    entry = _entry(status.candidate, rollout, Outcome.PROMOTED, reason, "", now)
    promoted = draft.with_status(
        stable=status.candidate.model_copy(update={"desired_weight_percent": None}),
        candidate=None,
        previous=status.stable,
        history=(entry, *status.history)[:HISTORY_LENGTH],
        rollout=rollout.model_copy(
            update={
                "stage": Stage.PROMOTING,
                "stage_start_time": now,
                "step_start_time": None,
                "step_pending_time": None,
                "deadline_time": now + timedelta(seconds=keep_warm_seconds),
            }
        )
        if status.stable
        else None,
    )
    return promoted.saying(
        EventReason.CANDIDATE_PROMOTED,
        f"rollout {rollout.id}: model version {status.candidate.model_version} is stable",
    )


def let_go_of_warm(draft: Draft) -> Draft:
    previous = draft.status.previous
    gone = draft.with_status(previous=None, rollout=None)
    if previous is None:
        return gone
    return gone.saying(EventReason.WARM_REVISION_RETIRED, f"{previous.workload_name} is no longer kept warm")


def take_back_candidate(draft: Draft, why: TakeBack, now: datetime) -> Draft:
    """The candidate gives its traffic back to stable, which was never made smaller."""
    status, rollout = draft.status, draft.rollout
    if rollout is None or status.candidate is None:
        return draft
    back = _going_back(draft, status.candidate, status.stable, why, now)
    entry = _entry(status.candidate, rollout, why.outcome, why.reason, why.message, now)
    reason, kind = EventReason.CANDIDATE_ROLLED_BACK, "Warning"
    if not why.rejects:
        reason, kind = EventReason.CANDIDATE_SUPERSEDED, "Normal"
    return back.with_status(history=(entry, *status.history)[:HISTORY_LENGTH]).saying(
        reason, f"rollout {rollout.id}: {why.reason}: {why.message}", "Warning" if kind == "Warning" else "Normal"
    )


def take_back_stable(draft: Draft, to: Track, why: TakeBack, now: datetime) -> Draft:
    """After promotion: the running revision is rejected and an earlier one becomes stable again."""
    status = draft.status
    running = status.stable
    if running is None:
        return draft
    rollout = RolloutStatus(
        id=rollout_id_of(status, running),
        stage=Stage.ROLLING_BACK,
        start_time=now,
        stage_start_time=now,
    )
    back = _going_back(draft.with_status(rollout=rollout), running, to, why, now)
    entry = _entry(running, rollout, why.outcome, why.reason, why.message, now)
    return back.with_status(
        stable=to, candidate=running, previous=None, history=(entry, *status.history)[:HISTORY_LENGTH]
    ).saying(
        EventReason.STABLE_ROLLED_BACK,
        f"from model version {running.model_version} to {to.model_version}: {why.reason}: {why.message}",
        "Warning",
    )


def finish_going_back(draft: Draft) -> Draft:
    return draft.with_status(candidate=None, rollout=None)


def _going_back(draft: Draft, loser: Track, to: Track | None, why: TakeBack, now: datetime) -> Draft:
    status = draft.status
    rejected = status.rejected
    if why.rejects:
        kept = tuple(entry for entry in rejected if entry.hash != loser.hash)
        rejected = (_rejection(loser, why, now), *kept)[:REJECTED_LENGTH]
    return draft.with_status(rejected=rejected, detections=remembered(status)).with_rollout(
        stage=Stage.ROLLING_BACK,
        stage_start_time=now,
        return_to=to.hash if to else None,
        reason=why.reason,
        message=why.message[:MESSAGE_LENGTH],
        outcome=why.outcome,
        step_pending_time=None,
        step_start_time=None,
    )


def _rejection(track: Track, why: TakeBack, now: datetime) -> Rejected:
    return Rejected(
        hash=track.hash,
        model_version=track.model_version,
        reason=why.reason,
        message=why.message[:MESSAGE_LENGTH],
        digest=track.digest,
        time=now,
    )


def _entry(  # noqa: PLR0913, PLR0917  # the fields of one record, all of them needed
    track: Track, rollout: RolloutStatus, outcome: Outcome, reason: str, message: str, now: datetime
) -> HistoryEntry:
    return HistoryEntry(
        revision=track.revision,
        hash=track.hash,
        model_version=track.model_version,
        outcome=outcome,
        reason=reason,
        message=message[:MESSAGE_LENGTH],
        digest=track.digest,
        start_time=rollout.start_time,
        end_time=now,
    )


def track_of(name: str, number: int, revision: Revision, digest: str | None) -> Track:
    return Track(
        revision=number,
        hash=revision.hash,
        model_version=revision.model_version,
        workload_name=workload_name(name, revision.hash),
        image=revision.image,
        digest=digest,
        run_id=revision.model.run_id,
        git_commit=revision.model.git_commit,
        dataset_digest=revision.model.dataset_digest,
    )


def next_number(status: Status) -> int:
    tracks = [track.revision for track in (status.stable, status.candidate, status.previous) if track]
    return max([0, *tracks, *(entry.revision for entry in status.history)]) + 1


def rollout_id_of(status: Status, stable: Track) -> str:
    """The id under which a revision was rolled out, also when its rollout is over."""
    if status.rollout is not None and status.rollout.id.endswith(stable.hash):
        return status.rollout.id
    name = stable.workload_name.removesuffix(f"-{stable.hash}")
    return rollout_id(name, stable.revision, stable.hash)


def _pinned_digest(status: Status, observed: ObservedRevision | None, hash_: str) -> str | None:
    """The first preflight pins the content to the hash; a later rollout of the same hash must serve the same bytes."""
    if observed is not None and observed.digest:
        return observed.digest
    known = {entry.hash: entry.digest for entry in status.history if entry.digest}
    known |= {entry.hash: entry.digest for entry in status.rejected if entry.digest}
    return known.get(hash_)
