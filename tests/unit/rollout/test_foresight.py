"""Before a version is released it is said which steps are too short to tell anything, from what earlier ones saw."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millgate.api.spec import Rollout
from millgate.api.status import Detection, GateStatus, RolloutStatus, Stage, Status, StepRecord, Verdict
from millgate.gates.detection import DOUBLE, Traffic, seconds_to_see
from millgate.rollout.core import plan
from millgate.rollout.foresight import remembered, short_steps

from .world import EPOCH, World, make_spec

ERRORS = {"name": "errors", "type": "Compare", "compare": {"preset": "Errors"}}
LATENCY = {"name": "latency", "type": "Compare", "compare": {"preset": "Latency"}}


def policy(*lasting: tuple[int, int], gates: tuple[dict, ...] = (ERRORS,)) -> Rollout:
    """`lasting`: weight and least seconds of each step."""
    steps = [{"name": f"w{weight}", "weightPercent": weight, "minSeconds": seconds} for weight, seconds in lasting]
    return Rollout.model_validate(
        {"steps": [*steps, {"name": "all", "weightPercent": 100}], "gates": list(gates)},
    )


def at_ten(seconds: int, gate: str = "errors") -> Detection:
    return Detection(gate=gate, weight_percent=10, seconds=seconds)


@pytest.mark.parametrize(
    ("rollout", "known", "short"),
    [
        (policy((10, 300)), (at_ten(299),), []),
        (policy((10, 300)), (at_ten(301),), ["w10"]),
        (policy((5, 300), (10, 300), (50, 300)), (at_ten(310),), ["w5", "w10"]),
        (policy((0, 10), (10, 300)), (at_ten(100),), []),
        (policy((10, 300)), (), []),
        (policy((10, 300)), (at_ten(4000, "another"),), []),
        (policy((10, 300), gates=(ERRORS, LATENCY)), (at_ten(4000), at_ten(200, "latency")), []),
        (policy((10, 300), gates=(ERRORS, LATENCY)), (at_ten(4000), at_ten(900, "latency")), ["w10"]),
        (policy((10, 300), gates=(ERRORS, LATENCY)), (at_ten(4000),), ["w10"]),
        (policy((10, 300), gates=()), (at_ten(4000),), []),
    ],
)
def test_a_step_is_short_when_no_compare_gate_of_known_speed_would_see_a_doubling(
    rollout: Rollout, known: tuple[Detection, ...], short: list[str]
) -> None:
    assert [step.step for step in short_steps(rollout, known)] == short


def test_it_is_said_how_long_the_quickest_gate_needs() -> None:
    rollout = policy((10, 300), gates=(ERRORS, LATENCY))
    (short,) = short_steps(rollout, (at_ten(7300), at_ten(4000, "latency")))
    assert str(short) == "step w10 (300 s) is too short to see a doubling: latency needs about 67 min"


@settings(deadline=None)
@given(st.floats(0.01, 1000), st.floats(0.0001, 0.2), st.integers(1, 99), st.integers(1, 99))
def test_what_one_weight_needs_is_reckoned_for_another_one(rate: float, share: float, known: int, asked: int) -> None:
    def needed(weight: int) -> float:
        seconds = seconds_to_see(DOUBLE, Traffic(rate, share, weight / 100), alpha=0.005, rho=1.2)
        assert seconds is not None
        return seconds

    at_known = Detection(gate="errors", weight_percent=known, seconds=round(needed(known)))
    (short,) = short_steps(policy((asked, 0)), (at_known,)) or (None,)
    if at_known.seconds >= 100:
        assert short is not None
        assert short.needed_seconds == pytest.approx(needed(asked), rel=0.01)


def test_what_a_step_showed_replaces_what_was_known_of_its_gates() -> None:
    rollout = RolloutStatus(
        id="fraud-2-r1",
        stage=Stage.STEPPING,
        start_time=EPOCH,
        stage_start_time=EPOCH,
        steps=(StepRecord(name="w25", weight_percent=25, start_time=EPOCH),),
    )
    gate = GateStatus(
        name="errors", step="w25", verdict=Verdict.PASS, reason="NotWorse", detects_double_after_seconds=70
    )
    status = Status(rollout=rollout, gates=(gate,), detections=(at_ten(900), at_ten(50, "latency")))
    newest = Detection(gate="errors", weight_percent=25, seconds=70)
    assert remembered(status) == (newest, at_ten(50, "latency"))


def test_a_short_step_is_told_by_the_accepted_condition_and_by_one_event() -> None:
    steps = [{"name": "w10", "weightPercent": 10, "minSeconds": 300}, {"name": "all", "weightPercent": 100}]
    world = World(make_spec("1", steps=steps, gates=[ERRORS]))
    world.settle()
    world.finish_preflights(0)
    world.settle()
    world.status = world.status.model_copy(update={"detections": (at_ten(1800),)})
    told = [event.reason for _ in range(3) for event in world.reconcile().events]
    assert told == ["StepTooShort"]
    said = next(one.message for one in world.status.conditions if one.type == "Accepted")
    assert said.endswith("; step w10 (300 s) is too short to see a doubling: errors needs about 30 min")
    assert world.condition("Accepted") == ("True", "Accepted")
    longer = make_spec("1", steps=[{**steps[0], "minSeconds": 1900}, steps[1]], gates=[ERRORS])
    world.apply(longer)
    assert plan(world.snapshot(), world.now).events == ()


def test_what_the_steps_of_a_rollout_saw_is_known_when_the_next_one_is_asked_for() -> None:
    steps = [{"name": "w10", "weightPercent": 10, "minSeconds": 60}, {"name": "all", "weightPercent": 100}]
    world = World(make_spec("1", steps=steps, gates=[ERRORS]))
    world.verdicts["errors"] = Verdict.PASS
    for version in ("1", "2"):
        world.set_version(version)
        world.settle()
        world.finish_preflights(0)
        world.settle()
    seen = tuple(gate.model_copy(update={"detects_double_after_seconds": 500}) for gate in world.status.gates)
    world.status = world.status.model_copy(update={"gates": seen})
    world.set_version("1")
    world.settle()
    assert world.status.rollout is None
    assert world.status.detections == (at_ten(500),)
