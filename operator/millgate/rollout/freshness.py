"""How long a good verdict from metrics counts: until the next ones are overdue.

A metrics store that hangs says nothing for a long time. What it said before that must not end a step.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from millgate.api.conditions import Reason
from millgate.api.defaults import named_gate
from millgate.api.spec import GateType, Rollout
from millgate.api.status import GateStatus, Verdict
from millgate.rollout.snapshot import Snapshot

# A look is made a second after its point of time, times are kept in whole seconds, and an answer takes a while.
_READING_SECONDS = 3.0


def with_fresh_verdicts(snapshot: Snapshot, now: datetime) -> Snapshot:
    """What passed two intervals ago or earlier, and was not looked at since, cannot be told now. A failure stands."""
    policy = snapshot.spec.rollout
    oldest = now - timedelta(seconds=2 * policy.interval_seconds + _READING_SECONDS)
    verdicts = tuple(
        _unknown(one) if _passed_before(one, oldest) and _reads_metrics(policy, one) else one
        for one in snapshot.verdicts
    )
    return replace(snapshot, verdicts=verdicts)


def _reads_metrics(policy: Rollout, verdict: GateStatus) -> bool:
    gate = named_gate(policy, verdict.step, verdict.name)
    return gate is not None and gate.type in {GateType.COMPARE, GateType.QUERY}


def _passed_before(verdict: GateStatus, moment: datetime) -> bool:
    at = verdict.last_check_time
    return verdict.verdict is Verdict.PASS and at is not None and at < moment


def _unknown(verdict: GateStatus) -> GateStatus:
    last = "" if verdict.last_check_time is None else f" since the look at {verdict.last_check_time:%H:%M:%SZ}"
    told = {
        "verdict": Verdict.INCONCLUSIVE,
        "reason": Reason.METRICS_UNAVAILABLE,
        "message": f"the metrics store has not answered{last}, which passed",
    }
    return verdict.model_copy(update=told)
