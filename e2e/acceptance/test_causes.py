"""Acceptance 4: each cause shows its own reason in the right condition, stable serves on, and it recovers by itself."""

# ruff: noqa: S101  # tests assert

import json
import time
from pathlib import Path

import pytest

from e2e.acceptance.registry import Registry
from e2e.acceptance.release import BLUE_GREEN, GUARDED, NAMESPACE, Release
from e2e.acceptance.renamed import renamed
from e2e.acceptance.world import World, start_registry
from e2e.demo import stack

# A cause stays for this long after it was seen: stable must bear it, and nothing may be decided meanwhile.
ENDURED_SECONDS = 10.0
# The kubelet waits up to a minute before its next try, and MLflow takes half of one to start.
RECOVERED_SECONDS = 180.0
pytestmark = pytest.mark.usefixtures("audience")
PLATFORM = ("-n", stack.PLATFORM_NAMESPACE)


def endure(release: Release, kind: str, reason: str) -> None:
    """The reason stays the same, and so does who serves."""
    version = release.world.versions[1]
    ends = time.monotonic() + ENDURED_SECONDS
    while time.monotonic() < ends:
        assert release.condition(kind)["reason"] == reason
        assert release.status["stable"]["modelVersion"] == version
        time.sleep(1)


def test_an_image_that_cannot_be_pulled(world: World, release: Release, tmp_path: Path) -> None:
    better, late = world.versions[2], renamed(world.images.serving, tmp_path)
    release.apply(better, BLUE_GREEN, server={"image": late.reference})
    release.await_condition("CandidateHealthy", "False", "ImagePullFailed")
    release.tell("an image that cannot be pulled", "CandidateHealthy", "Reconciling", "Ready")
    endure(release, "CandidateHealthy", "ImagePullFailed")

    world.cluster.load_image(late.tar)
    release.await_promotion(better, seconds=RECOVERED_SECONDS)


def test_an_image_that_is_no_model_server(world: World, release: Release) -> None:
    better = world.versions[2]
    release.apply(better, BLUE_GREEN, server={"image": world.images.clients.reference})
    release.await_condition("Stalled", "True", "PreflightFailed")
    release.tell("an image that is no model server", "Stalled", "RolledBack", "Ready")
    endure(release, "Ready", "PreflightFailed")

    release.apply(better, BLUE_GREEN)
    release.await_promotion(better)


def test_a_version_that_does_not_exist(world: World, release: Release) -> None:
    registry = Registry(world.kubectl)
    missing = registry.next_version()
    release.apply(missing, BLUE_GREEN)
    release.await_condition("Accepted", "False", "ModelNotFound")
    release.tell("a version that does not exist", "Accepted", "Stalled", "Ready")
    endure(release, "Ready", "ModelNotFound")

    assert registry.register_again(world.versions[2]) == missing
    release.await_promotion(missing, seconds=RECOVERED_SECONDS)


def test_a_registry_that_is_not_there(world: World, release: Release) -> None:
    better = world.versions[2]
    world.kubectl.run("scale", "deployment/mlflow", *PLATFORM, "--replicas=0")
    world.kubectl.run("wait", "--for=delete", "pod", "-l", "app=mlflow", *PLATFORM, "--timeout=60s")
    try:
        release.apply(better, BLUE_GREEN)
        release.await_condition("Accepted", "Unknown", "RegistryUnreachable")
        release.tell("a registry that is not there", "Accepted", "Reconciling", "Ready")
        endure(release, "Ready", "RegistryUnreachable")
    finally:
        start_registry(world.kubectl, world.images)
    release.await_promotion(better, seconds=RECOVERED_SECONDS)


def test_a_registry_that_refuses_the_host(world: World, release: Release) -> None:
    better = world.versions[2]
    _start_without_allowed_hosts(world)
    try:
        release.apply(better, BLUE_GREEN)
        release.await_condition("Accepted", "Unknown", "RegistryHostRefused")
        release.tell("a registry that refuses the Host", "Accepted", "Reconciling", "Ready")
        endure(release, "Ready", "RegistryHostRefused")
    finally:
        start_registry(world.kubectl, world.images)
    release.await_promotion(better, seconds=RECOVERED_SECONDS)


def test_a_prometheus_that_is_not_there(world: World, release: Release) -> None:
    better = world.versions[2]
    world.kubectl.run("scale", "deployment/prometheus", *PLATFORM, "--replicas=0")
    try:
        release.apply(better, GUARDED)
        release.await_condition("CandidateHealthy", "Unknown", "MetricsUnavailable")
        release.tell("a Prometheus that is not there", "CandidateHealthy", "Reconciling", "Ready")
        endure(release, "CandidateHealthy", "MetricsUnavailable")
        assert release.status["rollout"]["stepName"] == "half"
    finally:
        world.kubectl.run("scale", "deployment/prometheus", *PLATFORM, "--replicas=1")
    release.await_promotion(better, seconds=RECOVERED_SECONDS)


def test_an_artefact_overwritten_between_preflight_and_first_pod(world: World, release: Release) -> None:
    better, registry = world.versions[2], Registry(world.kubectl)
    release.await_preflight(better, BLUE_GREEN)
    registry.overwrite(better)
    try:
        release.apply(better, BLUE_GREEN)
        found = release.await_condition("CandidateHealthy", "False", "ArtifactChanged")
        assert "model.onnx differs" in found["message"]
        release.tell("overwritten before the candidate's first pod", "CandidateHealthy", "Reconciling", "Ready")
        endure(release, "CandidateHealthy", "ArtifactChanged")
    finally:
        registry.overwrite(better)
    release.await_promotion(better, seconds=RECOVERED_SECONDS)


def test_an_artefact_overwritten_under_a_stable_that_loses_a_pod(world: World, release: Release) -> None:
    first, registry = world.versions[1], Registry(world.kubectl)
    registry.overwrite(first)
    try:
        gone = release.pods()[0]["metadata"]["name"]
        world.kubectl.run("delete", "pod", gone, "-n", NAMESPACE, "--wait=false")
        found = release.await_condition("Available", "False", "ArtifactChanged")
        assert "model.onnx differs" in found["message"]
        release.tell("overwritten under stable", "Available", "Ready")
        endure(release, "Ready", "ArtifactChanged")
        assert sum(_is_ready(pod) for pod in release.pods()) == 2
    finally:
        registry.overwrite(first)
    release.await_condition("Ready", "True", "Promoted", seconds=RECOVERED_SECONDS)


def _start_without_allowed_hosts(world: World) -> None:
    """As somebody starts it who does not know that MLflow checks the Host header."""
    found = world.kubectl.get("deployment", "mlflow", *PLATFORM) or {}
    arguments = found["spec"]["template"]["spec"]["containers"][0]["args"]
    kept = [argument for argument in arguments if not argument.startswith("--allowed-hosts")]
    assert len(kept) == len(arguments) - 1
    patch = [{"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": kept}]
    world.kubectl.run("patch", "deployment/mlflow", *PLATFORM, "--type=json", "-p", json.dumps(patch))
    world.kubectl.await_rollout(stack.PLATFORM_NAMESPACE, "mlflow")


def _is_ready(pod: dict[str, object]) -> bool:
    status = pod["status"]
    assert isinstance(status, dict)
    return any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", []))
