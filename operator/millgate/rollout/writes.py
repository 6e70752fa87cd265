"""The writes that a status asks for, in an order that keeps the promises.

They are repeated on every call and cost nothing where they hold already.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from millgate.api.names import visit_of
from millgate.api.revision import Revision
from millgate.api.spec import GateType, Step
from millgate.api.status import RolloutStatus, Stage, Status, Track
from millgate.rollout.advance import needs_preflight
from millgate.rollout.baseline import leftover_baselines, wanted_baseline
from millgate.rollout.guards import ready_pods
from millgate.rollout.plan import (
    Action,
    EnsureBaseline,
    EnsureRevision,
    RemoveBaseline,
    Retire,
    Route,
    RunGateJob,
    RunPreflight,
    Scale,
    StopJobs,
)
from millgate.rollout.sizes import candidate_size, stable_size
from millgate.rollout.snapshot import Snapshot
from millgate.rollout.steps import index_in, live_weight, steps_in_force


@dataclass(frozen=True)
class Writes:
    """`first` may happen before the status is stored, `then` only after."""

    first: tuple[Action, ...] = ()
    then: tuple[Action, ...] = ()


def writes_for(snapshot: Snapshot, status: Status) -> Writes:
    """What the cluster should look like for this status."""
    stage = status.rollout.stage if status.rollout else None
    match stage:
        case None | Stage.PROMOTING:
            writes = _settled(snapshot, status)
        case Stage.PREPARING:
            writes = _preparing(snapshot, status)
        case Stage.STEPPING:
            writes = _stepping(snapshot, status)
        case Stage.ROLLING_BACK:
            writes = _rolling_back(snapshot, status)
    return Writes(
        writes.first, (*writes.then, *_clearing(snapshot, status), *_without_baseline(snapshot, status, writes))
    )


def _settled(snapshot: Snapshot, status: Status) -> Writes:
    stable, warm = status.stable, status.previous
    if stable is None:
        return Writes()
    kept = (Scale(warm.hash, stable_size(snapshot.spec)),) if warm and warm.hash in snapshot.revisions else ()
    return Writes((*_all_to(snapshot, stable), *_ensure_stable(snapshot, stable), *kept))


def _preparing(snapshot: Snapshot, status: Status) -> Writes:
    first: tuple[Action, ...] = ()
    if status.stable is not None:
        first = (*_all_to(snapshot, status.stable), *_ensure_stable(snapshot, status.stable))
    revision = _revision(snapshot, status.candidate)
    rollout = status.rollout
    if revision is None or rollout is None or status.candidate is None or not needs_preflight(snapshot, status):
        return Writes(first)
    if rollout.preflight_attempt == 0 or rollout.preflight_retry_time is not None:
        return Writes(first)
    return Writes((*first, RunPreflight(revision, status.candidate.digest, rollout.preflight_attempt)))


def _stepping(snapshot: Snapshot, status: Status) -> Writes:
    rollout, candidate, stable = status.rollout, status.candidate, status.stable
    if rollout is None or candidate is None:
        return Writes()
    steps = steps_in_force(snapshot.spec, status)
    index = index_in(steps, rollout)
    first: list[Action] = []
    weight = live_weight(rollout)
    if stable is not None:
        if weight == 0:
            first += _all_to(snapshot, stable)
        first += _ensure_stable(snapshot, stable)
    revision = _revision(snapshot, candidate)
    if revision is not None:
        size = candidate_size(snapshot.spec, steps, index)
        first.append(EnsureRevision(revision, candidate.digest, size, candidate.fingerprint))
    first += _ensure_baseline(snapshot, status)
    if rollout.step_start_time is None:
        return Writes(tuple(first))
    return Writes(
        tuple(first),
        (*_to_candidate(snapshot, stable, candidate, weight), *_gate_jobs(snapshot, status, rollout, steps[index])),
    )


def _to_candidate(snapshot: Snapshot, stable: Track | None, candidate: Track, weight: int) -> tuple[Action, ...]:
    """Traffic for the candidate: only what its step has opened, and never to it alone while it has no pods."""
    if weight == 0:
        return ()
    if weight < 100 and stable is not None:
        return (Route(((stable.hash, 100 - weight), (candidate.hash, weight))),)
    return _all_to(snapshot, candidate)


def _gate_jobs(snapshot: Snapshot, status: Status, rollout: RolloutStatus, step: Step) -> tuple[Action, ...]:
    candidate, stable = status.candidate, status.stable
    revision = _revision(snapshot, candidate)
    if candidate is None or revision is None or rollout.step_start_time is None:
        return ()
    visit = visit_of(rollout.step_start_time)
    return tuple(
        RunGateJob(
            gate,
            step.name,
            revision,
            stable.hash if stable else None,
            visit,
            digest=candidate.digest,
            stable=_revision(snapshot, stable),
            stable_digest=stable.digest if stable else None,
        )
        for gate in step.gates or ()
        if gate.type is GateType.JOB
    )


def _rolling_back(snapshot: Snapshot, status: Status) -> Writes:
    """The route first, and alone: whatever else there is to do waits until traffic is back and the decision stored."""
    loser, stable = status.candidate, status.stable
    if loser is None:
        return Writes()
    stop: tuple[Action, ...] = (StopJobs(loser.hash),)
    down: tuple[Action, ...] = (Scale(loser.hash, 0),) if loser.hash in snapshot.revisions else ()
    if stable is None:
        return Writes((), (*stop, *down))
    route = _all_to(snapshot, stable)
    if not route and loser.hash in snapshot.route.hashes:
        # Stable has no pod that is ready and the loser has: it answers until stable is back.
        return Writes(tuple(_ensure_stable(snapshot, stable)), stop)
    return Writes((*route, *_ensure_stable(snapshot, stable)), (*down, *stop))


def _all_to(snapshot: Snapshot, track: Track) -> tuple[Action, ...]:
    """All traffic to one revision, unless it has no pod that is ready while another one has."""
    if ready_pods(snapshot, track) == 0 and any(seen.ready > 0 for seen in snapshot.revisions.values()):
        return ()
    return (Route(((track.hash, 100),)),)


def _ensure_stable(snapshot: Snapshot, stable: Track) -> tuple[Action, ...]:
    size = stable_size(snapshot.spec)
    revision = _revision(snapshot, stable)
    if revision is None:
        return ()
    return (EnsureRevision(revision, stable.digest, size, stable.fingerprint),)


def _ensure_baseline(snapshot: Snapshot, status: Status) -> tuple[Action, ...]:
    wanted, revision = wanted_baseline(snapshot, status), _revision(snapshot, status.stable)
    if wanted is None or revision is None or status.stable is None:
        return ()
    return (EnsureBaseline(revision, status.stable.digest, wanted.replicas),)


def _without_baseline(snapshot: Snapshot, status: Status, writes: Writes) -> tuple[Action, ...]:
    """A baseline that nobody needs goes, but on the way back not before the route leaves it out: while stable has no
    pod that is ready, the baseline may be all that answers for it.
    """
    stepping = status.rollout is not None and status.rollout.stage is Stage.STEPPING
    pinned = any(isinstance(action, Route) and len(action.weights) == 1 for action in writes.first)
    if not (stepping or pinned or len(snapshot.route.hashes) <= 1):
        return ()
    return tuple(RemoveBaseline(hash_) for hash_ in leftover_baselines(snapshot, status))


def _revision(snapshot: Snapshot, track: Track | None) -> Revision | None:
    """What a track is made of: as its Deployment remembers it, else as spec resolves to it."""
    if track is None:
        return None
    observed = snapshot.revisions.get(track.hash)
    if observed is not None:
        return observed.revision
    wanted = snapshot.target.revision
    return wanted if wanted is not None and wanted.hash == track.hash else None


def _clearing(snapshot: Snapshot, status: Status) -> tuple[Action, ...]:
    """Revisions that play no part: to zero at once unless the route still names them, and in time deleted."""
    parts = {track.hash for track in (status.stable, status.candidate, status.previous) if track}
    idle = [hash_ for hash_ in _newest_first(snapshot, status) if hash_ not in parts]
    down = [
        Scale(hash_, 0)
        for hash_ in idle
        if snapshot.revisions[hash_].desired_replicas > 0 and snapshot.route.hashes != {hash_}
    ]
    beyond = idle[snapshot.spec.rollout.revision_history_limit :]
    gone = [
        Retire(hash_) for hash_ in beyond if snapshot.revisions[hash_].pods == 0 and hash_ not in snapshot.route.hashes
    ]
    return (*down, *gone, *_leftover_jobs(snapshot, status))


def _leftover_jobs(snapshot: Snapshot, status: Status) -> tuple[Action, ...]:
    """Jobs of a rollout that is over: their answers must not be taken for those of the next one of the same hash."""
    in_flight = {status.candidate.hash} if status.candidate else set()
    return tuple(StopJobs(hash_) for hash_ in sorted(set(snapshot.revisions) - in_flight))


def _newest_first(snapshot: Snapshot, status: Status) -> Sequence[str]:
    order = {entry.hash: entry.revision for entry in reversed(status.history)}
    return sorted(snapshot.revisions, key=lambda hash_: (-order.get(hash_, 0), hash_))
