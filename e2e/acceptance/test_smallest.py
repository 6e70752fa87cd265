"""Acceptance 3: the smallest ModelDeployment, and `kubectl wait` that returns when it serves and not before."""

# ruff: noqa: S101  # tests assert

import json
from collections.abc import Iterator

import pytest

from e2e.acceptance.world import World
from e2e.demo import stack
from e2e.demo.training import REPLAY

PLACE = ("-n", stack.MODEL_NAMESPACE)
NAME = "smallest"
MANIFEST = """\
apiVersion: millgate.dev/v1alpha1
kind: ModelDeployment
metadata:
  name: smallest
spec:
  model:
    name: digits
    version: "{version}"
"""


@pytest.fixture
def _removed(world: World) -> Iterator[None]:
    yield
    world.kubectl.run("delete", "modeldeployment", NAME, *PLACE, "--ignore-not-found", "--cascade=foreground")


@pytest.mark.usefixtures("_removed")
def test_wait_returns_once_the_newest_spec_serves_and_not_before(world: World) -> None:
    first, better = world.versions[1], world.versions[2]
    assert len(MANIFEST.splitlines()) == 8

    world.kubectl.run("apply", *PLACE, "-f", "-", stdin=MANIFEST.format(version=first))
    _wait(world)
    assert _answering(world) == first

    # At once after the change: a status of the generation before still says Ready.
    spec = {"model": {"version": better}, "rollout": {"strategy": "BlueGreen"}}
    world.kubectl.run("patch", "mdep", NAME, *PLACE, "--type=merge", "-p", json.dumps({"spec": spec}))
    _wait(world)
    assert _answering(world) == better


def _wait(world: World) -> None:
    world.kubectl.run("wait", "--for=condition=Ready", f"modeldeployment/{NAME}", *PLACE, "--timeout=240s")


def _answering(world: World) -> str:
    """The version that answers a prediction through the live Service."""
    row = json.loads((world.folder / REPLAY).read_text())[0]["row"]
    path = f"/api/v1/namespaces/{stack.MODEL_NAMESPACE}/services/{NAME}:80/proxy/predict"
    answer = json.loads(world.kubectl.run("create", "--raw", path, "-f", "-", stdin=json.dumps({"rows": [row]})))
    return str(answer["version"])
