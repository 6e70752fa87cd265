"""The state machine: one handler a stage, each of which gives the next state. Nothing is written here.

Idle ── new hash ─▶ Preparing ── preflight passed ─▶ Stepping ── last step passed ─▶ Promoting ── keep-warm over ─▶ Idle
                        └────────── fail · abort · deadline · newer hash ──▶ RollingBack ── traffic is back ──▶ Idle
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from millgate.api.conditions import EventReason, Reason
from millgate.api.revision import Revision
from millgate.api.spec import ModelSource
from millgate.api.status import Outcome, RolloutStatus, Stage, Status
from millgate.rollout import guards, moves
from millgate.rollout.baseline import baseline_is_ready, leftover_baselines
from millgate.rollout.draft import Draft
from millgate.rollout.failures import note_failures, unanswered
from millgate.rollout.requests import answer_request
from millgate.rollout.sizes import candidate_size
from millgate.rollout.snapshot import JobReport, Snapshot
from millgate.rollout.steps import Progress, index_in, judge_step, steps_in_force

EXIT_PASSED, EXIT_FAILED = 0, 1
PREFLIGHT_BACKOFF_SECONDS = 5.0
PREFLIGHT_BACKOFF_CAP_SECONDS = 120.0
# A decision may make the next one possible at once: Idle, Preparing, Stepping and an opened step in one call.
MAX_TRANSITIONS = 8


def advance(snapshot: Snapshot, now: datetime) -> Draft:
    """The status as it should be stored now: the request answered, and as many transitions as the facts allow."""
    draft = answer_request(Draft(snapshot.status), snapshot, now)
    for _ in range(MAX_TRANSITIONS):
        stage = draft.rollout.stage if draft.rollout else None
        moved = _HANDLERS[stage](draft, snapshot, now)
        if moved.status == draft.status:
            return moved
        draft = moved
    return draft


def _idle(draft: Draft, snapshot: Snapshot, now: datetime) -> Draft:
    status = draft.status
    if status.stable is None and len(snapshot.route.hashes) == 1:
        routed = snapshot.revisions.get(*snapshot.route.hashes)
        if routed is not None and routed.hash not in {entry.hash for entry in status.rejected}:
            return moves.adopt(draft, snapshot, routed)
    wanted = wanted_revision(snapshot, status)
    if wanted is None or snapshot.conflict is not None or is_paused(snapshot, status):
        return draft
    return moves.start(draft, snapshot, wanted, now)


def wanted_revision(snapshot: Snapshot, status: Status) -> Revision | None:
    """The revision that a rollout should be started for, if any: neither the stable one nor one that was rejected."""
    wanted = snapshot.target.revision
    if wanted is None or (status.stable is not None and wanted.hash == status.stable.hash):
        return None
    return None if wanted.hash in {entry.hash for entry in status.rejected} else wanted


def is_paused(snapshot: Snapshot, status: Status) -> bool:
    return snapshot.spec.paused or status.paused_by is not None


def _preparing(draft: Draft, snapshot: Snapshot, now: datetime) -> Draft:
    rollout, candidate = draft.rollout, draft.status.candidate
    if rollout is None or candidate is None:
        return moves.finish_going_back(draft)
    why = guards.superseded(snapshot, candidate, draft.status.stable)
    if why is not None:
        return moves.take_back_candidate(draft, why, now)
    if snapshot.target.revision is None:
        return draft  # what it is made of is not known at this moment: nothing may go on unchecked
    if needs_preflight(snapshot, draft.status):
        return _preflight(draft, snapshot, rollout, now)
    if is_paused(snapshot, draft.status):
        return draft
    return moves.begin_stepping(draft, steps_in_force(snapshot.spec, draft.status)[0], now)


def needs_preflight(snapshot: Snapshot, status: Status) -> bool:
    """A model that a registry holds is fetched, hashed and loaded before any of its pods starts.

    That is done anew in each rollout: a digest known from an earlier one is verified, not believed.
    """
    wanted = snapshot.target.revision
    from_registry = wanted is not None and wanted.model.source is ModelSource.MLFLOW
    return from_registry and status.rollout is not None and not status.rollout.preflight_passed


def _preflight(draft: Draft, snapshot: Snapshot, rollout: RolloutStatus, now: datetime) -> Draft:
    report = snapshot.preflight
    if rollout.preflight_attempt == 0:
        return draft.with_rollout(preflight_attempt=1, step_pending_time=now)
    if rollout.preflight_retry_time is not None:
        if now < rollout.preflight_retry_time:
            return draft
        return draft.with_rollout(
            preflight_attempt=rollout.preflight_attempt + 1, preflight_retry_time=None, step_pending_time=now
        )
    if report is None or report.attempt != rollout.preflight_attempt or report.exit_code is None:
        late = guards.overdue(snapshot, rollout, now)
        return moves.take_back_candidate(draft, late, now) if late else draft
    return _judge_preflight(draft, report, rollout, now)


def _judge_preflight(draft: Draft, report: JobReport, rollout: RolloutStatus, now: datetime) -> Draft:
    candidate = draft.status.candidate
    if candidate is None:
        return draft
    if report.exit_code == EXIT_PASSED and report.digest is not None:
        if candidate.digest is not None and candidate.digest != report.digest:
            changed = f"the registry holds {report.digest} where the first preflight saw {candidate.digest}"
            return moves.take_back_candidate(draft, guards.TakeBack(Reason.ARTIFACT_CHANGED, changed), now)
        pinned = candidate.model_copy(update={"digest": report.digest, "fingerprint": report.fingerprint})
        return (
            draft.with_status(candidate=pinned)
            .with_rollout(preflight_passed=True)
            .saying(EventReason.PREFLIGHT_PASSED, f"rollout {rollout.id}: {report.digest}")
        )
    if report.exit_code == EXIT_FAILED:
        why = guards.TakeBack(report.reason or Reason.PREFLIGHT_FAILED, report.message or "the preflight failed")
        return moves.take_back_candidate(draft, why, now)
    # It could not tell (the registry is away, the node went): that says nothing about the model, so it is tried again.
    wait = min(PREFLIGHT_BACKOFF_CAP_SECONDS, PREFLIGHT_BACKOFF_SECONDS * 2 ** (rollout.preflight_attempt - 1))
    return draft.with_rollout(preflight_retry_time=now + timedelta(seconds=wait), step_pending_time=None).saying(
        EventReason.PREFLIGHT_RETRIED,
        f"rollout {rollout.id}: {report.reason or 'unknown'}: {report.message}; again in {wait:.0f} s",
        "Warning",
    )


def _stepping(draft: Draft, snapshot: Snapshot, now: datetime) -> Draft:
    rollout, candidate = draft.rollout, draft.status.candidate
    if rollout is None or candidate is None:
        return moves.finish_going_back(draft)
    why = guards.candidate_must_go(snapshot, rollout, candidate, now)
    if why is not None:
        return moves.take_back_candidate(draft, why, now)
    if draft.status.stable is not None:
        draft = note_failures(draft, snapshot)
    steps = steps_in_force(snapshot.spec, draft.status)
    index = index_in(steps, rollout)
    if steps[index].name != rollout.step_name:
        return moves.next_step(draft, index, steps[index], now)
    if index != rollout.step_index:
        return draft.with_rollout(step_index=index)
    if rollout.step_start_time is None:
        return _open_when_ready(draft, snapshot, index, now)
    return _judge_opened(draft, snapshot, index, now)


def _open_when_ready(draft: Draft, snapshot: Snapshot, index: int, now: datetime) -> Draft:
    candidate, rollout = draft.status.candidate, draft.rollout
    if candidate is None or rollout is None or is_paused(snapshot, draft.status):
        return draft
    if strangers(snapshot, draft.status) or unanswered(snapshot.spec, rollout):
        return draft
    steps = steps_in_force(snapshot.spec, draft.status)
    if guards.ready_pods(snapshot, candidate) < candidate_size(snapshot.spec, steps, index):
        return draft
    if not baseline_is_ready(snapshot, draft.status):
        return draft
    return moves.open_step(draft, steps[index], now)


def strangers(snapshot: Snapshot, status: Status) -> frozenset[str]:
    """Revisions that play no part but still have pods: an open selector would send them requests."""
    parts = {track.hash for track in (status.stable, status.candidate, status.previous) if track}
    idle = {hash_ for hash_, seen in snapshot.revisions.items() if hash_ not in parts and seen.pods > 0}
    left = {hash_ for hash_ in leftover_baselines(snapshot, status) if snapshot.baselines[hash_].pods > 0}
    return frozenset(idle | left)


def _judge_opened(draft: Draft, snapshot: Snapshot, index: int, now: datetime) -> Draft:
    rollout = draft.rollout
    if rollout is None:
        return draft
    steps = steps_in_force(snapshot.spec, draft.status)
    report = judge_step(snapshot.spec, steps[index], draft.status, snapshot.verdicts, now)
    if report.progress is Progress.INCONCLUSIVE:
        undecided = ", ".join(f"{gate.name} ({gate.reason})" for gate in report.undecided)
        why = guards.TakeBack(Reason.ANALYSIS_INCONCLUSIVE, f"step {steps[index].name}: no verdict of {undecided}")
        return moves.take_back_candidate(draft, why, now)
    routed = is_routed(snapshot, draft.status, steps[index].weight_percent)
    if report.progress is not Progress.PASSED or not routed or is_paused(snapshot, draft.status):
        return draft
    if index + 1 < len(steps):
        return moves.next_step(draft, index + 1, steps[index + 1], now)
    return moves.promote(draft, snapshot.spec.rollout.keep_warm_seconds, now)


def is_routed(snapshot: Snapshot, status: Status, weight: int) -> bool:
    """The route is seen to be where a step of this weight wants it."""
    candidate = status.candidate
    if candidate is None or not snapshot.route.programmed:
        return False
    if weight == 0:
        return candidate.hash not in snapshot.route.hashes
    if weight == 100:
        return snapshot.route.hashes == {candidate.hash}
    return candidate.hash in snapshot.route.hashes


def _promoting(draft: Draft, snapshot: Snapshot, now: datetime) -> Draft:
    status, rollout = draft.status, draft.rollout
    if rollout is None or status.stable is None or status.previous is None:
        return moves.let_go_of_warm(draft)
    why = guards.promoted_must_go(snapshot, rollout, status.stable, status.previous)
    if why is not None:
        return moves.take_back_stable(draft, status.previous, why, now)
    draft = note_failures(draft, snapshot)
    wanted = wanted_revision(snapshot, status)
    if wanted is not None and snapshot.conflict is None and not is_paused(snapshot, status):
        if wanted.hash == status.previous.hash and guards.ready_pods(snapshot, status.previous) > 0:
            # A `git revert` soon after promotion: the warm revision was stable until then and is taken at once.
            undone = guards.TakeBack(Reason.REVERTED, "spec asks for the warm revision again", Outcome.SUPERSEDED)
            return moves.take_back_stable(draft, status.previous, undone, now)
        return moves.start(draft, snapshot, wanted, now)
    if rollout.deadline_time is None or now >= rollout.deadline_time:
        return moves.let_go_of_warm(draft)
    return draft


def _rolling_back(draft: Draft, snapshot: Snapshot, _now: datetime) -> Draft:
    """It is over once the route is seen at the revision that stays, and the other one is scaled to zero."""
    rollout, loser = draft.rollout, draft.status.candidate
    if rollout is None or loser is None:
        return moves.finish_going_back(draft)
    observed = snapshot.revisions.get(loser.hash)
    gone = observed is None or observed.desired_replicas == 0
    back = rollout.return_to is None or snapshot.route.hashes == {rollout.return_to} or not snapshot.route.hashes
    return moves.finish_going_back(draft) if gone and back and snapshot.route.programmed else draft


_HANDLERS: dict[Stage | None, Callable[[Draft, Snapshot, datetime], Draft]] = {
    None: _idle,
    Stage.PREPARING: _preparing,
    Stage.STEPPING: _stepping,
    Stage.PROMOTING: _promoting,
    Stage.ROLLING_BACK: _rolling_back,
}
