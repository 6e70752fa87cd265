"""The CRD as a user of kubectl, an HPA or kstatus meets it."""

import json
from pathlib import Path

import pytest
import yaml

from millgate.api.crd import CRD_NAME
from millgate.kube.api import MODEL_DEPLOYMENT, KubeApi
from tests.controlplane.plane import CRD_FOLDER, REPOSITORY, Clerk, Json, Kubectl, model_deployment

EXAMPLES = sorted((REPOSITORY / "examples").glob("*.yaml"))

# What the operator writes, at the moment at which each column has something to say.
STATUS = {
    "observedGeneration": 1,
    "replicas": 5,
    "selector": "millgate.dev/name=fraud",
    "stable": {"revision": 6, "hash": "r7c9f8d001", "modelVersion": "7", "workloadName": "fraud-r7c9f8d001"},
    "candidate": {
        "revision": 7,
        "hash": "r5b1aa2002",
        "modelVersion": "8",
        "workloadName": "fraud-r5b1aa2002",
        "observedWeightPercent": 20,
    },
    "rollout": {
        "id": "fraud-7-r5b1aa2002",
        "stage": "Stepping",
        "startTime": "2026-11-23T01:12:03.120Z",
        "stageStartTime": "2026-11-23T01:12:09.004Z",
        "stepDisplay": "3/5",
    },
    "conditions": [
        {
            "type": "Ready",
            "status": "False",
            "reason": "RolloutInProgress",
            "message": "step 3 of 5: 20 percent",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-11-23T01:12:03Z",
        }
    ],
}


async def with_status(api: KubeApi, namespace: str, status: Json = STATUS) -> None:
    obj = model_deployment(namespace=namespace, replicas=4)
    await api.create(MODEL_DEPLOYMENT, obj)
    del obj["spec"]
    await api.apply(MODEL_DEPLOYMENT, obj | {"status": status}, subresource="status")


def rows(table: str) -> list[list[str]]:
    return [line.split(maxsplit=8) for line in table.splitlines()]


def test_plain_kubectl_apply_installs_it_again_and_again(kubectl: Kubectl) -> None:
    """Client-side apply keeps a copy in an annotation, of which the API server takes 262,144 bytes."""
    assert "configured" in (said := kubectl("apply", f"--filename={CRD_FOLDER}")) or "unchanged" in said
    assert (CRD_FOLDER / f"{CRD_NAME}.yaml").stat().st_size < 100_000


def test_the_api_server_finds_no_fault_with_its_schema(kubectl: Kubectl) -> None:
    conditions = {
        condition["type"]: condition["status"]
        for condition in kubectl.json("get", "crd", CRD_NAME)["status"]["conditions"]
    }
    assert conditions == {"NamesAccepted": "True", "Established": "True"}  # no NonStructuralSchema, no terminating


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_accepted(clerk: Clerk, path: Path) -> None:
    for obj in yaml.safe_load_all(path.read_text()):
        assert clerk.refuses(obj) == ""


async def test_an_object_that_no_operator_has_seen_is_not_taken_for_a_healthy_one(
    api: KubeApi, namespace: str, kubectl: Kubectl
) -> None:
    """kstatus: an object without conditions is Current, unless its observedGeneration is behind (conventions 1.1)."""
    created = await api.create(MODEL_DEPLOYMENT, model_deployment(namespace=namespace))
    assert created["status"] == {"observedGeneration": -1}
    waited = kubectl.run("wait", "--for=condition=Ready", "--timeout=1s", "mdep/fraud", namespace=namespace)
    assert waited.returncode == 1


async def test_defaults_are_seen_when_the_object_is_read(api: KubeApi, namespace: str) -> None:
    await api.create(MODEL_DEPLOYMENT, model_deployment(namespace=namespace, rollout={"strategy": "BlueGreen"}))
    found = await api.get(MODEL_DEPLOYMENT, namespace, "fraud")
    assert found
    assert found["spec"] == {
        "model": {"source": "MLflow", "registry": "default", "name": "fraud", "version": "8"},
        "traffic": {"type": "Replicas"},
        "rollout": {
            "strategy": "BlueGreen",
            "falseRollbackBudget": "0.01",
            "intervalSeconds": 15,
            "onInconclusive": "Hold",
            "progressDeadlineSeconds": 900,
            "keepWarmSeconds": 1800,
            "revisionHistoryLimit": 3,
        },
        "paused": False,
    }


