"""The chart on a real API server: installed, upgraded, uninstalled; and the operator with no more than its roles."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.cluster.controlplane import ControlPlane
from tests.controlplane.chart import CHART, grants, helm, of_kind, rendered, the
from tests.controlplane.operator_process import OperatorProcess
from tests.controlplane.plane import CRD, Kubectl, eventually, model_deployment

Json = dict[str, Any]
NAMESPACE = "millgate-system"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:millgate"
SELDOM = {
    ("millgate.dev", "modeldeployments/finalizers", "update"),  # asked by admission only, where that is switched on
    ("batch", "jobs", "get"),  # when the name of a Job is taken
}
VALUES = {"config": {"allowedImagePrefixes": ["registry.example/"]}, "replicas": 2}


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """A control plane of its own, on which nothing of Millgate is installed yet."""
    with ControlPlane(audit=True) as made:
        yield made


@pytest.fixture(scope="module")
def kubectl(plane: ControlPlane) -> Kubectl:
    return Kubectl(plane.kubeconfig)


def install(plane: ControlPlane, **values: Any) -> None:
    """As a user does it; helm waits until kstatus calls every object current."""
    done = helm(
        *("upgrade", "--install", "millgate", str(CHART), "--namespace", NAMESPACE, "--create-namespace"),
        *("--wait", "--timeout", "60s"),
        values=VALUES | values,
        kubeconfig=plane.kubeconfig,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def installed(plane: ControlPlane) -> None:
    install(plane)


@pytest.mark.usefixtures("installed")
def test_what_is_installed_serves_the_first_model_deployment(kubectl: Kubectl) -> None:
    kubectl("rollout", "status", "deployment/millgate", "--timeout=30s", namespace=NAMESPACE)
    kubectl.apply(model_deployment("first"), namespace="default")
    assert kubectl.json("get", CRD)["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


@pytest.mark.usefixtures("installed")
def test_the_pod_passes_the_restricted_pod_security_standard(kubectl: Kubectl) -> None:
    """A namespace that enforces it takes the pod template; nothing is stored."""
    kubectl("create", "namespace", "restricted")
    kubectl("label", "namespace", "restricted", "pod-security.kubernetes.io/enforce=restricted")
    template = the(rendered(VALUES), "Deployment")["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "operator"}, "spec": template["spec"]}
    pod["spec"].pop("serviceAccountName")
    kubectl("create", "--dry-run=server", "--filename=-", namespace="restricted", stdin=json.dumps(pod))


@pytest.mark.usefixtures("installed")
def test_people_with_the_edit_role_edit_modeldeployments_and_cannot_forge_a_status(kubectl: Kubectl) -> None:
    kubectl("create", "rolebinding", "ann", "--clusterrole=edit", "--user=ann", namespace="default")
    kubectl("create", "rolebinding", "bob", "--clusterrole=view", "--user=bob", namespace="default")

    def may(user: str, verb: str, subresource: str = "") -> bool:
        question = [
            "auth",
            "can-i",
            verb,
            "modeldeployments.millgate.dev",
            f"--subresource={subresource}",
            f"--as={user}",
        ]
        return kubectl.run(*question, namespace="default").stdout.strip() == "yes"

    assert [may("ann", verb) for verb in ("create", "patch", "delete", "list")] == [True, True, True, True]
    assert may("ann", "patch", "scale")
    assert not may("ann", "patch", "status")
    assert may("bob", "watch")
    assert not may("bob", "patch")


@pytest.mark.usefixtures("installed")
async def test_the_operator_needs_every_permission_that_it_has_and_no_other(
    plane: ControlPlane, kubectl: Kubectl, tmp_path: Path
) -> None:
    """As its ServiceAccount it releases three versions, each after a gate's Job, and one waits for its files; the audit
    log has what it did.
    """
    kubectl("create", "serviceaccount", "models", namespace="default")
    kubectl("label", "serviceaccount", "models", "millgate.dev/allow-use=true", namespace="default")
    objects = rendered(VALUES, namespace=NAMESPACE)
    roles = [
        role for role in of_kind(objects, "ClusterRole") if not role["metadata"]["name"].endswith(("view", "edit"))
    ]
    granted = set().union(*(grants(role["rules"]) for role in [*roles, *of_kind(objects, "Role")]))
    with OperatorProcess(plane, tmp_path, env=account(plane, kubectl, tmp_path), **configuration()) as operator:
        operator.leading()
        for version in ("1", "2", "3"):
            kubectl.apply(ranking(version), namespace="default")
            kubectl("wait", "--for=condition=Ready", "mdep/ranking", "--timeout=60s", namespace="default")
        kubectl.apply(keyed(), namespace="default")
        await eventually(lambda: waits_for_files(kubectl), what="a pod waits for its files")
        await eventually(lambda: granted - used(plane) <= SELDOM, what="a permission is not used")
        assert operator.terminate() == 0
    assert used(plane) - granted == set()
    assert [asked(event) for event in requests(plane) if event.get("responseStatus", {}).get("code") == 403] == []


def requests(plane: ControlPlane) -> list[Json]:
    """What the ServiceAccount has asked about objects."""
    return [
        event
        for event in plane.audit_events()
        if event["user"]["username"] == ACCOUNT and "resource" in event.get("objectRef", {})
    ]


def used(plane: ControlPlane) -> set[tuple[str, str, str]]:
    return {asked(event) for event in requests(plane)}


def ranking(version: str) -> Json:
    spec = {
        "model": {"source": "Image", "name": "ranking", "version": version},
        "server": {"image": f"registry.example/ranking:{version}", "serviceAccountName": "models"},
        "replicas": 1,
        "rollout": {
            "steps": [
                {
                    "name": "preview",
                    "weightPercent": 0,
                    "gates": [{"name": "golden", "type": "Job", "job": {"image": "registry.example/checks:1"}}],
                },
                {"name": "all", "weightPercent": 100},
            ],
            "gates": [],
            "keepWarmSeconds": 0,
            "revisionHistoryLimit": 0,
        },
    }
    return model_deployment("ranking", spec=spec)


def keyed() -> Json:
    files = [{"name": "clients", "mountPath": "/etc/millgate/clients", "secretName": "clients"}]
    spec = {
        "model": {"source": "Image", "name": "keyed", "version": "1"},
        "server": {"image": "registry.example/keyed:1", "files": files, "nodeSelector": {"nowhere": "here"}},
        "replicas": 1,
    }
    return model_deployment("keyed", spec=spec)


def waits_for_files(kubectl: Kubectl) -> bool:
    """As the kubelet leaves a pod whose Secret is missing; only after the scheduler has said that it finds no node."""
    pods = kubectl.json("get", "pods", "--selector=millgate.dev/name=keyed", namespace="default")["items"]
    if not pods or not pods[0]["status"].get("conditions"):
        return False
    patch = json.dumps({"status": {"conditions": [{"type": "PodScheduled", "status": "True"}]}})
    name = pods[0]["metadata"]["name"]
    kubectl("patch", "pod", name, "--subresource=status", "--type=merge", f"--patch={patch}", namespace="default")
    return True


def account(plane: ControlPlane, kubectl: Kubectl, folder: Path) -> dict[str, str]:
    """The environment of a process that logs in as the chart's ServiceAccount."""
    token = kubectl("create", "token", "millgate", namespace=NAMESPACE).strip()
    config = yaml.safe_load(plane.kubeconfig.read_text())
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    path = folder / "account.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return {"KUBECONFIG": str(path), "POD_NAMESPACE": NAMESPACE}


