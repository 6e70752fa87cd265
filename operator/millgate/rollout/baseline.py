"""The baseline: fresh pods of the stable revision, as many as the candidate's, for gates that compare with them.

They get live requests as a part of stable's share. A route that is pinned to one revision leaves them out.
"""

from dataclasses import dataclass

from millgate.api.defaults import needs_baseline
from millgate.api.spec import Step
from millgate.api.status import RolloutStatus, Stage, Status
from millgate.rollout.sizes import candidate_size
from millgate.rollout.snapshot import Snapshot
from millgate.rollout.steps import index_in, steps_in_force


@dataclass(frozen=True)
class WantedBaseline:
    """`hash`: the revision of which these pods are fresh ones."""

    hash: str
    replicas: int


def wanted_baseline(snapshot: Snapshot, status: Status) -> WantedBaseline | None:
    """What the step in hand needs; until that step begins also what the one before it is still judged by."""
    rollout, stable = status.rollout, status.stable
    if rollout is None or stable is None or rollout.stage is not Stage.STEPPING:
        return None
    steps = steps_in_force(snapshot.spec, status)
    index = index_in(steps, rollout)
    if needs_baseline(snapshot.spec.rollout, steps[index]):
        return WantedBaseline(stable.hash, candidate_size(snapshot.spec, steps, index))
    there = snapshot.baselines.get(stable.hash)
    live = _live_step(steps, rollout)
    if there is None or rollout.step_start_time is not None or not needs_baseline(snapshot.spec.rollout, live):
        return None
    return WantedBaseline(stable.hash, there.desired_replicas)


def baseline_is_ready(snapshot: Snapshot, status: Status) -> bool:
    """All pods that the step needs to compare with are ready, or it needs none."""
    wanted = wanted_baseline(snapshot, status)
    if wanted is None:
        return True
    there = snapshot.baselines.get(wanted.hash)
    return there is not None and there.ready >= wanted.replicas


def leftover_baselines(snapshot: Snapshot, status: Status) -> tuple[str, ...]:
    """Revisions with baseline pods that nobody needs any longer."""
    wanted = wanted_baseline(snapshot, status)
    return tuple(sorted(hash_ for hash_ in snapshot.baselines if wanted is None or hash_ != wanted.hash))


def _live_step(steps: tuple[Step, ...], rollout: RolloutStatus) -> Step:
    """The newest step to have begun, with the weight that it began with."""
    if not rollout.steps:
        return Step(name="none", weight_percent=0)
    record = rollout.steps[-1]
    named = next((step for step in steps if step.name == record.name), None)
    gates = named.gates if named is not None else None
    return Step(name=record.name, weight_percent=record.weight_percent, gates=gates)
