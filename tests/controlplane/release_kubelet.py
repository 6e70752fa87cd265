"""The kubelet of pods that no node takes: it writes what a test wants their containers to have done.

KWOK's own pods complete every Job without a word and become ready at once, so they can neither fail nor say a digest.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from millgate.kube.api import EVENT, POD, KubeApi, KubeError
from tests.controlplane.release_promises import COMPONENT
from tests.controlplane.release_record import Record

Json = dict[str, Any]
NOWHERE = {"nowhere": "here"}
DIGEST = "sha256:" + "ab" * 32


@dataclass(frozen=True)
class Ended:
    """A container that ended with this code and these last words."""

    code: int
    says: Json


@dataclass(frozen=True)
class Waiting:
    """A container that cannot start."""

    reason: str
    message: str


@dataclass(frozen=True)
class Unmounted:
    """A pod whose files do not come: an event says why, and its status says nothing."""

    note: str


RUNNING = None
PASSED = Ended(0, {"digest": DIGEST})
Fate = Ended | Waiting | Unmounted | None


def _as_it_should_be(component: str, version: str, attempt: int) -> Fate:  # noqa: ARG001 - one of many fates
    return PASSED if component == "preflight" else RUNNING


@dataclass
class Kubelet:
    """`fate(component, version, attempt)` says what becomes of a pod; it may be changed at any time."""

    api: KubeApi
    record: Record
    fate: Callable[[str, str, int], Fate] = _as_it_should_be
    _wrote: dict[str, Json] = field(default_factory=dict)

    async def run(self) -> None:
        while True:
            for pod in self.record.of_kind("Pod"):
                if pod["spec"].get("nodeSelector") == NOWHERE and not pod["metadata"].get("deletionTimestamp"):
                    await self._write(pod)
            await asyncio.sleep(0.05)

    async def _write(self, pod: Json) -> None:
        component = pod["metadata"]["labels"][COMPONENT]
        env = {entry["name"]: entry.get("value", "") for entry in pod["spec"]["containers"][0]["env"]}
        # The name of a gate's Job ends in something else than a number.
        last = pod["metadata"]["labels"].get("batch.kubernetes.io/job-name", "").rpartition("-")[2]
        attempt = int(last) if last.isdecimal() else 0
        fate = self.fate(component, env["MILLGATE_MODEL_VERSION"], attempt)
        wanted = _status(pod, fate)
        name = pod["metadata"]["name"]
        # Only after the scheduler has said that it finds no node: it would say so over this.
        early = isinstance(fate, Unmounted) and not pod.get("status", {}).get("conditions")
        if early or self._wrote.get(name) == wanted:
            return
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        for state in (entry["state"] for entry in wanted["containerStatuses"]):
            if "terminated" in state:
                state["terminated"] |= {"finishedAt": now, "startedAt": now}
        metadata = {"namespace": pod["metadata"]["namespace"], "name": name, "uid": pod["metadata"]["uid"]}
        partial = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": wanted}
        try:
            await self.api.apply(POD, partial, subresource="status", manager="kubelet")
            if isinstance(fate, Unmounted):
                await self.api.create(EVENT, _failed_mount(pod, fate.note))
        except KubeError:
            return  # it is gone, or is being written by a controller: the next turn will tell
        for state in (entry["state"] for entry in wanted["containerStatuses"]):
            state.get("terminated", {}).pop("finishedAt", None)
            state.get("terminated", {}).pop("startedAt", None)
        self._wrote[name] = wanted


def _status(pod: Json, fate: Fate) -> Json:
    container = pod["spec"]["containers"][0]
    entry = {"name": container["name"], "image": container["image"], "imageID": "", "restartCount": 0}
    if isinstance(fate, Ended):
        state = {"exitCode": fate.code, "reason": "Completed" if fate.code == 0 else "Error"}
        entry |= {"ready": False, "state": {"terminated": state | {"message": json.dumps(fate.says)}}}
        phase = "Succeeded" if fate.code == 0 else "Failed"
        is_job = pod["spec"].get("restartPolicy") == "Never"
        return {"phase": phase if is_job else "Running", "conditions": _ready("False"), "containerStatuses": [entry]}
    if isinstance(fate, Waiting):
        entry |= {"ready": False, "state": {"waiting": {"reason": fate.reason, "message": fate.message}}}
        return {"phase": "Pending", "conditions": _ready("False"), "containerStatuses": [entry]}
    if isinstance(fate, Unmounted):
        entry |= {"ready": False, "state": {"waiting": {"reason": "ContainerCreating"}}}
        seen = [{"type": "PodReadyToStartContainers", "status": "False"}, {"type": "PodScheduled", "status": "True"}]
        return {"phase": "Pending", "conditions": [*_ready("False"), *seen], "containerStatuses": [entry]}
    entry |= {"ready": True, "started": True, "state": {"running": {}}}
    return {"phase": "Running", "conditions": _ready("True"), "containerStatuses": [entry]}


def _failed_mount(pod: Json, note: str) -> Json:
    about = {key: pod["metadata"][key] for key in ("namespace", "name", "uid")}
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {"namespace": about["namespace"], "generateName": "mount-"},
        "eventTime": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "reportingController": "kubelet",
        "reportingInstance": "nowhere",
        "action": "Mount",
        "reason": "FailedMount",
        "type": "Warning",
        "note": note,
        "regarding": {"apiVersion": "v1", "kind": "Pod", **about},
    }


def _ready(status: str) -> list[Json]:
    return [{"type": "Ready", "status": status}]


@asynccontextmanager
async def kubelet(api: KubeApi, record: Record) -> AsyncIterator[Kubelet]:
    made = Kubelet(api, record)
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
