"""Fresh pods of the stable revision to compare with: on a real API server, through to the last of their pods."""

import asyncio
import random
from pathlib import Path
from typing import Any

from millgate.kube.api import MODEL_DEPLOYMENT, KubeApi
from tests.controlplane.operator_process import OperatorProcess
from tests.controlplane.plane import eventually, new_namespace
from tests.controlplane.release_cases import ALL, OWNER, REPLICAS, Releases, release, rollout, step, word
from tests.controlplane.release_people import Person, nothing_is_left
from tests.controlplane.release_promises import hold, is_ready, moment
from tests.controlplane.release_record import recorded
from tests.controlplane.release_town import Town

Json = dict[str, Any]
# It only warns, so that nothing has to be measured for the step to go on.
FRESH = {
    "name": "errors",
    "type": "Compare",
    "compare": {"preset": "Errors", "reference": "Baseline"},
    "onFail": "Alert",
}
QUARTER = {"name": "quarter", "weightPercent": 25, "minSeconds": 1, "gates": [OWNER]}
POLICY = rollout(QUARTER, ALL, gates=[FRESH], intervalSeconds=1)
KILLS = 8
PODS = 2  # 2 of 3 + 2 + 2 come nearest to a quarter


def baseline_of(releases: Releases, name: str) -> Json | None:
    found = [one for one in releases.record.of_kind("Deployment") if one["metadata"]["name"].startswith(f"{name}-")]
    return next((one for one in found if one["metadata"]["name"].endswith("-baseline")), None)


def baseline_pods(releases: Releases, name: str) -> list[Json]:
    return [
        pod
        for pod in releases.record.of_kind("Pod")
        if pod["metadata"]["labels"].get("millgate.dev/name") == name
        and pod["metadata"]["labels"]["millgate.dev/hash"].endswith("-baseline")
    ]


async def until_gone(releases: Releases, name: str) -> None:
    await eventually(
        lambda: baseline_of(releases, name) is None and baseline_pods(releases, name) == [],
        what="the baseline is gone, with its pods",
    )


async def in_the_quarter(releases: Releases, name: str, version: str) -> Json:
    await releases.apply(release(name, version, POLICY))
    return (await releases.until_word(name, "AwaitingApproval"))["status"]


async def test_a_baseline_comes_before_its_step_shares_stables_traffic_and_goes_with_the_rollout(
    releases: Releases,
) -> None:
    name = "fresh"
    stable = (await releases.released(release(name, "1", POLICY)))["status"]["stable"]["hash"]
    status = await in_the_quarter(releases, name, "2")
    deployment = baseline_of(releases, name)
    assert deployment is not None
    assert deployment["metadata"]["name"] == f"{name}-{stable}-baseline"
    assert deployment["metadata"]["ownerReferences"][0]["kind"] == "ModelDeployment"
    assert deployment["spec"]["replicas"] == PODS

    pods = baseline_pods(releases, name)
    assert [is_ready(pod) for pod in pods] == [True] * PODS
    env = {entry["name"]: entry.get("value") for entry in pods[0]["spec"]["containers"][0]["env"]}
    assert env["MILLGATE_REVISION"] == f"{stable}-baseline"
    ready_at = max(
        moment(condition["lastTransitionTime"])
        for pod in pods
        for condition in pod["status"]["conditions"]
        if condition["type"] == "Ready"
    )
    begun = moment(status["rollout"]["steps"][-1]["startTime"])
    assert begun >= ready_at, "the step counts from when its baseline is ready"

    live = releases.record.newest("Service", name)
    assert live is not None
    assert live["spec"]["selector"].items() <= pods[0]["metadata"]["labels"].items()
    shares = await releases.until(
        name, lambda now: now["candidate"]["observedWeightPercent"] == round(100 * PODS / (REPLICAS + 2 * PODS))
    )
    tracks = shares["status"]
    observed = tracks["stable"]["observedWeightPercent"], tracks["candidate"]["observedWeightPercent"]
    assert sum(observed) == 100
    assert tracks["stable"]["readyReplicas"] == REPLICAS, "stable's own pods, and no others"

    await releases.ask(name, f"Promote rollout={status['rollout']['id']} id=go")
    await releases.until(name, lambda now: word(now) == "Promoted" and now.get("rollout") is None)
    await until_gone(releases, name)
    hold(releases.record.changes(), name)


async def test_a_way_back_leaves_no_pod_of_the_baseline_behind(releases: Releases) -> None:
    name = "stale"
    stable = (await releases.released(release(name, "1", POLICY)))["status"]["stable"]["hash"]
    await in_the_quarter(releases, name, "2")
    since = releases.record.now()
    await releases.ask(name, "Abort id=no")
    await releases.until(name, lambda status: word(status) == "RolledBack" and status.get("rollout") is None)
    await until_gone(releases, name)
    assert releases.pinned(name) == stable
    writes = [change for change in releases.record.changes(since) if change.name == name and change.kind == "Service"]
    assert len(writes) == 1, "the way back is one write"
    hold(releases.record.changes(), name)


async def test_a_newer_version_and_the_end_of_the_object_take_it_away(releases: Releases) -> None:
    name = "passing"
    await releases.released(release(name, "1", POLICY))
    await in_the_quarter(releases, name, "2")
    first = baseline_of(releases, name)
    assert first is not None
    await releases.apply(release(name, "3", POLICY))
    await releases.until(name, lambda status: step(status) == "quarter" and status["candidate"]["modelVersion"] == "3")
    second = baseline_of(releases, name)
    assert second is not None
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    hold(releases.record.changes(), name)
    await releases.api.delete(MODEL_DEPLOYMENT, releases.namespace, name)
    await until_gone(releases, name)


async def test_an_operator_that_is_killed_again_and_again_leaves_no_baseline_behind(
    api: KubeApi, town: Town, tmp_path: Path
) -> None:
    chance, stop = random.Random(4), asyncio.Event()
    by_itself = rollout(QUARTER | {"gates": []}, ALL, gates=[FRESH], intervalSeconds=1)
    with new_namespace(town.kubectl, "reborn") as namespace, recorded(town.plane, namespace) as record:
        releases = Releases(api, record)
        operator = OperatorProcess(
            town.plane,
            tmp_path,
            prometheus={"url": town.prometheus.url, "scrapeIntervalSeconds": 1},
            watchNamespaces=[namespace],
            lease={"name": "reborn", "namespace": namespace},
        )
        work = asyncio.create_task(Person(releases, "reborn", stop).promotes(by_itself))
        for _ in range(KILLS):
            with operator:
                await asyncio.to_thread(operator.leading, 60.0)
                await asyncio.sleep(chance.uniform(0.2, 2.5))
                operator.kill()
        stop.set()
        with operator:
            await asyncio.to_thread(operator.leading)
            await work
            await until_gone(releases, "reborn")
        changes = record.changes()
    made = {change.obj["metadata"]["uid"] for change in changes if change.name.endswith("-baseline")}
    assert len(made) >= 1
    told = hold(changes, "reborn")
    nothing_is_left(told)
    starts = [step["startTime"] for steps in told.steps.values() for step in steps]
    assert len(starts) == len(set(starts)), "no step began twice"
