"""`plan`: the one entry to the core. Decide first, then derive the writes, then say what is so."""

from datetime import datetime

from millgate.rollout.advance import advance
from millgate.rollout.freshness import with_fresh_verdicts
from millgate.rollout.plan import Plan
from millgate.rollout.record import recorded
from millgate.rollout.report import next_look_seconds, with_figures
from millgate.rollout.snapshot import Snapshot
from millgate.rollout.summary import conditions_of
from millgate.rollout.writes import writes_for


def plan(snapshot: Snapshot, now: datetime) -> Plan:
    """What to do now about one ModelDeployment.

    Aborts, deadlines and verdicts are decided before anything is said about traffic, and the status that comes of it is
    stored whether or not the writes succeed. Calling it again on what it has brought about changes nothing.
    """
    snapshot = with_fresh_verdicts(snapshot, now)
    decided = recorded(advance(snapshot, now), snapshot)
    writes = writes_for(snapshot, decided.status)
    figured = with_figures(decided, snapshot, now)
    status = figured.status.model_copy(update={"conditions": conditions_of(snapshot, figured.status, now)})
    return Plan(
        actions=writes.first,
        status=status,
        then=writes.then,
        events=figured.events,
        requeue_after_seconds=next_look_seconds(status, now),
    )
