"""What a person asks for in the middle of a release or after it, and what the answer is."""

import pytest

from millgate.api.request import MalformedRequest, Request, RequestAction
from millgate.api.status import Outcome, RequestResult, Verdict

from .releases import at_step, first_pass, promoted, released


def test_an_abort_returns_all_traffic_and_is_answered() -> None:
    world = at_step(released(), "2", "half")
    world.ask(RequestAction.ABORT, "9f2c")
    world.reconcile()
    assert world.route == world.hash_of("1")
    world.settle()
    assert world.status.last_request is not None
    assert (world.status.last_request.id, world.status.last_request.result) == ("9f2c", RequestResult.APPLIED)
    assert world.condition("RolledBack") == ("True", "AbortedByUser")
    assert world.status.history[0].outcome is Outcome.ABORTED


def test_a_rejected_version_stays_out_until_it_is_asked_for() -> None:
    world = at_step(released(), "2", "half")
    world.ask(RequestAction.ABORT, "one")
    world.settle()
    world.set_version("1")
    world.settle()
    assert world.condition("Ready") == ("True", "Promoted")
    world.set_version("2")
    world.settle()
    assert world.condition("Stalled") == ("True", "RolledBack")
    world.ask(RequestAction.RETRY, "two")
    first_pass(world)
    assert world.status.rollout is not None
    assert world.status.rollout.step_name == "canary-20"


def test_other_bytes_under_the_same_hash_are_refused() -> None:
    world = at_step(released(), "2", "half")
    world.ask(RequestAction.ABORT, "one")
    world.settle()
    world.ask(RequestAction.RETRY, "two")
    world.settle()
    world.finish_preflights(0, digest="sha256:other")
    world.settle()
    assert world.condition("RolledBack") == ("True", "ArtifactChanged")


def test_rollback_after_promotion_goes_to_the_warm_revision_at_once() -> None:
    world = promoted()
    world.ask(RequestAction.ROLLBACK, "back")
    world.reconcile()
    assert world.route == world.hash_of("1"), "one reconcile, one write"
    world.settle()
    assert world.status.stable is not None
    assert world.status.stable.model_version == "1"
    assert world.condition("RolledBack") == ("True", "RolledBackByUser")
    assert world.workloads[world.hash_of("2")].desired == 0


def test_rollback_to_a_cold_revision_waits_for_its_pods() -> None:
    world = promoted()
    world.wait(601)
    world.settle()
    assert world.workloads[world.hash_of("1")].desired == 0
    world.pods_come_by_themselves = False
    world.ask(RequestAction.ROLLBACK, "back")
    world.reconcile()
    world.reconcile()
    assert world.route == world.hash_of("2"), "nothing is ready to take the traffic yet"
    world.pods_come_by_themselves = True
    world.settle()
    assert world.route == world.hash_of("1")
    assert world.workloads[world.hash_of("2")].desired == 0


def test_pausing_freezes_the_weight_but_not_the_guardrails() -> None:
    world = at_step(released(), "2", "canary-20")
    world.ask(RequestAction.PAUSE, "p")
    world.wait(1000)
    world.settle()
    assert world.status.rollout is not None
    assert world.status.rollout.step_name == "canary-20"
    assert world.condition("Paused") == ("True", "PausedByUser")
    world.verdicts["errors"] = Verdict.FAIL
    world.settle()
    assert world.route == world.hash_of("1")


def test_an_approval_waits_for_a_person_and_for_this_rollout_only() -> None:
    steps = [
        {"name": "half", "weightPercent": 50, "gates": [{"name": "owner", "type": "Approval"}]},
        {"name": "all", "weightPercent": 100},
    ]
    world = at_step(released(steps=steps), "2", "half")
    assert world.condition("Paused") == ("True", "AwaitingApproval")
    assert world.condition("Reconciling")[0] == "False"
    world.request = None
    world.ask(RequestAction.PROMOTE, "late")
    world.request = type(world.request)("late", RequestAction.PROMOTE, "fraud-1-other")  # type: ignore[misc]
    world.settle()
    assert world.status.last_request is not None
    assert world.status.last_request.result is RequestResult.REFUSED
    world.ask(RequestAction.PROMOTE, "right")
    world.settle()
    assert world.route == world.hash_of("2")


@pytest.mark.parametrize("action", [RequestAction.PROMOTE, RequestAction.ABORT, RequestAction.ROLLBACK])
def test_a_request_for_the_rollout_before_cannot_hit_the_candidate_that_has_come_since(action: RequestAction) -> None:
    steps = [
        {"name": "half", "weightPercent": 50, "gates": [{"name": "owner", "type": "Approval"}]},
        {"name": "all", "weightPercent": 100},
    ]
    world = at_step(released(steps=steps), "2", "half")
    assert world.status.rollout is not None
    before = world.status.rollout.id
    world.ask(RequestAction.PROMOTE, "in-time")
    world.settle()
    at_step(world, "3", "half")
    world.request = Request("late", action, before)
    world.settle()
    assert world.status.last_request is not None
    assert world.status.last_request.result is RequestResult.REFUSED
    assert world.condition("Ready") == ("False", "AwaitingApproval")


def test_a_request_that_cannot_be_read_is_answered() -> None:
    world = released()
    world.request = MalformedRequest("x1", "Explode", "the first word must be one of Promote")  # type: ignore[assignment]
    world.settle()
    assert world.status.last_request is not None
    assert world.status.last_request.result is RequestResult.REFUSED
