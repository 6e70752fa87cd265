"""Why a pod's files do not come. Its status never says so: the kubelet tells events alone of a volume that is missing.

What they say is put where the kubelet writes why a container waits, so that it is read as any other such reason.
"""

import asyncio
import logging
import re
from collections.abc import Iterable, Sequence
from typing import Any

from millgate.controller.pods import condition, container_statuses, is_deleted
from millgate.kube.api import EVENT, KubeApi, KubeError

Json = dict[str, Any]

logger = logging.getLogger(__name__)

FAILED_MOUNT = "FailedMount"
# 'MountVolume.SetUp failed for volume "files-keys" : secret "clients" not found'. The kubelet tells the same in other
# words from time to time, without the name; a status that followed would be written each time.
_MISSING = re.compile(r'\b(secret|configmap) "([^"]+)" not found')
_KINDS = {"secret": "Secret", "configmap": "ConfigMap"}


def awaits_files(pod: Json) -> bool:
    """It is on a node, mounts a Secret or ConfigMap, and its containers cannot begin yet."""
    volumes = pod.get("spec", {}).get("volumes") or ()
    return (
        not is_deleted(pod)
        and pod.get("status", {}).get("phase") == "Pending"
        and any("secret" in volume or "configMap" in volume for volume in volumes)
        and condition(pod, "PodScheduled") is not None
        and condition(pod, "PodReadyToStartContainers") is None
        and all(_waiting(status).get("reason") == "ContainerCreating" for status in container_statuses(pod))
    )


async def with_missing(api: KubeApi, namespace: str, pods: Sequence[Json]) -> tuple[Json, ...]:
    """The pods; of those with one owner that await files the first says what is missing, if anything is.

    The others lack the same. Where events may not be read, nothing is said.
    """
    asked = {_owner(pod): pod for pod in sorted(pods, key=_name, reverse=True) if awaits_files(pod)}
    told = await asyncio.gather(*(_missing(api, namespace, pod) for pod in asked.values()))
    said = {_name(pod): message for pod, message in zip(asked.values(), told, strict=True) if message}
    return tuple(_saying(pod, said[_name(pod)]) if _name(pod) in said else pod for pod in pods)


async def _missing(api: KubeApi, namespace: str, pod: Json) -> str:
    fields = f"regarding.uid={pod['metadata']['uid']},reason={FAILED_MOUNT}"
    try:
        events = await api.list(EVENT, namespace, fields=fields)
    except KubeError as error:
        logger.warning("events of a pod could not be read", extra={"namespace": namespace, "error": str(error)})
        return ""
    return missing(event.get("note", "") for event in events)


def missing(notes: Iterable[str]) -> str:
    """The objects that are not there, the same whatever the order of the events and however often they were told."""
    found = {match.groups() for note in notes for match in _MISSING.finditer(note)}
    return ", ".join(f"there is no {_KINDS[kind]} '{name}'" for kind, name in sorted(found))


def _saying(pod: Json, message: str) -> Json:
    statuses = container_statuses(pod) or ({},)
    state = {"waiting": {"reason": FAILED_MOUNT, "message": message}}
    told = [{**status, "state": state} for status in statuses]
    return pod | {"status": pod["status"] | {"containerStatuses": told}}


def _waiting(status: Json) -> Json:
    return (status.get("state") or {}).get("waiting") or {}


def _owner(pod: Json) -> str:
    references = pod["metadata"].get("ownerReferences") or ()
    return str(references[0]["uid"]) if references else _name(pod)


def _name(pod: Json) -> str:
    return str(pod["metadata"]["name"])
