"""The operator as a process: it releases, it goes on where it was killed, it writes nothing when nothing changes."""

import asyncio
import os
import random
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from e2e.cluster.controlplane import ControlPlane
from tests.controlplane.operator_process import OperatorProcess
from tests.controlplane.plane import Kubectl, eventually
from tests.controlplane.released import HASH, Released, Watching

HALF_THEN_ALL = [
    {"name": "half", "weightPercent": 50, "minSeconds": 3},
    {"name": "all", "weightPercent": 100},
]
# 30 for the record of an acceptance run; each costs a restart.
KILLS = int(os.environ.get("MILLGATE_TEST_KILLS", "4"))


@pytest.fixture
def operator(cluster: ControlPlane, namespace: str, tmp_path: Path) -> Iterator[OperatorProcess]:
    """An operator for the test's namespace alone, with short terms of election."""
    lease = {
        "namespace": namespace,
        "durationSeconds": 4,
        "renewDeadlineSeconds": 3,
        "periodSeconds": 0.5,
    }
    with OperatorProcess(cluster, tmp_path, watchNamespaces=[namespace], lease=lease) as process:
        yield process.leading()


@pytest.fixture
def model(kubectl: Kubectl, namespace: str) -> Released:
    return Released(kubectl, namespace)


async def test_a_version_is_released_the_next_one_promoted_and_taken_back_by_request(cluster, operator, model):
    with Watching(cluster, model) as watching:
        model.ask_for("1")
        model.wait_ready()
        assert model.status["stable"]["modelVersion"] == "1"
        model.ask_for("2", steps=HALF_THEN_ALL, keepWarmSeconds=600)
        model.wait_ready()
        status = model.status
        assert (status["stable"]["modelVersion"], status["previous"]["modelVersion"]) == ("2", "1")
        model.request("Rollback id=1")
        status = await model.until(lambda s: s.get("lastRequest", {}).get("id") == "1" and not s.get("rollout"))
        assert status["lastRequest"]["result"] == "Applied"
        assert (status["stable"]["modelVersion"], status["rejected"][0]["modelVersion"]) == ("1", "2")
        assert model.condition("Stalled")["status"] == "True"
    assert [step for _, step in watching.course.steps_begun] == ["all", "half", "all"]
    pinned = [selector.get(HASH, "both") for selector in watching.course.selectors]
    one, two = status["stable"]["hash"], status["rejected"][0]["hash"]
    assert list(dict.fromkeys(pinned)) == [one, "both", two]
    assert pinned[-1] == one
    assert not [line for line in operator.logs() if line["severity"] == "ERROR"]


async def test_each_stage_is_logged_and_each_turn_has_its_event(operator, model, kubectl, namespace):
    model.ask_for("1")
    model.wait_ready()
    stages = [(line["from"], line["to"]) for line in operator.logs() if line["message"] == "stage changed"]
    assert stages[0][0] == "Idle"
    assert stages[-1][1] == "Idle"

    def reasons() -> bool:
        events = kubectl.json("get", "events.events.k8s.io", namespace=namespace)["items"]
        own = [event for event in events if event["reportingController"] == "millgate.dev/operator"]
        said = [event["reason"] for event in own]
        return len(said) == len(set(said)) and {"RolloutStarted", "StepStarted", "CandidatePromoted"} <= set(said)

    assert await eventually(reasons)
    assert operator.metric("millgate_rollout_info", name="fraud", stage="Idle", reason="Promoted") == 1
    assert operator.metric("millgate_status_writes_total") > 0


async def test_nothing_is_written_while_nothing_changes_even_when_the_manifest_is_applied_every_second(
    cluster, operator, model, namespace
):
    model.ask_for("1")
    model.wait_ready()
    await model.until(lambda s: s.get("conditions"))
    operator.terminate()
    operator.start(sweepSeconds=1).leading()  # looks at everything, again and again
    await eventually(lambda: operator.metric("millgate_reconciles_total") >= 3, what="the first looks")
    before, resource_version = model.children(), model.object()["metadata"]["resourceVersion"]
    reconciles = operator.metric("millgate_reconciles_total")
    for _ in range(6):
        model.ask_for("1")
        await asyncio.sleep(1)
    await eventually(lambda: operator.metric("millgate_reconciles_total") >= reconciles + 3, what="more looks")
    assert model.children() == before
    assert model.object()["metadata"]["resourceVersion"] == resource_version
    assert operator.metric("millgate_status_writes_total") == 0
    assert operator.metric("millgate_actions_total", result="error") == 0
    agents = {event["userAgent"] for event in cluster.audit_events() if _is_write_in(event, namespace, "leases")}
    assert any(agent.startswith("millgate/") for agent in agents)


def _is_write_in(event: dict, namespace: str, resource: str) -> bool:
    reference = event.get("objectRef", {})
    same = reference.get("namespace") == namespace and reference.get("resource") == resource
    return same and event["verb"] in {"create", "update", "patch", "delete"}


async def test_a_step_lasts_as_long_as_it_should_although_the_operator_is_killed_in_it(cluster, operator, model):
    model.ask_for("1")
    model.wait_ready()
    seconds = 12
    steps = [{"name": "half", "weightPercent": 50, "minSeconds": seconds}, {"name": "all", "weightPercent": 100}]
    with Watching(cluster, model) as watching:
        model.ask_for("2", steps=steps)
        await model.until(lambda s: (s.get("rollout") or {}).get("stepStartTime"))
        operator.kill()
        operator.start()
        model.wait_ready()
    half, promoted = watching.course.step_starts("half"), model.status["history"][0]["endTime"]
    assert len(half) == 1
    lasted = (datetime.fromisoformat(promoted) - datetime.fromisoformat(half.pop())).total_seconds()
    assert seconds - 1 <= lasted <= seconds + 3
    assert [step for _, step in watching.course.steps_begun] == ["half", "all"]


async def test_killed_at_random_moments_every_rollout_ends_as_it_would_have(cluster, operator, model):
    """resumes, sums-to-100: no step is skipped, repeated or shortened, and the Service never leaves the path."""
    model.ask_for("0")
    model.wait_ready()
    steps = [
        {"name": "quarter", "weightPercent": 25, "minSeconds": 2},
        {"name": "half", "weightPercent": 50, "minSeconds": 2},
        {"name": "all", "weightPercent": 100},
    ]
    seed = int(os.environ.get("MILLGATE_TEST_SEED", str(time.time_ns() % 10_000)))
    moments = random.Random(seed)
    for number in range(1, KILLS + 1):
        before = model.status["stable"]["hash"]
        with Watching(cluster, model) as watching:
            model.ask_for(str(number), steps=steps, replicas=4)
            await asyncio.sleep(moments.uniform(0, 5))  # the moment is what the test is about
            operator.kill()
            operator.start()
            model.wait_ready(60)
        course, after = watching.course, model.status["stable"]["hash"]
        where = f"seed {seed}, kill {number}"
        assert [step for _, step in course.steps_begun] == ["quarter", "half", "all"], where
        assert all(len(course.step_starts(step)) == 1 for step in ("quarter", "half", "all")), where
        path = list(dict.fromkeys(selector.get(HASH, "both") for selector in course.selectors))
        assert path == [before, "both", after], where
