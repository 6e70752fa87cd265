"""Every version of the Services and Deployments of a namespace, in the order in which the API server stored them."""

import threading
import time
from dataclasses import dataclass

from e2e.acceptance.release import NAME, NAMESPACE, Json
from e2e.demo.kubectl import Kubectl
from e2e.demo.watch import objects

HASH = "millgate.dev/hash"


@dataclass(frozen=True)
class Write:
    """`order`: the resourceVersion, one count for all kinds. `seen`: seconds of the epoch at which a watch told of it,
    so a little after it. `pinned`: the hash that a Service selects. `replicas`: of a Deployment's spec.
    """

    order: int
    seen: float
    kind: str
    name: str
    pinned: str | None = None
    replicas: int | None = None


class Writes:
    """Watches from `start` to `stop`."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._lock = threading.Lock()
        self._known: list[Write] = []
        self._processes = [
            kubectl.start(["kubectl", "get", kind, "-n", NAMESPACE, "--watch", "-o", "json"])
            for kind in ("services", "deployments.apps")
        ]
        for process in self._processes:
            threading.Thread(target=self._follow, args=[process.stdout], daemon=True).start()

    def _follow(self, stream: object) -> None:
        for found in objects(stream):  # type: ignore[arg-type]  # a text stream, as Popen gives it
            with self._lock:
                self._known.append(_write(found))

    def routes(self) -> list[Write]:
        """Of the live Service: the first one seen, and those that changed what it selects."""
        kept: list[Write] = []
        for write in self._of("Service"):
            if write.name == NAME and (not kept or kept[-1].pinned != write.pinned):
                kept.append(write)
        return kept

    def sizes(self, revision_hash: str) -> list[Write]:
        """Of one revision's Deployment: those that changed its size."""
        kept: list[Write] = []
        for write in self._of("Deployment"):
            if write.name == f"{NAME}-{revision_hash}" and (not kept or kept[-1].replicas != write.replicas):
                kept.append(write)
        return kept

    def _of(self, kind: str) -> list[Write]:
        with self._lock:
            return sorted((write for write in self._known if write.kind == kind), key=lambda write: write.order)

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
            process.wait()


def _write(found: Json) -> Write:
    spec, meta = found["spec"], found["metadata"]
    selector = spec.get("selector") or {}
    return Write(
        order=int(meta["resourceVersion"]),
        seen=time.time(),
        kind=found["kind"],
        name=meta["name"],
        pinned=selector.get(HASH) if found["kind"] == "Service" else None,
        replicas=spec.get("replicas") if found["kind"] == "Deployment" else None,
    )
