"""What is mounted into the pods of a model, on a real kubelet: Secrets that are missing or change, and the volume in
which pods keep fetched models for each other.
"""

# ruff: noqa: S101  # tests assert

import base64
import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.acceptance.release import BLUE_GREEN, NAMESPACE, Release
from e2e.acceptance.test_causes import PLATFORM, RECOVERED_SECONDS, endure
from e2e.acceptance.world import World, configure, start_registry
from e2e.demo import models

Json = dict[str, Any]

SECRET = "digits-clients"
FOLDER = "/etc/millgate/clients"
FILES = [{"name": "clients", "mountPath": FOLDER, "secretName": SECRET}]
KEYED = {"env": [{"name": "MILLGATE_API_KEYS_FILE", "value": f"{FOLDER}/keys"}], "files": FILES}
OLD_KEY, NEW_KEY = "3f0c9d1be2a84c0f9a7761d4", "b5d2617f03ce4d7c8d5a9e40"
# The kubelet brings a changed Secret with its next look at the pod: a minute and a half, on a node that is not busy.
CHANGED_SECONDS = 240.0
CLAIM = "millgate-models"
STORAGE = Path(__file__).with_name("model-cache.yaml")

# Not by urllib, which asks the server to close: kubectl gives up a port-forward whose other end closes unread bytes, as
# one does that refuses a request by its headers.
_ASK = """
import http.client, sys
host, key, body = sys.argv[1:]
connection = http.client.HTTPConnection(host, timeout=10)
headers = {"content-type": "application/json"} | ({"authorization": "Bearer " + key} if key else {})
connection.request("POST", "/predict", body, headers)
answer = connection.getresponse()
print(answer.status, answer.read().decode())
"""
_FLIP_ONE_BIT = """
import os, pathlib
file = pathlib.Path("/cache", os.environ["MILLGATE_MODEL_DIGEST"].replace(":", "-"), "artefact/model.onnx")
content = bytearray(file.read_bytes())
content[len(content) // 2] ^= 1
file.write_bytes(content)
"""
_FETCHED = re.compile(r'"GET /api/2\.0/mlflow-artifacts/artifacts/\S+/model\.onnx ')


class Secret:
    """The keys of the model's clients, as a person keeps them."""

    def __init__(self, world: World) -> None:
        self._kubectl = world.kubectl

    def write(self, key: str) -> None:
        keys = base64.b64encode(f"# client key\nshop {key}\n".encode()).decode()
        metadata = {"name": SECRET, "namespace": NAMESPACE}
        self._kubectl.apply(
            json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"keys": keys}})
        )

    def delete(self) -> None:
        self._kubectl.run("delete", "secret", SECRET, "-n", NAMESPACE, "--ignore-not-found")


@pytest.fixture
def secret(world: World) -> Iterator[Secret]:
    made = Secret(world)
    made.delete()
    yield made
    made.delete()


@pytest.fixture(scope="module")
def cache(world: World) -> Iterator[None]:
    """The platform offers a volume for fetched models, which is empty at first."""
    world.kubectl.run("delete", "pod", "model-cache", "-n", "default", "--ignore-not-found", "--wait")
    world.kubectl.apply(STORAGE.read_text().replace("@IMAGE@", world.images.clients.reference))
    world.kubectl.run(
        *("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/model-cache", "-n", "default", "--timeout=120s")
    )
    configure(world.kubectl, world.images, modelCache={"claimName": CLAIM, "gibibytes": 1})
    yield
    configure(world.kubectl, world.images)


@pytest.mark.usefixtures("audience")
def test_a_preflight_that_waits_for_a_missing_secret_names_it_and_goes_on_once_it_is_there(
    world: World, release: Release, secret: Secret
) -> None:
    better = world.versions[2]
    release.apply(better, BLUE_GREEN, server={"files": FILES})
    told = release.await_condition("CandidateHealthy", "False", "RefNotFound")
    assert f"there is no Secret '{SECRET}'" in told["message"]
    release.tell("a Secret that is missing before the preflight", "CandidateHealthy", "Reconciling", "Ready")
    endure(release, "CandidateHealthy", "RefNotFound")

    _goes_on(release, better, secret)


@pytest.mark.usefixtures("audience")
def test_pods_that_wait_for_a_secret_that_is_gone_name_it_while_the_old_version_answers_every_request(
    world: World, release: Release, secret: Secret
) -> None:
    better = world.versions[2]
    secret.write(OLD_KEY)
    release.await_preflight(better, BLUE_GREEN, server={"files": FILES})
    secret.delete()
    release.apply(better, BLUE_GREEN, server={"files": FILES})
    told = release.await_condition("CandidateHealthy", "False", "RefNotFound")
    assert f"there is no Secret '{SECRET}'" in told["message"]
    release.tell("a Secret that is missing before the first pod", "CandidateHealthy", "Reconciling", "Ready")
    endure(release, "CandidateHealthy", "RefNotFound")
    waiting = [pod for pod in release.pods() if _awaits(pod) == "ContainerCreating"]
    assert len(waiting) == len(release.pods()) / 2, "the candidate's wait, those of stable do not"

    _goes_on(release, better, secret)


