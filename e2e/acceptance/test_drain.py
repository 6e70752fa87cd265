"""Pods of the model server that are ended under load lose no request, and end with 0."""

# ruff: noqa: S101  # tests assert

import json
import subprocess
from pathlib import Path
from typing import Any

from e2e.acceptance.release import NAME, NAMESPACE, Release
from e2e.acceptance.world import World
from e2e.bench.serving import loadgen
from e2e.demo import models

REPLICAS = 3
REQUESTS_PER_SECOND = 1000
ENDED_PODS = 50
LONGEST_MINUTES = 20
EXIT_CODES = 'jsonpath={.metadata.name} {.status.containerStatuses[0].state.terminated.exitCode}{"\\n"}'


def test_fifty_pods_ended_at_a_thousand_requests_a_second_lose_none_of_them(
    world: World, release: Release, tmp_path: Path
) -> None:
    """Half of the requests on connections that are kept, the other half each on a connection of its own."""
    loads = [_load(world, tmp_path, kind) for kind in ("kept", "fresh")]
    watch = world.kubectl.start(["kubectl", "get", "pods", "-n", NAMESPACE, "--watch", "-o", EXIT_CODES])
    try:
        ended = [_end_one(release) for _ in range(ENDED_PODS)]
        release.until(lambda: len(release.pods()) == REPLICAS, "the last pods to be gone", 90)
    finally:
        watch.terminate()
        seen, _ = watch.communicate()
        documents = [_ended(load) for load in loads]
    codes = dict(line.split() for line in seen.splitlines() if len(line.split()) == 2)
    requests = sum(document["answered"] for document in documents)
    world.figures.append(
        f"{len(ended)} pods ended under {REQUESTS_PER_SECOND} requests a second: {requests} requests, "
        f"{[document['errors'] for document in documents]} without an answer, "
        f"answers by status {[document['status'] for document in documents]}, exit codes {sorted(set(codes.values()))}"
    )
    assert all(not document["errors"] and set(document["status"]) == {"200"} for document in documents)
    assert {name: codes.get(name) for name in ended} == dict.fromkeys(ended, "0")


def _load(world: World, folder: Path, kind: str) -> "subprocess.Popen[str]":
    row = json.loads((world.folder / models.REPLAY).read_text())[0]["row"]
    body = folder / f"{kind}.json"
    body.write_text(json.dumps({"rows": [row]}))
    service: dict[str, Any] = world.kubectl.get("service", NAME, "-n", NAMESPACE) or {}
    address, (port, *_) = service["spec"]["clusterIP"], service["spec"]["ports"]
    flags = [
        *("-rate", str(REQUESTS_PER_SECOND // 2), "-duration", f"{LONGEST_MINUTES}m", "-connections", "40"),
        *("-timeout", "10s", "-body", str(body), *(["-fresh"] if kind == "fresh" else [])),
    ]
    return world.kubectl.start([str(loadgen.binary()), *flags, f"http://{address}:{port['port']}/predict"])


def _ended(load: "subprocess.Popen[str]") -> dict[str, Any]:
    """Its document, which it prints when it is asked to stop."""
    load.terminate()
    said, _ = load.communicate(timeout=60)
    found: dict[str, Any] = json.loads(said)
    return found


def _end_one(release: Release) -> str:
    """Delete the oldest pod as a drained node would, and wait until another one is in its place."""
    oldest = min(_alive(release), key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))
    name: str = oldest["metadata"]["name"]
    release.world.kubectl.run("delete", "pod", name, "-n", NAMESPACE, "--wait=false")

    def replaced() -> bool:
        alive = _alive(release)
        return len(alive) == REPLICAS and all(pod["metadata"]["name"] != name and _is_ready(pod) for pod in alive)

    release.until(replaced, f"another pod in place of {name}", 90)
    return name


def _alive(release: Release) -> list[dict[str, Any]]:
    return [pod for pod in release.pods() if "deletionTimestamp" not in pod["metadata"]]


def _is_ready(pod: dict[str, Any]) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))
