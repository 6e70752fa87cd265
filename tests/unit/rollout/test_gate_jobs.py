"""A gate with a Job is asked once its step has opened, with all that a check needs to know of both revisions."""

from millgate.rollout.plan import Plan, RunGateJob

from .world import World, make_spec

CHECK = {"name": "accuracy", "type": "Job", "job": {"preset": "Accuracy"}}
STEPS = [
    {"name": "checks", "weightPercent": 0, "gates": [CHECK]},
    {"name": "all", "weightPercent": 100},
]


def jobs_of(made: Plan) -> list[RunGateJob]:
    assert not [action for action in made.actions if isinstance(action, RunGateJob)], "not before status has the visit"
    return [action for action in made.then if isinstance(action, RunGateJob)]


def settle(world: World) -> None:
    world.settle()
    world.finish_preflights(0)
    world.settle()


def test_a_check_is_told_of_both_revisions_with_the_content_that_their_preflights_saw() -> None:
    world = World(make_spec("1", steps=STEPS, gates=[]))
    settle(world)
    assert jobs_of(world.reconcile()) == [], "the first version is asked nothing"
    world.set_version("2")
    settle(world)
    (asked,) = jobs_of(world.reconcile())
    status = world.status
    assert status.stable is not None
    assert status.candidate is not None
    assert (asked.gate.name, asked.step) == ("accuracy", "checks")
    assert (asked.revision.model_version, asked.digest) == ("2", status.candidate.digest)
    assert asked.stable is not None
    assert (asked.stable.model_version, asked.stable_hash) == ("1", status.stable.hash)
    assert asked.stable_digest == status.stable.digest is not None
