"""Each check that a gate may name passes a good model and fails a bad one, on real pods and before any request reaches
the candidate; the condition and the command line show the figure that failed.
"""

# ruff: noqa: S101  # tests assert

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from e2e.acceptance.checked import GOOD, LARGER, LOWER, NARROWER, SLOWER, UNFAIR
from e2e.acceptance.release import NAME, Release
from e2e.acceptance.world import World
from e2e.demo import stack

REPLICAS = 1
STABLE = 2  # of the demo's models, the one that the checked ones are made of
JUDGED_SECONDS = 300.0
APPROVAL = {"name": "owner", "type": "Approval"}
# Far below what a core can do, and of a quantile that a busy node does not blur: it is the models that are compared.
LOAD = {"ratePerSecond": "25", "durationSeconds": "60", "minSamples": "500", "quantile": "0.9", "maxRatio": "2"}


def gate(name: str, preset: str, **options: str) -> dict[str, Any]:
    return {"name": name, "type": "Job", "job": {"preset": preset, **({"options": options} if options else {})}}


SMOKE = gate("smoke", "SmokePredictions")
SCHEMA = gate("schema", "SchemaCompatibility")
ACCURACY = gate("accuracy", "Accuracy", margin="0.01")
ACCURATE_ENOUGH = gate("whole", "Accuracy", margin="0.08")
FAIRNESS = gate("fairness", "Fairness", segmentBy="pressure")
MEMORY = gate("memory", "MemoryFootprint")
SPEED = gate("speed", "LatencyBenchmark", **LOAD)


def policy(*steps: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    """Steps without traffic, then all of it. A benchmark has a step of its own: other checks would be in its way."""
    checks = [
        {"name": f"checks-{number}", "weightPercent": 0, "gates": list(gates)} for number, gates in enumerate(steps, 1)
    ]
    return {"steps": [*checks, {"name": "all", "weightPercent": 100}], "gates": []}


@pytest.fixture(scope="session")
def checked(world: World) -> dict[str, str]:
    """The registry's version of each model that was made for these tests."""
    registering = stack.Registering(world.kubectl, world.folder, program="e2e.acceptance.checked")
    try:
        return registering.versions()
    finally:
        registering.stop()


@pytest.fixture
def release(world: World) -> Iterator[Release]:
    made = Release(world, REPLICAS)
    made.begin(world.versions[STABLE])
    yield made
    made.remove()


def test_a_good_model_passes_every_check(world: World, release: Release, checked: dict[str, str]) -> None:
    good = checked[GOOD]
    release.apply(good, policy((SMOKE, SCHEMA, ACCURACY, FAIRNESS, MEMORY, APPROVAL), (SPEED, APPROVAL)))
    for step, asked in (("checks-1", 5), ("checks-2", 1)):
        release.until(partial(_awaits_approval, release, step), f"{step} to wait for approval", JUDGED_SECONDS)
        judged = [gate for gate in release.status["gates"] if gate["name"] != APPROVAL["name"]]
        assert {gate["verdict"] for gate in judged} == {"Pass"}
        assert len(judged) == asked
        world.figures.extend(f"a good model, {gate['name']}: {gate['message']}" for gate in judged)
        assert release.status["candidate"]["observedWeightPercent"] == 0
        world.millgate("promote", NAME)
    release.await_promotion(good)


@dataclass(frozen=True)
class Bad:
    """A fault and the steps that are asked; the only gate of the last one fails, and what it says is a pattern.

    `at_least`: of the number in it.
    """

    fault: str
    steps: tuple[tuple[dict[str, Any], ...], ...]
    said: str
    at_least: float | None = None


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(Bad(LOWER, ((SMOKE,),), r"case 0 \(known digits\): .* was expected"), id="a golden request"),
        pytest.param(
            Bad(NARROWER, ((SCHEMA,),), r"was float32\[-1,64\] and is float32\[-1,32\]"), id="a schema change"
        ),
        pytest.param(Bad(LOWER, ((ACCURACY,),), r"accuracy .* -(\d+\.\d+) points", 2.5), id="three points less"),
        pytest.param(
            Bad(UNFAIR, ((ACCURATE_ENOUGH,), (FAIRNESS,)), r"pressure is 'light' .* -(\d+\.\d+) points", 10),
            id="one bad segment",
        ),
        pytest.param(Bad(SLOWER, ((SPEED,),), r"p90 is (\d+\.\d+) times stable's", 3), id="three times as slow"),
        pytest.param(Bad(LARGER, ((MEMORY,),), r"memory is (\d+\.\d+) times stable's", 2), id="twice the memory"),
    ],
)
def test_a_bad_model_is_taken_back_and_the_figure_is_shown(
    world: World, release: Release, checked: dict[str, str], bad: Bad
) -> None:
    stable, named = world.versions[STABLE], bad.steps[-1][0]["name"]
    release.apply(checked[bad.fault], policy(*bad.steps))
    back = release.await_condition("RolledBack", "True", "AnalysisFailed", seconds=JUDGED_SECONDS)
    release.tell(bad.fault, "RolledBack")
    told = re.fullmatch(rf"gate {named} in step checks-{len(bad.steps)}: (.*?{bad.said}.*)", back["message"])
    assert told is not None, back["message"]
    if bad.at_least is not None:
        assert float(told[2]) >= bad.at_least
    release.await_rest(stable)
    assert release.condition("CandidateHealthy")["message"] == back["message"]
    (ended, *_) = release.status["history"]
    assert [step["weightPercent"] for step in ended["steps"]] == [0] * len(bad.steps), "it got no request"
    for words in (("get", NAME), ("explain", NAME), ("explain", NAME, named)):
        assert told[1] in world.millgate(*words)


def _awaits_approval(release: Release, step: str) -> bool:
    condition = release.condition("Paused")
    in_step = (release.status.get("rollout") or {}).get("stepName") == step
    return in_step and (condition.get("status"), condition.get("reason")) == ("True", "AwaitingApproval")
