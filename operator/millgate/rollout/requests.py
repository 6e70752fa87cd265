"""What a person's request does, and what they are told. A request is answered once, by its id."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from millgate.api.conditions import EventReason, Reason
from millgate.api.names import rollout_id
from millgate.api.request import MalformedRequest, Request, RequestAction
from millgate.api.spec import GateType
from millgate.api.status import LastRequest, Outcome, RequestResult, RolloutStatus, Stage, Status, Track
from millgate.rollout.draft import Draft
from millgate.rollout.failures import unanswered
from millgate.rollout.guards import TakeBack
from millgate.rollout.moves import rollout_id_of, take_back_candidate, take_back_stable, track_of
from millgate.rollout.snapshot import Snapshot
from millgate.rollout.steps import Progress, gates_in_force, index_in, judge_step, steps_in_force


@dataclass(frozen=True)
class Answer:
    """What became of a request: the changed draft, or the same one when it was refused."""

    draft: Draft
    result: RequestResult
    message: str


def answer_request(draft: Draft, snapshot: Snapshot, now: datetime) -> Draft:
    """Carry out the request by annotation, unless it was answered before."""
    request = snapshot.request
    last = draft.status.last_request
    if request is None or (last is not None and last.id == request.id):
        return draft
    if isinstance(request, MalformedRequest):
        answer, action = _refused(draft, request.message), request.text[:32]
    else:
        answer, action = _carry_out(draft, snapshot, request, now), request.action.value
    applied = answer.result is RequestResult.APPLIED
    return answer.draft.with_status(
        last_request=LastRequest(
            id=request.id, action=action, result=answer.result, message=answer.message[:1024], time=now
        )
    ).saying(
        EventReason.REQUEST_APPLIED if applied else EventReason.REQUEST_REFUSED,
        f"{action} (id {request.id}): {answer.message}",
        "Normal" if applied else "Warning",
    )


def _carry_out(draft: Draft, snapshot: Snapshot, request: Request, now: datetime) -> Answer:
    ids = _ids_in_play(snapshot, draft.status)
    if request.rollout is not None and request.rollout not in ids:
        return _refused(
            draft, f"it is bound to rollout {request.rollout}; now it could be {' or '.join(ids) or 'none'}"
        )
    if request.rollout is None and request.action is RequestAction.PROMOTE:
        return _refused(draft, "it must be bound by 'rollout=<id>', so that a late one cannot hit another candidate")
    return _HANDLERS[request.action](draft, snapshot, request, now)


def _ids_in_play(snapshot: Snapshot, status: Status) -> list[str]:
    """The rollouts that a request may be bound to: the one in flight alone, else the stable one or the rejected one in
    spec. A request for the rollout before comes too late: it must not hit the candidate that has come since.
    """
    ids = [status.rollout.id] if status.rollout else []
    if status.rollout is not None and status.candidate is not None:
        return ids
    if status.stable is not None:
        ids.append(rollout_id_of(status, status.stable))
    wanted = snapshot.target.revision
    if wanted is not None:
        tried = [entry.revision for entry in status.history if entry.hash == wanted.hash]
        ids += [rollout_id(snapshot.name, number, wanted.hash) for number in tried[:1]]
    return list(dict.fromkeys(ids))


def _promote(draft: Draft, snapshot: Snapshot, _request: Request, now: datetime) -> Answer:
    rollout = draft.rollout
    if rollout is None or rollout.stage not in {Stage.STEPPING, Stage.PROMOTING}:
        return _refused(draft, "no step waits for a person: 'Promote' answers a step that has begun")
    failed = unanswered(snapshot.spec, rollout)
    accepting = draft.with_rollout(accepted=(*rollout.accepted, *failed)) if failed else draft
    said = (f"let pass although it failed: {', '.join(failed)}",) if failed else ()
    if rollout.stage is Stage.STEPPING and rollout.step_start_time is not None:
        return _promote_opened(accepting, snapshot, rollout, said, now)
    if not failed:
        return _refused(draft, "no step waits for a person: 'Promote' answers a step that has begun")
    return _applied(accepting, *said)


def _promote_opened(
    draft: Draft, snapshot: Snapshot, rollout: RolloutStatus, said: tuple[str, ...], now: datetime
) -> Answer:
    """`said`: what was answered already."""
    steps = steps_in_force(snapshot.spec, draft.status)
    step = steps[index_in(steps, rollout)]
    waiting = tuple(
        gate.name
        for gate in gates_in_force(snapshot.spec, draft.status, step)
        if gate.type is GateType.APPROVAL and gate.name not in rollout.approved
    )
    held = judge_step(snapshot.spec, step, draft.status, snapshot.verdicts, now).progress is Progress.HELD
    if not waiting and not held and not said:
        return _refused(draft, f"step {step.name} does not wait for a person: its gates decide when it ends")
    approved = (f"approved {', '.join(waiting)}",) if waiting else ()
    proceeding = (f"step {step.name} goes on although its gates cannot tell",) if held else ()
    changed = draft.with_rollout(approved=(*rollout.approved, *waiting), proceed=held or rollout.proceed)
    return _applied(changed, "; ".join((*said, *approved, *proceeding)))


def _abort(draft: Draft, _snapshot: Snapshot, request: Request, now: datetime) -> Answer:
    status = draft.status
    rollout = status.rollout
    if rollout is None or status.candidate is None or rollout.stage not in {Stage.PREPARING, Stage.STEPPING}:
        return _refused(draft, "no rollout is in flight; after promotion the way back is 'Rollback'")
    why = TakeBack(Reason.ABORTED_BY_USER, f"asked for by request {request.id}", Outcome.ABORTED)
    back_to = f"all traffic to {status.stable.model_version}" if status.stable else "there is no stable revision"
    return _applied(take_back_candidate(draft, why, now), f"{status.candidate.model_version} is rejected, {back_to}")


def _rollback(draft: Draft, snapshot: Snapshot, request: Request, now: datetime) -> Answer:
    status = draft.status
    if status.rollout is not None and status.rollout.stage in {Stage.PREPARING, Stage.STEPPING}:
        return _abort(draft, snapshot, request, now)
    if status.rollout is not None and status.rollout.stage is Stage.ROLLING_BACK:
        return _refused(draft, "traffic is already going back")
    good = newest_good_revision(snapshot, status)
    if status.stable is None or good is None:
        return _refused(draft, "there is no earlier good revision to go back to")
    why = TakeBack(Reason.ROLLED_BACK_BY_USER, f"asked for by request {request.id}")
    return _applied(
        take_back_stable(draft, good, why, now),
        f"from {status.stable.model_version}, which is rejected, to {good.model_version}",
    )


def newest_good_revision(snapshot: Snapshot, status: Status) -> Track | None:
    """The warm revision, else the newest promoted one whose Deployment is still kept and that nobody rejected."""
    if status.previous is not None:
        return status.previous
    bad = {entry.hash for entry in status.rejected} | ({status.stable.hash} if status.stable else set())
    for entry in status.history:
        observed = snapshot.revisions.get(entry.hash)
        if entry.outcome is Outcome.PROMOTED and entry.hash not in bad and observed is not None:
            return track_of(snapshot.name, entry.revision, observed.revision, observed.digest)
    return None


def _retry(draft: Draft, snapshot: Snapshot, _request: Request, _now: datetime) -> Answer:
    wanted = snapshot.target.revision
    if wanted is None or wanted.hash not in {entry.hash for entry in draft.status.rejected}:
        return _refused(draft, "the revision in spec is not rejected: there is nothing to try again")
    if draft.rollout is not None and draft.rollout.stage is Stage.ROLLING_BACK:
        return _refused(draft, "traffic is still going back; try again in a moment")
    kept = tuple(entry for entry in draft.status.rejected if entry.hash != wanted.hash)
    return _applied(draft.with_status(rejected=kept), f"{wanted.model_version} starts again at the first step")


def _pause(draft: Draft, _snapshot: Snapshot, request: Request, _now: datetime) -> Answer:
    if draft.status.paused_by is not None:
        return _refused(draft, f"paused already, by request {draft.status.paused_by}")
    return _applied(draft.with_status(paused_by=request.id), "weights are frozen; failing gates still take back")


def _resume(draft: Draft, snapshot: Snapshot, _request: Request, _now: datetime) -> Answer:
    if draft.status.paused_by is None:
        hint = "; `spec.paused` is true and must be set to false" if snapshot.spec.paused else ""
        return _refused(draft, f"not paused by a request{hint}")
    still = "; `spec.paused` still holds it" if snapshot.spec.paused else ""
    return _applied(draft.with_status(paused_by=None), f"resumed{still}")


def _applied(draft: Draft, message: str) -> Answer:
    return Answer(draft, RequestResult.APPLIED, message)


def _refused(draft: Draft, message: str) -> Answer:
    return Answer(draft, RequestResult.REFUSED, message)


_HANDLERS: dict[RequestAction, Callable[[Draft, Snapshot, Request, datetime], Answer]] = {
    RequestAction.PROMOTE: _promote,
    RequestAction.ABORT: _abort,
    RequestAction.RETRY: _retry,
    RequestAction.ROLLBACK: _rollback,
    RequestAction.PAUSE: _pause,
    RequestAction.RESUME: _resume,
}
