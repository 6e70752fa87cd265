"""What is missing, refused or away: the operator says so, goes on with what it can, and recovers by itself."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cluster.controlplane import ControlPlane
from tests.controlplane.operator_process import OperatorProcess
from tests.controlplane.plane import Kubectl, eventually, install_crd, new_namespace
from tests.controlplane.released import Released

TERMS = {"durationSeconds": 4, "renewDeadlineSeconds": 3, "periodSeconds": 0.5}


@pytest.fixture
def operator(cluster: ControlPlane, namespace: str, tmp_path: Path) -> Iterator[OperatorProcess]:
    lease = {**TERMS, "namespace": namespace}
    allowed = ["registry.example/"]
    with OperatorProcess(
        cluster, tmp_path, watchNamespaces=[namespace], lease=lease, allowedImagePrefixes=allowed
    ) as process:
        yield process.leading()


@pytest.fixture
def model(kubectl: Kubectl, namespace: str) -> Released:
    return Released(kubectl, namespace)


def _reason(model: Released, type_: str) -> str:
    return str(model.condition(type_).get("reason", ""))


async def test_a_write_that_is_refused_is_told_and_done_once_it_is_allowed(operator, model, kubectl, namespace):
    quota = {"hard": {"count/deployments.apps": "0"}}
    forbids = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": quota}
    kubectl.apply(forbids, namespace=namespace)
    kubectl("wait", "--for=jsonpath={.status.hard}", "--timeout=20s", "resourcequota/none", namespace=namespace)
    model.ask_for("1")
    await eventually(lambda: _reason(model, "TrafficProgrammed") == "WriteFailed", what="WriteFailed")
    assert "exceeded quota" in model.condition("TrafficProgrammed")["message"]
    assert model.condition("Reconciling")["status"] == "True"
    assert model.status["rollout"]["id"].startswith("fraud-1-")
    kubectl("delete", "resourcequota/none", namespace=namespace)
    model.wait_ready()
    assert _reason(model, "TrafficProgrammed") == "Programmed"
    assert operator.metric("millgate_actions_total", action="EnsureRevision", result="error") > 0


async def test_what_the_platform_does_not_allow_is_told_and_stable_serves_on(operator, model, kubectl, namespace):
    model.ask_for("1")
    model.wait_ready()
    children = model.children()
    kubectl(
        "patch",
        "mdep/fraud",
        "--type=merge",
        '--patch={"spec": {"server": {"image": "elsewhere.example/x:1"}}}',
        namespace=namespace,
    )
    await eventually(lambda: _reason(model, "Accepted") == "ImageNotAllowed")
    assert (model.condition("Stalled")["status"], model.condition("Available")["status"]) == ("True", "True")
    assert model.children() == children
    model.ask_for("2")
    model.wait_ready()
    assert model.status["stable"]["modelVersion"] == "2"
    assert operator.running()


async def test_a_service_account_that_is_labelled_late_is_found(operator, model, kubectl, namespace):
    manifest = model.manifest("1")
    manifest["spec"]["server"]["serviceAccountName"] = "scorer"
    kubectl.apply(manifest, namespace=namespace)
    await eventually(lambda: _reason(model, "Accepted") == "RefNotFound")
    kubectl("create", "serviceaccount", "scorer", namespace=namespace)
    await eventually(lambda: _reason(model, "Accepted") == "RefNotPermitted", seconds=30)
    kubectl("label", "serviceaccount", "scorer", "millgate.dev/allow-use=true", namespace=namespace)
    model.wait_ready()
    assert operator.running()


async def test_an_operator_that_comes_before_its_crd_waits_for_it(tmp_path):
    with ControlPlane(nodes=1) as plane, OperatorProcess(plane, tmp_path) as operator:
        kubectl = Kubectl(plane.kubeconfig)
        await eventually(lambda: operator.metric("millgate_leader") == 1)
        await eventually(lambda: "cannot be listed" in operator.get("/readyz")[1])
        assert operator.get("/livez")[0] == 200
        install_crd(kubectl)
        operator.ready()
        with new_namespace(kubectl) as namespace:
            model = Released(kubectl, namespace)
            model.ask_for("1")
            model.wait_ready()


@pytest.fixture
def own_plane(tmp_path: Path) -> Iterator[tuple[ControlPlane, Kubectl, OperatorProcess]]:
    """A control plane that the test may stop, and an operator on it."""
    with ControlPlane(nodes=1) as plane:
        kubectl = Kubectl(plane.kubeconfig)
        install_crd(kubectl)
        with OperatorProcess(plane, tmp_path, lease={**TERMS, "namespace": "default"}) as operator:
            operator.leading()
            yield plane, kubectl, operator


async def test_an_api_server_that_restarts_is_seen_again(own_plane):
    plane, kubectl, operator = own_plane
    with new_namespace(kubectl) as namespace:
        model = Released(kubectl, namespace)
        model.ask_for("1")
        model.wait_ready()
        plane.restart_apiserver()
        if not operator.running():  # the restart took longer than the lease allows
            assert operator.wait(1) == 1
            operator.start().leading()
        model.ask_for("2")
        model.wait_ready()
        assert model.status["stable"]["modelVersion"] == "2"


async def test_an_api_server_that_hangs_costs_the_lease_and_a_restart_goes_on(own_plane):
    plane, kubectl, operator = own_plane
    plane.pause()
    hung = time.monotonic()
    try:
        assert operator.wait(20) == 1
    finally:
        plane.resume()
    assert 2 <= time.monotonic() - hung < 10
    assert "no renewal" in next(line["detail"] for line in operator.logs() if "lease is lost" in line["message"])
    operator.start().leading()
    with new_namespace(kubectl) as namespace:
        model = Released(kubectl, namespace)
        model.ask_for("1")
        model.wait_ready()