def configuration() -> Json:
    config: Json = yaml.safe_load(the(rendered(VALUES), "ConfigMap")["data"]["config.yaml"])
    return config


def asked(event: Json) -> tuple[str, str, str]:
    target = event["objectRef"]
    resource = f"{target['resource']}/{target['subresource']}" if "subresource" in target else target["resource"]
    return target.get("apiGroup", ""), resource, event["verb"]


@pytest.mark.usefixtures("installed")
def test_uninstalling_leaves_the_crd_and_every_modeldeployment_and_installing_takes_them_up_again(
    plane: ControlPlane, kubectl: Kubectl
) -> None:
    kubectl.apply(model_deployment("kept"), namespace="default")
    uid = kubectl.json("get", "mdep", "kept", namespace="default")["metadata"]["uid"]
    gone = helm("uninstall", "millgate", "--namespace", NAMESPACE, "--wait", kubeconfig=plane.kubeconfig)
    assert gone.returncode == 0, gone.stderr
    assert kubectl.json("get", "deployments", namespace=NAMESPACE)["items"] == []
    assert kubectl.json("get", "mdep", "kept", namespace="default")["metadata"]["uid"] == uid
    install(plane)
    assert kubectl.json("get", "mdep", "kept", namespace="default")["metadata"]["uid"] == uid
