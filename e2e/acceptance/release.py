"""One ModelDeployment as a person handles it: apply, ask, look at its conditions, wait with a deadline."""

import json
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

from e2e.acceptance.world import World
from e2e.demo import stack
from e2e.demo.kubectl import CommandError

Json = dict[str, Any]
T = TypeVar("T")

NAMESPACE, NAME = stack.MODEL_NAMESPACE, stack.NAME
POLL_SECONDS = 0.3
# What kubectl says when an API server under load does not answer in time, once. The word alone would be too little: it
# is an option of many a command, and in the traceback of many a program.
_LATE = re.compile(r"\(Timeout\)|handshake timeout|i/o timeout|Client\.Timeout|context deadline exceeded")

BLUE_GREEN: Json = {"strategy": "BlueGreen", "gates": []}
CANARY: Json = {
    "steps": [{"name": "half", "weightPercent": 50, "minSeconds": 2}, {"name": "all", "weightPercent": 100}],
    "gates": [],
}

GUARDED: Json = {
    "steps": [{"name": "half", "weightPercent": 50, "minSeconds": 5}, {"name": "all", "weightPercent": 100}],
    "gates": [{"name": "errors", "type": "Compare", "compare": {"preset": "Errors"}}],
    "intervalSeconds": 2,
}


class Release:
    """Each `await_…` raises AssertionError, with the conditions as they are, when its time is over."""

    def __init__(self, world: World, replicas: int) -> None:
        self.world = world
        self._replicas = replicas

    def apply(self, version: str, rollout: Json, **spec: Any) -> None:
        manifest = {
            "apiVersion": "millgate.dev/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "spec": {
                "model": {"name": NAME, "version": version},
                "replicas": self._replicas,
                "rollout": {"keepWarmSeconds": 600, **rollout},
                **spec,
            },
        }
        self.world.kubectl.apply(json.dumps(manifest))

    def begin(self, version: str, **spec: Any) -> None:
        """As the first and only revision."""
        self.remove()
        self.apply(version, BLUE_GREEN, **spec)
        self.await_condition("Ready", "True", "Promoted", seconds=180)

    def await_preflight(self, version: str, rollout: Json, **spec: Any) -> None:
        """Apply it, and pause once it has begun: the preflight goes on and passes, but no pod is started after it."""
        self.apply(version, rollout, **spec)
        self.until(lambda: self.status.get("rollout"), "the preflight to begin", 30)
        self.apply(version, rollout, **spec, paused=True)
        self.until(lambda: self.status["rollout"].get("preflightPassed"), "the preflight to pass", 90)

    def remove(self) -> None:
        self.world.kubectl.run(
            *("delete", "modeldeployment", NAME, "-n", NAMESPACE, "--ignore-not-found"),
            *("--wait", "--cascade=foreground", "--timeout=120s"),
        )

    @property
    def status(self) -> Json:
        found = self.world.kubectl.get("modeldeployment", NAME, "-n", NAMESPACE) or {}
        status: Json = found.get("status", {})
        return status

    def condition(self, kind: str) -> Json:
        return next((each for each in self.status.get("conditions", []) if each["type"] == kind), {})

    def pods(self) -> list[Json]:
        words = ("pods", "-n", NAMESPACE, "-l", f"millgate.dev/name={NAME},millgate.dev/component=server")
        found = self.world.kubectl.get(*words) or {}
        pods: list[Json] = found.get("items", [])
        return pods

    def await_condition(self, kind: str, status: str, reason: str, *, seconds: float = 90) -> Json:
        def holds() -> Json | None:
            found = self.condition(kind)
            return found if (found.get("status"), found.get("reason")) == (status, reason) else None

        return self.until(holds, f"{kind} to be {status} with reason {reason}", seconds)

    def await_promotion(self, version: str, *, seconds: float = 120) -> None:
        def promoted() -> bool:
            status = self.status
            return (status.get("stable") or {}).get("modelVersion") == version and not status.get("candidate")

        self.until(promoted, f"version {version} to be promoted", seconds)

    def await_rest(self, version: str, *, seconds: float = 60) -> None:
        """This version is stable and nothing is under way."""

        def rests() -> bool:
            status = self.status
            return status["stable"]["modelVersion"] == version and not status.get("rollout")

        self.until(rests, f"version {version} to be all that is left", seconds)

    def until(self, holds: Callable[[], T | None], what: str, seconds: float) -> T:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            try:
                found = holds()
            except CommandError as error:
                found = None
                if not _LATE.search(str(error)):
                    raise
            if found:
                return found
            time.sleep(POLL_SECONDS)
        raise AssertionError(f"waited {seconds:.0f} s for {what}; it is: {json.dumps(self.status, indent=1)}")

    def tell(self, what: str, *kinds: str) -> None:
        """Put the words of these conditions into the figures."""
        for kind in kinds:
            found = self.condition(kind)
            words = f"{kind}={found.get('status')} {found.get('reason')}: {found.get('message')}"
            self.world.figures.append(f"{what}: {words}")
