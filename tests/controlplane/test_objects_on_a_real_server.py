"""The objects of a ModelDeployment on a real API server: accepted, written once, never taken from somebody else."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from e2e.cluster.controlplane import ControlPlane
from millgate.api.conditions import Reason
from millgate.api.names import workload_name
from millgate.api.spec import Server
from millgate.controller.perform import NameConflict, RefusedAction, perform
from millgate.kube.api import DEPLOYMENT, JOB, POD, SERVICE, Conflict, Kind, KubeError
from millgate.rollout.plan import EnsureRevision, Retire, Route, Scale, StopJobs
from millgate.workload.settings import WorkloadSettings
from tests.controlplane.objects_world import (
    BASE,
    DIGEST,
    V7,
    V8,
    World,
    every_action,
    open_world,
    revision,
    version,
    writes,
)
from tests.controlplane.plane import Kubectl, eventually, model_deployment

Json = dict[str, Any]


@pytest.fixture
async def world(cluster: ControlPlane, kubectl: Kubectl) -> AsyncIterator[World]:
    async with open_world(cluster, kubectl) as opened:
        yield opened


async def test_the_api_server_takes_every_object_and_its_pods_run_under_the_restricted_profile(world: World) -> None:
    everything = revision(
        "9",
        Server.model_validate(
            {
                "args": ["serve"],
                "env": [
                    {"name": "LOG_LEVEL", "value": "info"},
                    {"name": "TOKEN", "secretKeyRef": {"name": "mlflow", "key": "token"}},
                ],
                "files": [
                    {"name": "clients", "mountPath": "/etc/millgate/clients", "secretName": "clients"},
                    {"name": "ca", "mountPath": "/etc/millgate/ca", "configMapName": "ca"},
                ],
                "port": 9000,
                "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"memory": "1Gi"}},
                "nodeSelector": {"kubernetes.io/os": "linux"},
                "tolerations": [{"operator": "Exists"}],
                "topologySpread": "Zone",
                "drainSeconds": 0,
            }
        ),
    )
    await world.do(*every_action(), EnsureRevision(everything, DIGEST, 1))

    async def all_have_pods() -> bool:
        pods = await world.api.list(POD, world.namespace)
        parts = {
            (pod["metadata"]["labels"]["millgate.dev/hash"], pod["metadata"]["labels"]["millgate.dev/component"])
            for pod in pods
        }
        return parts == {
            (V7.hash, "server"),
            (V8.hash, "server"),
            (everything.hash, "server"),
            (V8.hash, "preflight"),
            (V8.hash, "gate"),
        }

    await eventually(all_have_pods, what="a pod of every kind")


async def test_ready_pods_are_seen_by_revision(world: World) -> None:
    await world.do(EnsureRevision(V7, DIGEST, 3), EnsureRevision(V8, None, 1))

    async def ready() -> bool:
        seen = (await world.see()).snapshot.revisions
        return {hash_: found.ready for hash_, found in seen.items()} == {V7.hash: 3, V8.hash: 1}

    await eventually(ready, what="pods of both revisions are ready")
    seven = (await world.see()).snapshot.revisions[V7.hash]
    assert (seven.revision, seven.digest, seven.desired_replicas, seven.pods) == (V7, DIGEST, 3, 3)
    assert seven.problem is None


async def test_doing_everything_again_writes_nothing(world: World) -> None:
    await world.do(*every_action())
    before = await world.versions()
    for _ in range(3):
        assert await world.do(*every_action()) == []
    assert await world.versions() == before


async def test_no_label_or_annotation_of_the_parent_is_copied(world: World) -> None:
    await world.do(*every_action())
    for kind in (DEPLOYMENT, SERVICE, JOB):
        for obj in await world.api.list(kind, world.namespace):
            text = json.dumps(
                [obj["metadata"].get(part, {}) for part in ("labels", "annotations")]
                + [obj["spec"].get("template", {}).get("metadata", {})]
            )
            for foreign in ("argocd", "app.kubernetes.io/instance", "fluxcd", "kubectl"):
                assert foreign not in text


@pytest.mark.parametrize(
    ("weights", "selector"),
    [
        (((V7.hash, 100),), {**BASE, "millgate.dev/hash": V7.hash}),
        (((V7.hash, 90), (V8.hash, 10)), BASE),
        (((V8.hash, 100),), {**BASE, "millgate.dev/hash": V8.hash}),
    ],
)
async def test_a_route_is_one_write_whatever_stood_there(
    world: World, weights: tuple[tuple[str, int], ...], selector: dict[str, str]
) -> None:
    for before in (((V7.hash, 100),), ((V7.hash, 50), (V8.hash, 50)), ((V8.hash, 100),)):
        await world.do(Route(before))
        seen = await world.see()
        differs = (await world.get(SERVICE, "fraud"))["spec"]["selector"] != selector
        calls = await world.do(Route(weights), seen=seen)
        assert [(call.verb, call.kind) for call in calls] == ([("apply", "Service")] if differs else [])
        assert (await world.get(SERVICE, "fraud"))["spec"]["selector"] == selector


async def test_the_route_is_seen_as_it_is(world: World) -> None:
    assert (await world.see()).snapshot.route.weights == {}
    await world.do(EnsureRevision(V7, DIGEST, 3), EnsureRevision(V8, DIGEST, 1), Route(((V7.hash, 75), (V8.hash, 25))))

    async def shared() -> bool:
        return (await world.see()).snapshot.route.weights == {V7.hash: 75, V8.hash: 25}

    await eventually(shared, what="75 to 25 by ready pods")
    await world.do(Route(((V7.hash, 100),)))
    assert (await world.see()).snapshot.route.weights == {V7.hash: 100}


async def test_a_changed_selector_is_told_and_put_right(world: World) -> None:
    await world.do(Route(((V7.hash, 100),)))
    patch = {"spec": {"selector": {"millgate.dev/component": None}}}
    await world.api.patch(SERVICE, world.namespace, "fraud", patch, manager="somebody")
    seen = await world.see()
    assert not seen.snapshot.route.programmed
    assert seen.snapshot.route.weights == {}
    await world.do(Route(((V7.hash, 100),)), seen=seen)
    assert (await world.see()).snapshot.route.weights == {V7.hash: 100}


async def test_what_others_add_to_the_live_service_stays_and_causes_no_write(world: World) -> None:
    await world.do(Route(((V7.hash, 100),)))
    patch = {
        "metadata": {"labels": {"team": "risk"}, "annotations": {"lb": "internal"}},
        "spec": {"sessionAffinity": "ClientIP", "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    }
    await world.api.patch(SERVICE, world.namespace, "fraud", patch, manager="somebody")
    assert await world.do(Route(((V7.hash, 100),))) == []
    await world.do(Route(((V8.hash, 100),)))
    live = await world.get(SERVICE, "fraud")
    assert live["metadata"]["labels"]["team"] == "risk"
    assert live["spec"]["sessionAffinity"] == "ClientIP"


async def test_scaling_changes_the_number_of_pods_and_never_the_template(world: World) -> None:
    await world.do(EnsureRevision(V7, DIGEST, 2))
    name = workload_name("fraud", V7.hash)
    # A person restarts the pods, and a newer Millgate would render another template: neither is undone or rolled out.
    restart = {"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}}
    await world.api.patch(DEPLOYMENT, world.namespace, name, restart, manager="kubectl")
    template = (await world.get(DEPLOYMENT, name))["spec"]["template"]
    calls = await world.do(EnsureRevision(V7, DIGEST, 3))
    calls += await world.do(Scale(V7.hash, 3))
    assert writes(calls) == [("patch", "Deployment")]
    found = await world.get(DEPLOYMENT, name)
    assert found["spec"]["replicas"] == 3
    assert found["spec"]["template"] == template


async def test_a_deleted_service_comes_back(world: World) -> None:
    await world.do(EnsureRevision(V7, DIGEST, 1))
    name = workload_name("fraud", V7.hash)
    await world.api.delete(SERVICE, world.namespace, name)
    assert writes(await world.do(EnsureRevision(V7, DIGEST, 1))) == [("create", "Service")]


def foreign(kind: Kind, name: str, **metadata: Any) -> Json:
    spec: Json = {"selector": {"app": "mine"}, "ports": [{"port": 80}]}
    if kind == DEPLOYMENT:
        pod = {"containers": [{"name": "mine", "image": "mine:1"}]}
        template = {"metadata": {"labels": {"app": "mine"}}, "spec": pod}
        spec = {"selector": {"matchLabels": {"app": "mine"}}, "replicas": 0, "template": template}
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": name, **metadata},
        "spec": spec,
    }


@pytest.mark.parametrize("labels", [{}, {"millgate.dev/name": "fraud", "millgate.dev/hash": V8.hash}])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (SERVICE, "fraud"),
        (SERVICE, workload_name("fraud", V8.hash)),
        (DEPLOYMENT, workload_name("fraud", V8.hash)),
    ],
)
async def test_an_object_of_somebody_else_is_told_and_never_touched(
    world: World, kubectl: Kubectl, kind: Kind, name: str, labels: dict[str, str]
) -> None:
    unaware = await world.see()
    kubectl.apply(foreign(kind, name, labels=labels), namespace=world.namespace)
    before = await world.get(kind, name)

    conflict = (await world.see()).snapshot.conflict
    assert conflict is not None
    assert conflict.reason is Reason.NAME_CONFLICT
    assert f"{kind.kind} {name}" in conflict.message

    wanted = Route(((V8.hash, 100),)) if name == "fraud" else EnsureRevision(V8, DIGEST, 3)
    with pytest.raises(NameConflict) as refused:
        await world.do(wanted, seen=unaware)
    assert refused.value.reason == Reason.NAME_CONFLICT
    for seen in (unaware, await world.see()):
        for action in (EnsureRevision(V8, DIGEST, 3), Route(((V8.hash, 100),)), Scale(V8.hash, 3), Retire(V8.hash)):
            with suppress(Conflict):
                await world.do(action, seen=seen)
    after = await world.get(kind, name)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert version(after) == version(before)


async def test_a_service_that_was_replaced_since_it_was_seen_is_not_patched(world: World, kubectl: Kubectl) -> None:
    await world.do(Route(((V7.hash, 100),)))
    seen = await world.see()
    await world.api.delete(SERVICE, world.namespace, "fraud")
    with pytest.raises(Conflict):
        await world.do(Route(((V8.hash, 100),)), seen=seen)
    kubectl.apply(foreign(SERVICE, "fraud"), namespace=world.namespace)
    with pytest.raises(KubeError, match=r"metadata\.uid"):
        await world.do(Route(((V8.hash, 100),)), seen=seen)
    assert (await world.get(SERVICE, "fraud"))["spec"]["selector"] == {"app": "mine"}


async def test_what_a_deleted_namesake_left_is_not_ours(world: World, kubectl: Kubectl) -> None:
    await world.do(EnsureRevision(V8, DIGEST, 1), Route(((V8.hash, 100),)))
    kubectl("delete", "mdep", "fraud", "--cascade=orphan", namespace=world.namespace)
    kubectl.apply(model_deployment("fraud", namespace=world.namespace))
    seen = (await world.see()).snapshot
    assert seen.revisions == {}
    assert seen.route.weights == {}
    assert seen.conflict is not None


async def test_retiring_deletes_all_of_one_revision_and_nothing_of_another(world: World) -> None:
    await world.do(*every_action())
    await world.do(Retire(V8.hash))

    async def only_seven_is_left() -> bool:
        left = {name.partition("/")[2] for name in await world.versions()}
        return left == {"fraud", workload_name("fraud", V7.hash)}

    await eventually(only_seven_is_left, what="objects of the other revision and the live Service")
    assert await world.do(Retire(V8.hash)) == []


async def test_stopping_jobs_leaves_the_servers(world: World) -> None:
    await world.do(*every_action())
    await world.do(StopJobs(V8.hash))

    async def gone() -> bool:
        return not await world.api.list(JOB, world.namespace)

    await eventually(gone, what="Jobs are gone")
    assert (await world.see()).snapshot.preflight is None
    assert V8.hash in (await world.see()).snapshot.revisions


async def test_the_api_server_lets_everything_go_with_its_parent(world: World, kubectl: Kubectl) -> None:
    await world.do(*every_action())
    kubectl("delete", "mdep", "fraud", "--wait=false", namespace=world.namespace)

    async def gone() -> bool:
        return not await world.versions()

    await eventually(gone, seconds=60, what="the garbage collector has deleted every child")


async def test_a_registry_that_left_the_configuration_is_named_and_nothing_is_made(world: World) -> None:
    with pytest.raises(RefusedAction) as refused:
        await perform(world.api, EnsureRevision(V8, DIGEST, 1), await world.see(), WorkloadSettings())
    assert refused.value.reason == Reason.UNKNOWN_REGISTRY
    assert await world.versions() == {}


async def test_a_revision_written_by_a_newer_millgate_is_still_seen(world: World) -> None:
    await world.do(EnsureRevision(V7, DIGEST, 1))
    name = workload_name("fraud", V7.hash)
    text = (await world.get(DEPLOYMENT, name))["metadata"]["annotations"]["millgate.dev/revision"]
    newer = json.dumps(json.loads(text) | {"server": {"port": 8080, "somethingNew": 1}})
    patch = {"metadata": {"annotations": {"millgate.dev/revision": newer}}}
    await world.api.patch(DEPLOYMENT, world.namespace, name, patch)
    seen = (await world.see()).snapshot.revisions[V7.hash]
    assert (seen.revision.hash, seen.revision.model, seen.desired_replicas) == (V7.hash, V7.model, 1)


async def test_twenty_looks_at_once_ask_for_names_only_while_they_are_free(world: World) -> None:
    await world.do(EnsureRevision(V8, DIGEST, 1), Route(((V8.hash, 100),)))
    before = len(world.calls)
    await asyncio.gather(*(world.see() for _ in range(20)))
    asked = [(call.verb, call.kind) for call in world.calls[before:]]
    assert set(asked) == {
        ("get", "ModelDeployment"),
        ("list", "Deployment"),
        ("list", "Service"),
        ("list", "Job"),
        ("list", "Pod"),
    }
    assert len(asked) == 100
