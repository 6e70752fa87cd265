"""Pods and Jobs as a kubelet and the Job controller leave them."""

from typing import Any

Json = dict[str, Any]
CREATED = "2026-11-23T08:00:00Z"
ENDED = "2026-11-23T08:05:00Z"


def terminated(code: int, *, reason: str = "Error", message: str | None = None, at: str = ENDED) -> Json:
    state: Json = {"exitCode": code, "reason": "Completed" if code == 0 else reason, "finishedAt": at}
    return {"terminated": state | ({"message": message} if message is not None else {})}


def waiting(reason: str, message: str = "") -> Json:
    return {"waiting": {"reason": reason, "message": message}}


def pod(
    name: str = "fraud-r1-a",
    *,
    ready: bool = False,
    state: Json | None = None,
    last: Json | None = None,
    phase: str = "Running",
    deleted: bool = False,
    conditions: tuple[Json, ...] = (),
    owner: str = "",
    **status: Any,
) -> Json:
    metadata: Json = {"name": name, "creationTimestamp": CREATED}
    if deleted:
        metadata["deletionTimestamp"] = ENDED
    if owner:
        metadata["ownerReferences"] = [{"kind": "Job", "name": "x", "uid": owner}]
    container = {"name": "server", "image": "shop/fraud:8", "state": state or {"running": {}}, "lastState": last or {}}
    return {
        "kind": "Pod",
        "metadata": metadata,
        "status": {
            "phase": phase,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}, *conditions],
            "containerStatuses": [container],
            **status,
        },
    }


def job(*conditions: Json, uid: str = "job-1", annotations: Json | None = None, deadline_seconds: int = 600) -> Json:
    return {
        "kind": "Job",
        "metadata": {
            "name": "fraud-r1-check-1",
            "uid": uid,
            "annotations": annotations or {"millgate.dev/attempt": "3"},
            "creationTimestamp": CREATED,
        },
        "spec": {"activeDeadlineSeconds": deadline_seconds},
        "status": {"conditions": list(conditions)},
    }


def is_true(kind: str, reason: str = "", message: str = "") -> Json:
    return {"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": ENDED}