def test_keys_let_clients_in_and_changed_keys_count_without_a_restart(world: World, secret: Secret) -> None:
    secret.write(OLD_KEY)
    release = Release(world, 1)
    try:
        release.begin(world.versions[1], server=KEYED)
        (pod,) = release.pods()
        body = json.dumps({"rows": [json.loads((world.folder / models.REPLAY).read_text())[0]["row"]]})
        with world.kubectl.forward(NAMESPACE, f"pod/{pod['metadata']['name']}", 8080) as address:

            def answers(key: str) -> str:
                host = address.removeprefix("http://")
                return world.kubectl.command([sys.executable, "-c", _ASK, host, key, body]).strip()

            assert [_code(answers(key)) for key in ("", NEW_KEY, OLD_KEY)] == ["401", "401", "200"]
            world.figures.append(f"a request without a key: {answers('')}; with another one: {answers(NEW_KEY)}")

            secret.write(NEW_KEY)
            changed = time.monotonic()
            release.until(lambda: _code(answers(NEW_KEY)) == "200", "the new key to be let in", CHANGED_SECONDS)
            world.figures.append(f"a changed Secret counts after {time.monotonic() - changed:.0f} s")
            assert [_code(answers(key)) for key in ("", OLD_KEY)] == ["401", "401"]
        (same,) = release.pods()
        assert same["metadata"]["uid"] == pod["metadata"]["uid"]
        assert _container(same)["containerID"] == _container(pod)["containerID"]
        assert _container(same)["restartCount"] == 0
    finally:
        release.remove()


@pytest.mark.usefixtures("cache", "audience")
def test_a_model_is_fetched_once_for_a_node_and_a_further_pod_starts_while_the_registry_is_away(
    world: World, release: Release
) -> None:
    better = world.versions[2]
    before = len(_fetches(world))
    release.apply(better, BLUE_GREEN)
    release.await_promotion(better)
    fetches = _fetches(world)[before:]
    world.figures.append(f"a preflight and {len(release.pods()) // 2} pods with a cache: fetched {len(fetches)} times")
    assert len(fetches) == 1

    world.kubectl.run("scale", "deployment/mlflow", *PLATFORM, "--replicas=0")
    world.kubectl.run("wait", "--for=delete", "pod", "-l", "app=mlflow", *PLATFORM, "--timeout=60s")
    try:
        said = world.kubectl.run("logs", _replace_a_pod(release), "-n", NAMESPACE)
        assert "model found in the cache" in said
    finally:
        start_registry(world.kubectl, world.images)


@pytest.mark.usefixtures("cache", "audience")
def test_a_cached_file_that_was_damaged_is_noticed_named_and_fetched_again(world: World, release: Release) -> None:
    holder = release.pods()[0]["metadata"]["name"]
    world.kubectl.run("exec", holder, "-n", NAMESPACE, "--", "python3", "-c", _FLIP_ONE_BIT)
    before = len(_fetches(world))

    said = world.kubectl.run("logs", _replace_a_pod(release), "-n", NAMESPACE)
    (line,) = [line for line in said.splitlines() if "cache entry is damaged" in line]
    world.figures.append(f"a damaged file in the cache: {line}")
    assert "model.onnx differs" in line
    assert len(_fetches(world)) == before + 1

    _replace_a_pod(release)
    assert len(_fetches(world)) == before + 1, "what was fetched again is in the cache"


def _code(answer: str) -> str:
    return answer.partition(" ")[0]


def _goes_on(release: Release, version: str, secret: Secret) -> None:
    secret.write(OLD_KEY)
    there = time.monotonic()
    release.await_promotion(version, seconds=RECOVERED_SECONDS)
    release.world.figures.append(f"promoted {time.monotonic() - there:.0f} s after the Secret was there")


def _replace_a_pod(release: Release) -> str:
    """The name of the pod that came in place of one of stable's, once it is ready."""
    revision = release.status["stable"]["hash"]
    before = _ready(release, revision)
    gone = before[0]
    release.world.kubectl.run("delete", "pod", gone, "-n", NAMESPACE, "--wait=false")

    def replaced() -> str | None:
        ready = set(_ready(release, revision))
        return next(iter(ready - set(before)), None) if gone not in ready and len(ready) == len(before) else None

    return release.until(replaced, f"another pod in place of {gone}", 90)


def _ready(release: Release, revision: str) -> list[str]:
    return [
        pod["metadata"]["name"]
        for pod in release.pods()
        if pod["metadata"]["labels"]["millgate.dev/hash"] == revision
        and any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))
    ]


def _fetches(world: World) -> list[str]:
    """What the registry's own log says of requests for a model's file."""
    said = world.kubectl.run("logs", "deployment/mlflow", *PLATFORM)
    return [line for line in said.splitlines() if _FETCHED.search(line)]


def _container(pod: Json) -> Json:
    (found,) = pod["status"]["containerStatuses"]
    status: Json = found
    return status


def _awaits(pod: Json) -> str:
    state: Json = _container(pod)["state"]
    return str(state.get("waiting", {}).get("reason", ""))