async def test_replicas_have_no_default_so_that_an_autoscaler_may_own_them(api: KubeApi, namespace: str) -> None:
    created = await api.create(MODEL_DEPLOYMENT, model_deployment(namespace=namespace))
    assert "replicas" not in created["spec"]


async def test_the_scale_subresource_serves_kubectl_scale_and_autoscalers(
    api: KubeApi, namespace: str, kubectl: Kubectl
) -> None:
    await with_status(api, namespace)
    path = f"/apis/millgate.dev/v1alpha1/namespaces/{namespace}/modeldeployments/fraud/scale"
    scale = json.loads(kubectl("get", "--raw", path))
    assert scale["spec"] == {"replicas": 4}
    assert scale["status"] == {"replicas": 5, "selector": "millgate.dev/name=fraud"}
    kubectl("scale", "mdep/fraud", "--replicas=7", namespace=namespace)
    found = await api.get(MODEL_DEPLOYMENT, namespace, "fraud")
    assert found
    assert found["spec"]["replicas"] == 7
    too_many = kubectl.run("scale", "mdep/fraud", "--replicas=1001", namespace=namespace)
    assert "spec.replicas" in too_many.stderr


async def test_kubectl_get_shows_where_a_rollout_stands(api: KubeApi, namespace: str, kubectl: Kubectl) -> None:
    await with_status(api, namespace)
    head, row = rows(kubectl("get", "mdep", namespace=namespace))
    assert head == ["NAME", "READY", "STATUS", "STABLE", "CANDIDATE", "WEIGHT", "STEP", "AGE"]
    assert row[:-1] == ["fraud", "False", "RolloutInProgress", "7", "8", "20", "3/5"]
    head, row = rows(kubectl("get", "mdep", "--output=wide", namespace=namespace))
    assert head[-1] == "MESSAGE"
    assert row[-1] == "step 3 of 5: 20 percent"


async def test_it_is_found_by_its_short_name_and_among_all(api: KubeApi, namespace: str, kubectl: Kubectl) -> None:
    await with_status(api, namespace)
    for name in ("mdep", "modeldeployment", "modeldeployments", "all"):
        assert "modeldeployment.millgate.dev/fraud" in kubectl("get", name, "--output=name", namespace=namespace)


async def test_status_and_spec_are_written_apart(api: KubeApi, namespace: str) -> None:
    """Who may edit a ModelDeployment cannot forge its status, and the operator's status write changes no spec."""
    await with_status(api, namespace)
    await api.patch(MODEL_DEPLOYMENT, namespace, "fraud", {"status": {"replicas": 99}, "spec": {"paused": True}})
    found = await api.get(MODEL_DEPLOYMENT, namespace, "fraud")
    assert found
    assert found["status"]["replicas"] == 5
    assert found["metadata"]["generation"] == 2
    forged = model_deployment(namespace=namespace, paused=False) | {"status": STATUS}
    await api.apply(MODEL_DEPLOYMENT, forged, subresource="status")
    again = await api.get(MODEL_DEPLOYMENT, namespace, "fraud")
    assert again
    assert again["spec"]["paused"] is True


async def test_conditions_are_merged_by_type(api: KubeApi, namespace: str) -> None:
    """Another writer's condition and ours stand side by side, as server-side apply promises for a map list."""
    await with_status(api, namespace)
    other = STATUS["conditions"][0] | {"type": "Audited", "status": "True", "reason": "Looked"}
    obj = model_deployment(namespace=namespace)
    del obj["spec"]
    await api.apply(MODEL_DEPLOYMENT, obj | {"status": {"conditions": [other]}}, subresource="status", manager="audit")
    found = await api.get(MODEL_DEPLOYMENT, namespace, "fraud")
    assert found
    assert [condition["type"] for condition in found["status"]["conditions"]] == ["Ready", "Audited"]


def test_explain_knows_every_field(kubectl: Kubectl) -> None:
    said = kubectl("explain", "mdep.spec.rollout.steps.gates.compare")
    assert "maxRatio" in said
    assert "non-inferiority margin" in said
