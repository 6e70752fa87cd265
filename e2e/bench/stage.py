"""Where a benchmark takes place: a control plane, a namespace that is recorded, an operator, people at work."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.bench.metrics import Metrics, question
from e2e.cluster.controlplane import ControlPlane
from millgate.api.names import LABEL_HASH
from millgate.api.request import REQUEST_ANNOTATION
from millgate.kube.api import MODEL_DEPLOYMENT, KubeApi
from millgate.kube.login import Login
from tests.controlplane.operator_process import OperatorProcess
from tests.controlplane.plane import Kubectl, control_plane, model_deployment, new_namespace
from tests.controlplane.release_record import Change, Record, recorded

Json = dict[str, Any]
USER_AGENT = "millgate-bench"  # so that the audit log tells our requests from the operator's
ENDLESS_SECONDS = 3600  # a step that waits for what is measured
_POLL_SECONDS = 0.02
_AT_ONCE = 16


class BenchError(Exception):
    """Something that is not measured did not happen."""


@dataclass(frozen=True)
class Setting:
    """What was asked for on the command line."""

    quick: bool = False
    full: bool = False


@dataclass(frozen=True)
class Stage:
    """One namespace and the operator that watches it. Times are Unix seconds of this machine's one clock."""

    plane: ControlPlane
    api: KubeApi
    record: Record
    operator: OperatorProcess

    @property
    def namespace(self) -> str:
        return self.record.namespace

    async def apply(self, obj: Json) -> Json:
        placed = obj | {"metadata": obj["metadata"] | {"namespace": self.namespace}}
        return await self.api.apply(MODEL_DEPLOYMENT, placed, manager="kubectl")

    async def apply_all(self, objects: Sequence[Json]) -> None:
        slots = asyncio.Semaphore(_AT_ONCE)

        async def one(obj: Json) -> None:
            async with slots:
                await self.apply(obj)

        async with asyncio.TaskGroup() as group:
            for obj in objects:
                group.create_task(one(obj))

    async def ask(self, name: str, request: str) -> None:
        patch = {"metadata": {"annotations": {REQUEST_ANNOTATION: request}}}
        await self.api.patch(MODEL_DEPLOYMENT, self.namespace, name, patch, manager="kubectl-annotate")

    def status(self, name: str) -> Json:
        found = self.record.newest("ModelDeployment", name) or {}
        return found.get("status") or {}

    def stable_hash(self, name: str) -> str:
        return str(self.status(name)["stable"]["hash"])

    async def until(self, check: Callable[[], object], what: str, *, seconds: float = 120.0) -> None:
        until = time.monotonic() + seconds
        while not check():
            if time.monotonic() > until:
                raise BenchError(f"not within {seconds:.0f} s: {what}")
            if not self.operator.running():
                raise BenchError(f"the operator ended while this was waited for: {what}")
            await asyncio.sleep(_POLL_SECONDS)

    async def promoted(self, names: Sequence[str], *, seconds: float = 300.0) -> None:
        await self.until(
            lambda: all(word(self.status(name)) == "Promoted" and self._idle(name) for name in names),
            f"{len(names)} first versions are promoted",
            seconds=seconds,
        )

    async def in_step(self, names: Sequence[str], step: str, *, seconds: float = 300.0) -> None:
        """The step has begun, its route is open to the candidate."""
        await self.until(
            lambda: all(step_in_hand(self.status(name)) == step and self.pinned(name) is None for name in names),
            f"step {step} has begun for {len(names)}",
            seconds=seconds,
        )

    def pinned(self, name: str) -> str | None:
        """The hash that the live Service names; None while it is open to two."""
        return _pinned(self.record.newest("Service", name) or {})

    async def moment_back(self, name: str, since: float, *, seconds: float = 60.0) -> float:
        """When the live Service named nothing but stable again."""
        stable = self.stable_hash(name)
        await self.until(lambda: self.pinned(name) == stable, f"the route of {name} is at stable", seconds=seconds)
        return self.first(lambda one: one.kind == "Service" and one.name == name and _pinned(one.obj) == stable, since)

    def first(self, check: Callable[[Change], bool], since: float) -> float:
        """When the first change like that was seen."""
        return next(change.at for change in self.record.changes() if change.at >= since and check(change))

    def _idle(self, name: str) -> bool:
        return self.status(name).get("rollout") is None


@asynccontextmanager
async def stage(plane: ControlPlane, **config: Any) -> AsyncIterator[Stage]:
    """A stage on a control plane that runs; gone at the end. `config`: fields of the operator's configuration."""
    async with AsyncExitStack() as stack:
        namespace = stack.enter_context(new_namespace(Kubectl(plane.kubeconfig), "bench"))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        record = stack.enter_context(recorded(plane, namespace))
        own: Json = {"watchNamespaces": [namespace], "lease": {"name": "millgate-operator", "namespace": namespace}}
        operator = stack.enter_context(OperatorProcess(plane, folder, **own, **config))
        await asyncio.to_thread(operator.leading)
        yield Stage(plane, await stack.enter_async_context(await client(plane)), record, operator)


@asynccontextmanager
async def stage_alone(**config: Any) -> AsyncIterator[Stage]:
    """A stage on a control plane of its own, on which nothing else happens."""
    with control_plane(audit=True) as plane:
        async with stage(plane, **config) as own:
            yield own


async def client(plane: ControlPlane) -> KubeApi:
    login = Login(str(plane.kubeconfig))
    connection: Any = await login.client()
    connection.user_agent = USER_AGENT
    return KubeApi(login, connection)


def subject(name: str, version: str, policy: Json, *, replicas: int = 1) -> Json:
    """A ModelDeployment whose model is baked into its image, so that no registry is needed."""
    spec = {
        "model": {"source": "Image", "name": name, "version": version},
        "server": {"image": f"registry.example/{name}:{version}"},
        "replicas": replicas,
        "rollout": policy,
    }
    return model_deployment(name, spec=spec)


def policy(*steps: Json, **fields: Any) -> Json:
    """Steps as given and then everything; no guardrails, and nothing kept warm."""
    return {"steps": [*steps, {"name": "all", "weightPercent": 100}], "gates": [], "keepWarmSeconds": 0} | fields


def endless_half(*gates: Json) -> Json:
    return {"name": "half", "weightPercent": 50, "minSeconds": ENDLESS_SECONDS, "gates": list(gates)}


def badness_gate(name: str, namespace: str) -> Json:
    return {"name": "badness", "type": "Query", "query": {"promql": question(name, namespace), "max": "1"}}


def watched_by(metrics: Metrics) -> Json:
    """The operator's configuration for a stand-in."""
    return {"prometheus": {"url": metrics.url, "scrapeIntervalSeconds": 1}}


def word(status: Json) -> str:
    """The reason of `Ready`."""
    return next((str(entry["reason"]) for entry in status.get("conditions", ()) if entry["type"] == "Ready"), "")


def step_in_hand(status: Json) -> str:
    rollout = status.get("rollout") or {}
    return str(rollout.get("stepName") or "") if rollout.get("stepStartTime") else ""


def _pinned(service: Json) -> str | None:
    found = service.get("spec", {}).get("selector", {}).get(LABEL_HASH)
    return None if found is None else str(found)
