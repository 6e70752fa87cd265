"""Two operators at once: one acts, the other stands by, and never both."""

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from e2e.cluster.controlplane import ControlPlane
from tests.controlplane.operator_process import OperatorProcess
from tests.controlplane.plane import Json, Kubectl, eventually
from tests.controlplane.released import HASH, Released, Watching

DURATION_SECONDS = 4
# A standby looks every period, and begins to count when it looks.
HANDOVER_SECONDS = DURATION_SECONDS + 1.5


@pytest.fixture
def make(cluster: ControlPlane, namespace: str, tmp_path: Path) -> Iterator[Callable[[str], OperatorProcess]]:
    """Operators that run for one lease; all are gone at the end."""
    made: list[OperatorProcess] = []
    lease = {
        "namespace": namespace,
        "durationSeconds": DURATION_SECONDS,
        "renewDeadlineSeconds": 3,
        "periodSeconds": 0.5,
    }

    def start(pod: str) -> OperatorProcess:
        process = OperatorProcess(cluster, tmp_path, pod=pod, watchNamespaces=[namespace], lease=lease)
        made.append(process)
        return process.start()

    yield start
    for process in made:
        if process.running():
            process.kill()


@pytest.fixture
def model(kubectl: Kubectl, namespace: str) -> Released:
    return Released(kubectl, namespace)


@pytest.fixture
def lease(kubectl: Kubectl, namespace: str) -> Callable[[], Json]:
    return lambda: kubectl.json("get", "lease/millgate-operator", namespace=namespace)["spec"]


def leads(process: OperatorProcess) -> bool:
    return process.metric("millgate_leader") == 1


def reconciles(process: OperatorProcess) -> float:
    return process.metric("millgate_reconciles_total")


async def test_one_acts_and_the_other_is_a_ready_standby_that_takes_over_when_it_is_killed(make, cluster, model, lease):
    first, second = make("operator-a").leading(), make("operator-b").ready()
    model.ask_for("1")
    model.wait_ready()
    assert (leads(second), reconciles(second)) == (False, 0)
    steps = [{"name": "half", "weightPercent": 50, "minSeconds": 8}, {"name": "all", "weightPercent": 100}]
    with Watching(cluster, model) as watching:
        model.ask_for("2", steps=steps)
        await model.until(lambda s: (s.get("rollout") or {}).get("stepStartTime"))
        first.kill()
        died = datetime.now(UTC)
        await eventually(lambda: leads(second), what="the standby leads")
        model.wait_ready()
    record = lease()
    assert (record["holderIdentity"], record["leaseTransitions"]) == ("operator-b", 1)
    assert (datetime.fromisoformat(record["acquireTime"]) - died).total_seconds() < HANDOVER_SECONDS
    assert [step for _, step in watching.course.steps_begun] == ["half", "all"]
    path = dict.fromkeys(selector.get(HASH, "both") for selector in watching.course.selectors)
    assert len(path) == 3


async def test_asked_to_stop_it_gives_the_lease_back_and_the_next_one_need_not_wait(make, lease):
    first, second = make("operator-a").leading(), make("operator-b").ready()
    asked = time.monotonic()
    assert first.terminate() == 0
    assert time.monotonic() - asked < 3
    await eventually(lambda: leads(second), seconds=3, what="the standby leads")
    assert lease()["holderIdentity"] == "operator-b"
    assert not [line for line in first.logs() if line["severity"] == "ERROR"]


def test_a_standby_that_is_asked_to_stop_leaves_the_lease_alone(make, lease):
    make("operator-a").leading()
    assert make("operator-b").ready().terminate() == 0
    assert lease()["holderIdentity"] == "operator-a"


def test_a_restarted_container_leads_at_once(make, lease):
    first = make("operator-a").leading()
    first.kill()
    first.start().leading()
    started = [line for line in first.logs() if line["message"] in {"operator started", "leading"}][-2:]
    assert [line["message"] for line in started] == ["operator started", "leading"]
    waited = _seconds(started[1]["timestamp"]) - _seconds(started[0]["timestamp"])
    assert waited < 1.5
    assert lease()["leaseTransitions"] == 1


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()


async def test_a_frozen_leader_that_wakes_up_late_writes_nothing_and_ends(make, cluster, namespace, model):
    frozen, next_one = make("operator-a").leading(), make("operator-b").ready()
    model.ask_for("1")
    model.wait_ready()
    await _settled_writes(cluster, namespace)  # a request that is on its way cannot be called back
    frozen.signal(signal.SIGSTOP)
    await eventually(lambda: leads(next_one), what="the standby leads")
    model.ask_for("2")  # something that the frozen one would like to write about, too
    model.wait_ready()
    before = await _settled_writes(cluster, namespace)
    frozen.signal(signal.SIGCONT)
    assert frozen.wait(10) == 1
    lost = [line for line in frozen.logs() if "lease is lost" in line["message"]]
    assert lost
    assert "another process" in lost[0]["detail"] or "no renewal" in lost[0]["detail"]
    assert _writes(cluster, namespace) == before
    assert next_one.running()


async def _settled_writes(cluster: ControlPlane, namespace: str) -> list[str]:
    """All of them, once the operator that acts has nothing left to write."""
    seen: list[list[str]] = [[]]

    async def unchanged() -> bool:
        await asyncio.sleep(2)
        seen.append(_writes(cluster, namespace))
        return seen[-1] == seen[-2]

    await eventually(unchanged, what="nothing is written any more")
    return seen[-1]


def _writes(cluster: ControlPlane, namespace: str) -> list[str]:
    """Writes of Millgate in the namespace, except those of leases."""
    return [
        f"{event['requestReceivedTimestamp']} {event['verb']} {event['objectRef']['resource']} "
        f"{event['objectRef'].get('name')} {event['objectRef'].get('subresource')}"
        for event in cluster.audit_events()
        if event.get("userAgent", "").startswith("millgate/")
        and event["verb"] in {"create", "update", "patch", "delete"}
        and event.get("objectRef", {}).get("namespace") == namespace
        and event["objectRef"]["resource"] != "leases"
    ]
