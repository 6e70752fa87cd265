"""A ModelDeployment that a test releases versions of: what it asks for, what became of it, what was seen meanwhile."""

import json
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from e2e.cluster.controlplane import ControlPlane
from e2e.cluster.processes import Runner
from e2e.cluster.wheels import client_tools
from tests.controlplane.plane import Kubectl, eventually

Json = dict[str, Any]
HASH = "millgate.dev/hash"


@dataclass(frozen=True)
class Released:
    """One ModelDeployment whose model is in its image."""

    kubectl: Kubectl
    namespace: str
    name: str = "fraud"

    def ask_for(self, version: str, *, steps: list[Json] | None = None, replicas: int = 2, **rollout: Any) -> None:
        """Apply a version as a person or a pipeline does."""
        self.kubectl.apply(self.manifest(version, steps=steps, replicas=replicas, **rollout), namespace=self.namespace)

    def manifest(self, version: str, *, steps: list[Json] | None = None, replicas: int = 2, **rollout: Any) -> Json:
        plan = {
            "keepWarmSeconds": 0,
            "gates": [],
            **({"steps": steps} if steps else {"strategy": "BigBang"}),
            **rollout,
        }
        return {
            "apiVersion": "millgate.dev/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": {"name": self.name},
            "spec": {
                "model": {"source": "Image", "name": self.name, "version": version},
                "server": {"image": f"registry.example/{self.name}:1"},
                "replicas": replicas,
                "rollout": plan,
            },
        }

    def request(self, text: str) -> None:
        self.kubectl(
            "annotate", "--overwrite", f"mdep/{self.name}", f"millgate.dev/request={text}", namespace=self.namespace
        )

    def object(self) -> Json:
        return self.kubectl.json("get", f"mdep/{self.name}", namespace=self.namespace)

    @property
    def status(self) -> Json:
        return self.object().get("status", {})

    def condition(self, type_: str) -> Json:
        return next((one for one in self.status.get("conditions", ()) if one["type"] == type_), {})

    def wait_ready(self, seconds: int = 40) -> None:
        """As a pipeline waits; it must not take the old generation's word."""
        self.kubectl(
            "wait", "--for=condition=Ready", f"--timeout={seconds}s", f"mdep/{self.name}", namespace=self.namespace
        )

    async def until(self, check: Callable[[Json], Any], *, seconds: float = 30.0, what: str = "") -> Json:
        """The status as soon as `check` holds for it."""

        def look() -> Json | None:
            status = self.status
            return status if status and check(status) else None

        found = await eventually(look, seconds=seconds, what=what)
        assert found is not None
        return found

    def children(self) -> dict[str, str]:
        """Each child with its resourceVersion."""
        objects = self.kubectl.json(
            "get", "deployments,services,jobs", f"--selector=millgate.dev/name={self.name}", namespace=self.namespace
        )
        return {
            f"{obj['kind']}/{obj['metadata']['name']}": obj["metadata"]["resourceVersion"] for obj in objects["items"]
        }


@dataclass
class Course:
    """Every state that the ModelDeployment and its live Service went through, as two watches saw it."""

    statuses: list[Json] = field(default_factory=list)
    selectors: list[Json] = field(default_factory=list)

    @property
    def steps_begun(self) -> list[tuple[str, str]]:
        """(rollout, step) in the order in which they were first seen to have begun."""
        seen: dict[tuple[str, str], None] = {}
        for status in self.statuses:
            rollout = status.get("rollout") or {}
            for step in rollout.get("steps", ()):
                seen.setdefault((rollout["id"], step["name"]))
        return list(seen)

    def step_starts(self, step: str) -> set[str]:
        """All start times that a step was ever said to have; a step that is not repeated has one."""
        return {
            record["startTime"]
            for status in self.statuses
            for record in (status.get("rollout") or {}).get("steps", ())
            if record["name"] == step
        }


class Watching:
    """Two `kubectl get --watch` beside a test; `course` grows while they run."""

    def __init__(self, plane: ControlPlane, released: Released) -> None:
        self._plane = plane
        self._released = released
        self._processes: list[subprocess.Popen[str]] = []
        self._threads: list[threading.Thread] = []
        self.course = Course()

    def __enter__(self) -> Self:
        self._watch("mdep", lambda obj: self.course.statuses.append(obj.get("status", {})))
        self._watch("service", lambda obj: self.course.selectors.append(obj["spec"].get("selector", {})))
        return self

    def __exit__(self, *_: object) -> None:
        time.sleep(0.3)  # what was written last is on its way
        for process in self._processes:
            process.kill()
            process.wait()
        for thread in self._threads:
            thread.join(5)

    def _watch(self, kind: str, note: Callable[[Json], None]) -> None:
        command = [client_tools(Runner()) / "kubectl", f"--kubeconfig={self._plane.kubeconfig}", "get", kind]
        command += ["--watch", "--output=json", f"--namespace={self._released.namespace}"]
        command += [f"--field-selector=metadata.name={self._released.name}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self._processes.append(process)

        def read() -> None:
            decoder, text = json.JSONDecoder(), ""
            for line in process.stdout or ():
                text += line
                if line == "}\n":  # kubectl prints one indented object after the other
                    note(decoder.decode(text))
                    text = ""

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        self._threads.append(thread)
