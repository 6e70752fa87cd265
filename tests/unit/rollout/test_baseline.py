"""The baseline: made before a step that compares with it, as large as the candidate, gone when the rollout is over."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millgate.api.request import RequestAction
from millgate.api.status import Stage, Verdict
from millgate.rollout.core import plan
from millgate.rollout.plan import RemoveBaseline, Route
from millgate.rollout.sizes import pods_for_weight

from .world import OPEN, World, make_spec

FRESH = {"name": "errors", "type": "Compare", "compare": {"preset": "Errors", "reference": "Baseline"}}
STEPS = [
    {"name": "preview", "weightPercent": 0},
    {"name": "canary-20", "weightPercent": 20, "minSeconds": 60},
    {"name": "quarter", "weightPercent": 25, "minSeconds": 60},
    {"name": "all", "weightPercent": 100, "minSeconds": 60},
]


def released(**rollout: object) -> World:
    policy: dict[str, object] = {"steps": STEPS, "gates": [FRESH], "keepWarmSeconds": 600} | rollout
    spec = make_spec("1", **policy).model_copy(update={"replicas": 12})
    world = World(spec)
    world.verdicts["errors"] = Verdict.PASS
    settle(world)
    assert world.baselines == {}
    return world


def settle(world: World) -> None:
    world.settle()
    world.finish_preflights(0)
    world.settle()


def at(step: str, **rollout: object) -> World:
    world = released(**rollout)
    world.set_version("2")
    settle(world)
    while world.status.rollout is None or world.status.rollout.step_name != step:
        world.wait(61)
        world.settle()
    return world


def sizes(world: World) -> tuple[int, int, int]:
    """Pods of stable, of its baseline and of the candidate."""
    baseline = world.baselines.get(world.hash_of("1"))
    return (
        world.workloads[world.hash_of("1")].desired,
        baseline.desired if baseline else 0,
        world.workloads[world.hash_of("2")].desired,
    )


def test_it_is_as_large_as_the_candidate_and_the_share_is_that_of_the_step() -> None:
    world = at("canary-20")
    assert sizes(world) == (12, 4, 4)
    assert world.status.candidate is not None
    assert world.status.stable is not None
    shares = world.status.stable.observed_weight_percent, world.status.candidate.observed_weight_percent
    assert shares == (80, 20), "the baseline's requests are a part of stable's share"
    world.wait(61)
    world.settle()
    assert sizes(world) == (12, 6, 6)
    assert world.baselines[world.hash_of("1")].digest == world.workloads[world.hash_of("1")].digest


def candidate_ready_and_baseline_not(**rollout: object) -> World:
    world = released(**rollout)
    world.pods_come_by_themselves = False
    world.set_version("2")
    for _ in range(6):
        world.settle()
        world.finish_preflights(0)
        for workload in world.workloads.values():
            workload.ready = workload.desired
    return world


def test_a_step_counts_from_when_its_baseline_is_ready() -> None:
    world = candidate_ready_and_baseline_not()
    assert world.status.rollout is not None
    assert [step.name for step in world.status.rollout.steps] == ["preview"]
    world.wait(30)
    world.pods_become_ready()
    world.reconcile()
    assert [step.name for step in world.status.rollout.steps] == ["preview", "canary-20"]
    assert world.status.rollout.step_start_time == world.now


def test_pods_of_the_baseline_that_do_not_become_ready_end_the_rollout_at_its_deadline() -> None:
    world = candidate_ready_and_baseline_not(progressDeadlineSeconds=120)
    assert world.route == world.hash_of("1")
    assert world.condition("Reconciling") == ("True", "ScalingUp")
    said = next(one.message for one in world.status.conditions if one.type == "Reconciling")
    assert said == "step canary-20 waits for its pods and those of the baseline"
    world.wait(121)
    world.settle()
    assert world.condition("Stalled") == ("True", "ProgressDeadlineExceeded")
    assert world.baselines == {}


def test_a_way_back_is_one_write_that_leaves_the_baseline_out() -> None:
    world = at("canary-20")
    world.verdicts["errors"] = Verdict.FAIL
    made = plan(world.snapshot(), world.now)
    assert made.actions[0] == Route(((world.hash_of("1"), 100),))
    assert RemoveBaseline(world.hash_of("1")) not in made.actions
    assert RemoveBaseline(world.hash_of("1")) in made.then
    world.settle()
    assert world.route == world.hash_of("1")
    assert world.baselines == {}


def test_it_stays_while_the_route_cannot_leave_it_out() -> None:
    world = at("canary-20")
    world.pods_come_by_themselves = False
    world.workloads[world.hash_of("1")].ready = 0
    world.ask(RequestAction.ABORT, "no")
    world.settle()
    assert world.route == OPEN
    assert world.baselines[world.hash_of("1")].ready == 4, "it is all that answers for stable"
    world.pods_become_ready()
    world.settle()
    assert world.route == world.hash_of("1")
    assert world.baselines == {}


def test_it_is_gone_when_the_candidate_has_all_traffic() -> None:
    world = at("all")
    assert world.route == world.hash_of("2")
    assert world.baselines == {}
    assert world.status.rollout is not None
    assert world.status.rollout.stage is Stage.STEPPING


def test_it_serves_on_while_the_last_step_waits_for_its_pods() -> None:
    world = at("quarter")
    world.pods_come_by_themselves = False
    world.wait(61)
    world.settle()
    assert world.status.rollout is not None
    assert (world.status.rollout.step_name, world.status.rollout.step_start_time) == ("all", None)
    assert sizes(world) == (12, 6, 12)


def test_a_newer_version_takes_it_away_before_its_own_is_made() -> None:
    world = at("canary-20")
    world.set_version("3")
    world.settle()
    assert world.baselines == {}
    settle(world)
    assert world.status.candidate is not None
    assert world.status.candidate.model_version == "3"
    assert list(world.baselines) == [world.hash_of("1")]


def test_without_a_gate_that_needs_it_there_is_none() -> None:
    world = at("canary-20")
    plain = {"name": "errors", "type": "Compare", "compare": {"preset": "Errors"}}
    edited = make_spec("2", steps=STEPS, gates=[plain], keepWarmSeconds=600)
    world.apply(edited.model_copy(update={"replicas": 12}))
    world.settle()
    assert world.baselines == {}
    assert sizes(world) == (12, 0, 3)


def test_one_that_was_left_behind_by_another_revision_is_removed() -> None:
    world = released()
    stray = world.hash_of("7")
    world.baselines[stray] = world.workloads[world.hash_of("1")]
    world.baselines[stray] = type(world.baselines[stray])(world.baselines[stray].revision, "sha256:x", 3, 3)
    world.settle()
    assert world.baselines == {}


@settings(deadline=None)
@given(st.integers(1, 1000), st.integers(1, 99), st.booleans())
def test_pod_counts_come_nearest_to_the_share_and_the_candidate_never_outgrows_stable(
    stable: int,
    weight: int,
    with_baseline: bool,  # noqa: FBT001 - drawn
) -> None:
    def share(candidate: float) -> float:
        baseline = candidate if with_baseline else 0
        return 100 * candidate / (stable + candidate + baseline)

    pods = pods_for_weight(stable, weight, with_baseline=with_baseline)
    assert 1 <= pods <= stable
    assert pods == 1 or share(pods - 0.5) <= weight + 1e-9
    assert pods == stable or share(pods + 0.5) >= weight - 1e-9


@pytest.mark.parametrize(
    ("weight", "without", "beside_a_baseline"),
    [(10, 1, 2), (20, 3, 4), (25, 4, 6), (33, 6, 12), (34, 6, 12), (50, 12, 12)],
)
def test_a_baseline_asks_for_a_larger_candidate(weight: int, without: int, beside_a_baseline: int) -> None:
    assert pods_for_weight(12, weight) == without
    assert pods_for_weight(12, weight, with_baseline=True) == beside_a_baseline
