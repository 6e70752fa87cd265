"""A verdict that passed counts until the next one is overdue."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from millgate.api.conditions import Reason
from millgate.api.status import GateStatus, Verdict
from millgate.rollout.core import plan
from millgate.rollout.freshness import with_fresh_verdicts
from millgate.rollout.snapshot import Snapshot

from .releases import ERRORS, STEPS, at_step, released
from .world import World

INTERVAL_SECONDS = 15
OVERDUE_SECONDS = 34


def stepping() -> World:
    return at_step(released(steps=STEPS, gates=[ERRORS], intervalSeconds=INTERVAL_SECONDS), "2", "canary-20")


def said(world: World, verdict: Verdict, at: datetime, name: str = "errors") -> Snapshot:
    status = GateStatus(name=name, step="canary-20", verdict=verdict, reason=Reason.NOT_WORSE, last_check_time=at)
    return replace(world.snapshot(), verdicts=(status,))


@pytest.mark.parametrize(
    ("verdict", "age_seconds", "counts_as"),
    [
        (Verdict.PASS, 2 * INTERVAL_SECONDS, Verdict.PASS),
        (Verdict.PASS, OVERDUE_SECONDS, Verdict.INCONCLUSIVE),
        (Verdict.FAIL, 10 * OVERDUE_SECONDS, Verdict.FAIL),
        (Verdict.INCONCLUSIVE, 10 * OVERDUE_SECONDS, Verdict.INCONCLUSIVE),
    ],
)
def test_only_a_pass_grows_old(verdict: Verdict, age_seconds: int, counts_as: Verdict) -> None:
    world = stepping()
    snapshot = said(world, verdict, world.now - timedelta(seconds=age_seconds))
    assert [one.verdict for one in with_fresh_verdicts(snapshot, world.now).verdicts] == [counts_as]


def test_a_gate_that_reads_no_metrics_stays_passed() -> None:
    world = stepping()
    snapshot = said(world, Verdict.PASS, world.now - timedelta(hours=2), name="benchmark")
    assert with_fresh_verdicts(snapshot, world.now) == snapshot


@pytest.mark.parametrize(("age_seconds", "step"), [(2, "half"), (OVERDUE_SECONDS, "canary-20")])
def test_a_step_does_not_end_on_a_pass_from_before_the_metrics_store_hung(age_seconds: int, step: str) -> None:
    # Given a step whose time is over, and a gate that passed so many seconds ago and has said nothing since
    world = stepping()
    world.wait(61)
    # When the core looks at it
    planned = plan(said(world, Verdict.PASS, world.now - timedelta(seconds=age_seconds)), world.now)
    # Then only a fresh verdict lets it go on
    assert planned.status.rollout is not None
    assert planned.status.rollout.step_name == step


def test_the_status_says_since_when_nothing_was_heard() -> None:
    world = stepping()
    planned = plan(said(world, Verdict.PASS, world.now - timedelta(seconds=OVERDUE_SECONDS)), world.now)
    (gate,) = planned.status.gates
    assert gate.reason == Reason.METRICS_UNAVAILABLE
    assert "has not answered since the look at" in gate.message
