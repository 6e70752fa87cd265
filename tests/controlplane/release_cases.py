"""What tests of releases share: short rollouts of a model that is baked into its image, applied, waited for, asked."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from millgate.api.request import REQUEST_ANNOTATION
from millgate.kube.api import MODEL_DEPLOYMENT, KubeApi
from tests.controlplane.plane import eventually, model_deployment
from tests.controlplane.release_record import Record

Json = dict[str, Any]
REPLICAS = 3
QUARTER = {"name": "quarter", "weightPercent": 25, "minSeconds": 2}
HALF = {"name": "half", "weightPercent": 50, "minSeconds": 3}
ALL = {"name": "all", "weightPercent": 100}
OWNER = {"name": "owner", "type": "Approval"}


def rollout(*steps: Json, **fields: Any) -> Json:
    """Steps of seconds, no guardrails, and the old revision kept warm for a moment."""
    return {"steps": list(steps or (QUARTER, HALF, ALL)), "gates": [], "keepWarmSeconds": 2} | fields


def release(name: str, version: str, policy: Json | None = None, **fields: Any) -> Json:
    spec = {
        "model": {"source": "Image", "name": name, "version": version},
        "server": {"image": f"registry.example/{name}:{version}"},
        "replicas": REPLICAS,
        "rollout": policy or rollout(),
    }
    return model_deployment(name, spec=spec | fields)


def trouble_gate(*, name: str = "trouble", at_most: str = "1") -> Json:
    """A query gate that reads the series `test_trouble` of a ModelDeployment."""
    promql = 'test_trouble{namespace="$(namespace)",model="$(name)"}'
    return {"name": name, "type": "Query", "query": {"promql": promql, "max": at_most}}


@dataclass(frozen=True)
class Releases:
    """People at work in one namespace: they apply and annotate, and see what the record sees."""

    api: KubeApi
    record: Record
    applied: dict[str, int] = field(default_factory=dict)  # generation of what was applied last, by name

    @property
    def namespace(self) -> str:
        return self.record.namespace

    async def apply(self, obj: Json, *, manager: str = "kubectl") -> Json:
        placed = obj | {"metadata": obj["metadata"] | {"namespace": self.namespace}}
        stored = await self.api.apply(MODEL_DEPLOYMENT, placed, manager=manager)
        self.applied[stored["metadata"]["name"]] = stored["metadata"]["generation"]
        return stored

    async def ask(self, name: str, text: str) -> None:
        """Request by annotation."""
        patch = {"metadata": {"annotations": {REQUEST_ANNOTATION: text}}}
        await self.api.patch(MODEL_DEPLOYMENT, self.namespace, name, patch, manager="kubectl-annotate")

    def seen(self, name: str) -> Json:
        """The ModelDeployment as it was stored last."""
        found = self.record.newest("ModelDeployment", name)
        assert found is not None, f"there is no {name}"
        return found

    def status(self, name: str) -> Json:
        return self.seen(name).get("status") or {}

    def pinned(self, name: str) -> str | None:
        """The hash that the live Service names; None while it is open to two."""
        service = self.record.newest("Service", name)
        assert service is not None, f"{name} has no Service"
        return service["spec"]["selector"].get("millgate.dev/hash")

    async def until(self, name: str, check: Callable[[Json], object], *, seconds: float = 60.0, what: str = "") -> Json:
        """The ModelDeployment as soon as the operator has seen its newest spec and its status is like that."""

        def found() -> Json | None:
            obj = self.record.newest("ModelDeployment", name)
            if obj is None or obj["metadata"]["generation"] < self.applied.get(name, 0):
                return None  # the record is behind
            if obj["status"].get("observedGeneration") != obj["metadata"]["generation"]:
                return None
            return obj if check(obj["status"]) else None

        try:
            return await eventually(found, seconds=seconds, what=what)
        except AssertionError as error:
            now = summary(self.record.newest("ModelDeployment", name) or {})
            raise AssertionError(f"{name}: {error}; it stands at {now}") from error

    async def until_word(self, name: str, reason: str, *, seconds: float = 60.0) -> Json:
        """Wait until the reason of `Ready` is this word."""
        return await self.until(
            name, lambda status: word(status) == reason, seconds=seconds, what=f"Ready says {reason}"
        )

    async def released(self, obj: Json, *, seconds: float = 60.0) -> Json:
        """Applied, promoted, and nothing kept warm any longer."""
        await self.apply(obj)
        return await self.until(
            obj["metadata"]["name"],
            lambda status: word(status) == "Promoted" and status.get("rollout") is None,
            seconds=seconds,
            what="it is promoted and idle",
        )


def conditions(status: Json) -> dict[str, Json]:
    return {entry["type"]: entry for entry in status.get("conditions", ())}


def word(status: Json) -> str:
    """The reason of `Ready`: the one word that a person reads."""
    return str(conditions(status).get("Ready", {}).get("reason", ""))


def step(status: Json) -> str:
    """The step that has begun to count; empty while none has."""
    in_hand = status.get("rollout") or {}
    return str(in_hand.get("stepName") or "") if in_hand.get("stepStartTime") else ""


def summary(obj: Json) -> Json:
    """Enough to see in a failed test where a ModelDeployment stands."""
    status = obj.get("status") or {}
    says = {
        kind: f"{entry['status']} {entry['reason']} {entry.get('message', '')}"
        for kind, entry in conditions(status).items()
    }
    parts = {key: status.get(key) for key in ("rollout", "gates", "lastRequest", "rejected")}
    return {"generation": obj.get("metadata", {}).get("generation"), **parts, "conditions": says, "at": time.time()}
