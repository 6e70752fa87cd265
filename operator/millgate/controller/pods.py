"""What the status of pods says: how many are ready, which ended by themselves, and why others are not ready.

Messages are chosen so that they stay the same while nothing changes: the kubelet alternates between two of them while
it waits to try again, and a status that follows would be written each time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from millgate.api.conditions import Reason
from millgate.controller.words import last_words, one_line
from millgate.rollout.snapshot import Crash, Problem

Json = dict[str, Any]

_IMAGE = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
    | {"RegistryUnavailable", "SignatureValidationFailed"}
)
# FailedMount is no word of the kubelet for a container: millgate.controller.mounts puts it there.
_NOT_FOUND = frozenset({"CreateContainerConfigError", "FailedMount"})
_NOT_STARTED = frozenset({"CreateContainerError", "RunContainerError", "PreCreateHookError", "PostStartHookError"})
_PULL_DETAIL = "ErrImagePull: "


@dataclass(frozen=True)
class PodFacts:
    """The pods of one revision. Only those that are not being deleted count, but for `draining`."""

    pods: int = 0
    ready: int = 0
    draining: int = 0
    crashes: tuple[Crash, ...] = ()
    problem: Problem | None = None


def pod_facts(pods: Iterable[Json]) -> PodFacts:
    alive = [pod for pod in sorted(pods, key=_name) if not _ended(pod)]
    staying = [pod for pod in alive if not is_deleted(pod)]
    unready = [pod for pod in staying if not _is_ready(pod)]
    return PodFacts(
        pods=len(staying),
        ready=len(staying) - len(unready),
        draining=len(alive) - len(staying),
        crashes=tuple(sorted((crash for pod in staying for crash in _crashes(pod)), key=lambda crash: crash.time)),
        problem=_strongest(pod_problem(pod) for pod in unready),
    )


def is_deleted(obj: Json) -> bool:
    return obj["metadata"].get("deletionTimestamp") is not None


def pod_problem(pod: Json) -> Problem | None:
    """Why a pod is not ready, if it is for a reason that waiting alone does not mend."""
    found = _strongest(_container_problem(status) for status in container_statuses(pod))
    return found or _unschedulable(pod)


def container_statuses(pod: Json) -> Sequence[Json]:
    return pod.get("status", {}).get("containerStatuses") or ()


def condition(obj: Json, kind: str) -> Json | None:
    """The condition of that type, if it is True."""
    conditions = obj.get("status", {}).get("conditions") or ()
    return next((entry for entry in conditions if entry["type"] == kind and entry["status"] == "True"), None)


def ending(terminated: Json) -> Problem:
    """A container's end as a reason and a sentence: what it said itself, otherwise what the kubelet saw."""
    words = last_words(terminated.get("message"))
    how = f"exit code {terminated.get('exitCode')} ({terminated.get('reason') or 'Error'})"
    sentence = one_line(f"{how}: {words.message}" if words.message else how)
    if terminated.get("reason") == "OOMKilled":
        return Problem(Reason.OUT_OF_MEMORY, sentence)
    return Problem(words.reason or Reason.CONTAINER_CRASHED, sentence)


# What a person must know first, when several pods or containers have different problems.
_STRENGTH = (
    Reason.ARTIFACT_CHANGED,
    Reason.CODE_EXECUTION_NOT_ALLOWED,
    Reason.OUT_OF_MEMORY,
    Reason.IMAGE_PULL_FAILED,
    Reason.REF_NOT_FOUND,
    Reason.CONTAINER_CRASHED,
    Reason.POD_UNSCHEDULABLE,
)


def _strongest(problems: Iterable[Problem | None]) -> Problem | None:
    known = [problem for problem in problems if problem is not None]
    strength = {reason: place for place, reason in enumerate(_STRENGTH)}
    return min(known, key=lambda problem: strength.get(problem.reason, len(strength) // 2), default=None)


def _container_problem(status: Json) -> Problem | None:
    state = status.get("state") or {}
    waiting = state.get("waiting") or {}
    word, message = waiting.get("reason", ""), waiting.get("message", "")
    if word in _IMAGE:
        return Problem(Reason.IMAGE_PULL_FAILED, _pull_message(status.get("image", ""), word, message))
    if word in _NOT_FOUND:
        return Problem(Reason.REF_NOT_FOUND, one_line(message))
    if word in _NOT_STARTED:
        return Problem(Reason.CONTAINER_CRASHED, one_line(f"{word}: {message}"))
    terminated = state.get("terminated") or (status.get("lastState") or {}).get("terminated")
    return ending(terminated) if terminated else None


def _pull_message(image: str, word: str, message: str) -> str:
    """`ErrImagePull` carries the cause; `ImagePullBackOff` repeats it after a prefix, or (before Kubernetes 1.31) hides
    it.
    """
    _, found, cause = message.partition(_PULL_DETAIL)
    if not found:
        cause = "" if word == "ImagePullBackOff" else message
    said = f"image '{image}' cannot be pulled"
    return one_line(f"{said}: {cause}" if cause else said)


def _unschedulable(pod: Json) -> Problem | None:
    for entry in pod.get("status", {}).get("conditions") or ():
        if entry["type"] == "PodScheduled" and entry["status"] == "False" and entry.get("reason") == "Unschedulable":
            return Problem(Reason.POD_UNSCHEDULABLE, one_line(entry.get("message", "")))
    return None


def _crashes(pod: Json) -> Iterable[Crash]:
    for status in container_statuses(pod):
        for state in (status.get("lastState") or {}, status.get("state") or {}):
            terminated = state.get("terminated")
            if terminated and terminated.get("finishedAt"):
                problem = ending(terminated)
                reason = Reason.CONTAINER_CRASHED if problem.reason is not Reason.OUT_OF_MEMORY else problem.reason
                yield Crash(_name(pod), datetime.fromisoformat(terminated["finishedAt"]), reason, problem.message)


def _is_ready(pod: Json) -> bool:
    return condition(pod, "Ready") is not None


def _ended(pod: Json) -> bool:
    """An evicted pod stays as a record; the Deployment has made another one."""
    return pod.get("status", {}).get("phase") in {"Failed", "Succeeded"}


def _name(pod: Json) -> str:
    return str(pod["metadata"]["name"])
