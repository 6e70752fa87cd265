"""Reasons to take a revision back.

They are decided before anything else is looked at, and none of them waits for a metrics store, a registry or a mesh
that does not answer.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from millgate.api.conditions import Reason
from millgate.api.defaults import guardrails_of
from millgate.api.spec import OnFail
from millgate.api.status import Outcome, RolloutStatus, Stage, Track
from millgate.rollout.baseline import baseline_is_ready, wanted_baseline
from millgate.rollout.failures import failures
from millgate.rollout.sizes import candidate_size
from millgate.rollout.snapshot import Crash, ObservedRevision, Snapshot
from millgate.rollout.steps import index_in, live_weight, steps_in_force


@dataclass(frozen=True)
class TakeBack:
    """The decision that a revision must give its traffic back."""

    reason: Reason
    message: str
    outcome: Outcome = Outcome.ROLLED_BACK

    @property
    def rejects(self) -> bool:
        """A revision that somebody merely replaced is not bad: only a rejected one stays out."""
        return self.outcome is not Outcome.SUPERSEDED


def failed_gate(snapshot: Snapshot, rollout: RolloutStatus) -> TakeBack | None:
    """A gate of the newest step to have begun has failed, and that takes back. After promotion only the guardrails are
    still asked.
    """
    guardrails = {gate.name for gate in guardrails_of(snapshot.spec.rollout)}
    for failure in failures(snapshot.spec, rollout, snapshot.verdicts):
        if failure.does is OnFail.ROLLBACK:
            reason = Reason.GUARDRAIL_BREACHED if failure.gate.name in guardrails else Reason.ANALYSIS_FAILED
            return TakeBack(reason, failure.sentence)
    return None


def crashed(observed: ObservedRevision | None, rollout: RolloutStatus) -> TakeBack | None:
    """A container of the revision has ended by itself since the revision got live traffic.

    Kubernetes gives the time of a crash in whole seconds, so one in the second in which traffic began is not counted.
    """
    since = rollout.traffic_start_time
    if observed is None or since is None:
        return None
    crash = next((crash for crash in observed.crashes if crash.time > since), None)
    return TakeBack(Reason.CANDIDATE_CRASHED, _crash_sentence(crash)) if crash else None


def _crash_sentence(crash: Crash) -> str:
    return f"{crash.reason}: pod {crash.pod}: {crash.message}"[:1024]


def unavailable(snapshot: Snapshot, serving: Track, fallback: Track | None) -> TakeBack | None:
    """All traffic goes to a revision that has lost every pod, while another one could answer."""
    if fallback is None or not snapshot.route.hashes or snapshot.route.hashes != {serving.hash}:
        return None
    if ready_pods(snapshot, serving) > 0 or ready_pods(snapshot, fallback) == 0:
        return None
    return TakeBack(Reason.CANDIDATE_UNAVAILABLE, f"no pod of {serving.workload_name} is ready")


def overdue(snapshot: Snapshot, rollout: RolloutStatus, now: datetime) -> TakeBack | None:
    """Pods have not become ready within `progressDeadlineSeconds`, counted from when the step began to wait."""
    since = rollout.step_pending_time
    limit = snapshot.spec.rollout.progress_deadline_seconds
    if since is None or now < since + timedelta(seconds=limit) or _has_its_pods(snapshot, rollout):
        return None
    return TakeBack(Reason.PROGRESS_DEADLINE_EXCEEDED, f"not ready after {limit} s{_why_not_ready(snapshot, rollout)}")


def _has_its_pods(snapshot: Snapshot, rollout: RolloutStatus) -> bool:
    """The step waits for something else than pods: a pause, or the pods of a revision that is on its way out."""
    candidate = snapshot.status.candidate
    if candidate is None or rollout.stage is not Stage.STEPPING:
        return False
    steps = steps_in_force(snapshot.spec, snapshot.status)
    enough = ready_pods(snapshot, candidate) >= candidate_size(snapshot.spec, steps, index_in(steps, rollout))
    return enough and baseline_is_ready(snapshot, snapshot.status)


def _why_not_ready(snapshot: Snapshot, rollout: RolloutStatus) -> str:
    candidate = snapshot.status.candidate
    observed = snapshot.revisions.get(candidate.hash) if candidate else None
    if observed is not None and observed.problem is not None:
        return f": {observed.problem.reason}: {observed.problem.message}"
    wanted = wanted_baseline(snapshot, snapshot.status)
    baseline = snapshot.baselines.get(wanted.hash) if wanted else None
    if baseline is not None and baseline.problem is not None:
        return f": baseline of stable: {baseline.problem.reason}: {baseline.problem.message}"
    if rollout.stage is Stage.PREPARING and snapshot.preflight is not None and snapshot.preflight.message:
        return f": {snapshot.preflight.message}"
    return ""


def superseded(snapshot: Snapshot, candidate: Track, stable: Track | None) -> TakeBack | None:
    """`spec` asks for another revision than the one in flight."""
    wanted = snapshot.target.revision
    if wanted is None or wanted.hash == candidate.hash:
        return None
    if stable is not None and wanted.hash == stable.hash:
        return TakeBack(
            Reason.REVERTED, f"spec asks for {wanted.model_version} again, which is stable", Outcome.SUPERSEDED
        )
    return TakeBack(Reason.SUPERSEDED, f"spec asks for {wanted.model_version} now", Outcome.SUPERSEDED)


def candidate_must_go(snapshot: Snapshot, rollout: RolloutStatus, candidate: Track, now: datetime) -> TakeBack | None:
    """The first reason to take back a candidate in flight, the strongest evidence first."""
    stable = snapshot.status.stable
    if stable is None:
        # The first revision has nothing to be compared with and nobody to give its traffic back to. Once it answers
        # requests it is promoted before it is replaced; until then its pods keep trying and the status says stalled.
        return superseded(snapshot, candidate, None) if live_weight(rollout) == 0 else None
    has_traffic = live_weight(rollout) > 0
    return (
        failed_gate(snapshot, rollout)
        or (crashed(snapshot.revisions.get(candidate.hash), rollout) if has_traffic else None)
        or unavailable(snapshot, candidate, stable)
        or superseded(snapshot, candidate, stable)
        or overdue(snapshot, rollout, now)
    )


def promoted_must_go(snapshot: Snapshot, rollout: RolloutStatus, stable: Track, warm: Track) -> TakeBack | None:
    """The first reason to go back to the warm revision after promotion."""
    if ready_pods(snapshot, warm) == 0:
        return None
    return (
        failed_gate(snapshot, rollout)
        or crashed(snapshot.revisions.get(stable.hash), rollout)
        or unavailable(snapshot, stable, warm)
    )


def ready_pods(snapshot: Snapshot, track: Track) -> int:
    observed = snapshot.revisions.get(track.hash)
    return observed.ready if observed else 0
