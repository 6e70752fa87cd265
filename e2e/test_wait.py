# ruff: noqa: S101  tests assert
"""The smallest ModelDeployment, and `kubectl wait` as people and pipelines use it."""

import json
from collections.abc import Iterator

import pytest

from e2e.demo import stack
from e2e.demo.kubectl import Json
from e2e.demo.story import Setting

NAME = "smallest"
SMALLEST = """\
apiVersion: millgate.dev/v1alpha1
kind: ModelDeployment
metadata: {{name: smallest, namespace: {namespace}}}
spec:
  model: {{name: digits, version: "{version}"}}
"""
WAIT = ("wait", "--for=condition=Ready", f"modeldeployment/{NAME}", "-n", stack.MODEL_NAMESPACE, "--timeout=120s")


@pytest.fixture
def smallest(setting: Setting) -> Iterator[Setting]:
    setting.kubectl.apply(SMALLEST.format(namespace=stack.MODEL_NAMESPACE, version=setting.versions[1]))
    yield setting
    setting.kubectl.run("delete", "modeldeployment", NAME, "-n", stack.MODEL_NAMESPACE, "--cascade=foreground")


def version_served(setting: Setting) -> str:
    """As the live Service answers."""
    path = f"/api/v1/namespaces/{stack.MODEL_NAMESPACE}/services/http:{NAME}:80/proxy/version"
    return str(setting.kubectl.raw(path)["version"])


def state(setting: Setting) -> Json:
    found = setting.kubectl.get("modeldeployment", NAME, "-n", stack.MODEL_NAMESPACE)
    assert found is not None
    return found


def test_wait_returns_once_the_smallest_one_serves_and_after_a_change_not_on_the_old_generation(
    smallest: Setting,
) -> None:
    smallest.kubectl.run(*WAIT)
    assert version_served(smallest) == smallest.versions[1]
    before = state(smallest)

    change = {"spec": {"model": {"version": smallest.versions[2]}, "rollout": {"strategy": "BigBang"}}}
    smallest.kubectl.run(
        *("patch", "modeldeployment", NAME, "-n", stack.MODEL_NAMESPACE),
        *("--type=merge", "-p", json.dumps(change)),
    )
    smallest.kubectl.run(*WAIT)

    after = state(smallest)
    assert after["metadata"]["generation"] > before["metadata"]["generation"]
    assert after["status"]["observedGeneration"] == after["metadata"]["generation"]
    assert after["status"]["stable"]["modelVersion"] == smallest.versions[2]
    assert version_served(smallest) == smallest.versions[2]
