"""A ModelDeployment on its way: released, at a step, promoted. What tests of whole releases begin with."""

from millgate.api.status import Stage, Verdict

from .world import World, make_spec

ERRORS = {"name": "errors", "type": "Compare", "compare": {"preset": "Errors"}}
STEPS = [
    {"name": "canary-20", "weightPercent": 20, "minSeconds": 60},
    {"name": "half", "weightPercent": 50, "minSeconds": 60},
    {"name": "all", "weightPercent": 100},
]


def released(version: str = "1", **rollout: object) -> World:
    """A ModelDeployment whose first version serves."""
    settings: dict[str, object] = {"steps": STEPS, "gates": [ERRORS], "keepWarmSeconds": 600} | rollout
    world = World(make_spec(version, **settings))
    world.verdicts["errors"] = Verdict.PASS
    first_pass(world)
    assert world.condition("Ready") == ("True", "Promoted")
    return world


def first_pass(world: World) -> None:
    world.settle()
    world.finish_preflights(0)
    world.settle()


def at_step(world: World, version: str, step: str) -> World:
    """The version is on its way and has opened this step."""
    world.set_version(version)
    first_pass(world)
    while world.status.rollout is not None and world.status.rollout.step_name != step:
        world.wait(61)
        world.settle()
    assert world.status.rollout is not None
    assert world.status.rollout.stage is Stage.STEPPING
    return world


def promoted(version: str = "2", **rollout: object) -> World:
    world = at_step(released(**rollout), version, "half")
    world.wait(61)
    world.settle()
    assert world.status.stable is not None
    assert world.status.stable.model_version == version
    return world
