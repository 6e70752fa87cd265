"""What an ended rollout leaves behind is enough to read its evidence again."""

import pytest

from millgate.api.policy import policy_digest
from millgate.api.request import RequestAction
from millgate.api.spec import Rollout
from millgate.api.status import Outcome, Verdict

from .releases import ERRORS, at_step, promoted, released


def test_a_promoted_rollout_tells_its_steps_whom_it_was_held_against_and_the_policy() -> None:
    world = promoted()
    entry = world.status.history[0]
    assert entry.outcome is Outcome.PROMOTED
    assert [(step.name, step.weight_percent) for step in entry.steps] == [("canary-20", 20), ("half", 50), ("all", 100)]
    assert entry.stable_hash == world.hash_of("1")
    assert entry.policy == policy_digest(world.spec.rollout)


def test_one_that_was_taken_back_tells_the_steps_that_had_begun() -> None:
    world = at_step(released(), "2", "half")
    world.verdicts["errors"] = Verdict.FAIL
    world.settle()
    entry = world.status.history[0]
    assert (entry.outcome, entry.stable_hash) == (Outcome.ROLLED_BACK, world.hash_of("1"))
    assert [step.name for step in entry.steps] == ["canary-20", "half"]


def test_one_that_is_taken_back_after_promotion_was_held_against_the_revision_before() -> None:
    world = promoted()
    world.ask(RequestAction.ROLLBACK, "back")
    world.settle()
    newest, earlier = world.status.history[:2]
    assert newest.outcome is not Outcome.PROMOTED
    assert (newest.hash, newest.stable_hash) == (world.hash_of("2"), world.hash_of("1"))
    assert newest.steps == earlier.steps


def test_the_first_revision_was_held_against_nothing() -> None:
    entry = released().status.history[0]
    assert entry.stable_hash is None


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"gates": [ERRORS], "intervalSeconds": 15}, True),
        ({"gates": [ERRORS], "intervalSeconds": 30}, False),
        ({"gates": [{**ERRORS, "compare": {"preset": "Errors", "maxRatio": "1.5"}}]}, False),
    ],
)
def test_the_name_of_a_policy_changes_with_what_it_says(changed: dict[str, object], *, same: bool) -> None:
    before = policy_digest(Rollout.model_validate({"gates": [ERRORS]}))
    assert (policy_digest(Rollout.model_validate(changed)) == before) is same
