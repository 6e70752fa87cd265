"""A ModelDeployment on a real API server, seen and acted upon as the operator does it, for the tests of its objects."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from e2e.cluster.controlplane import ControlPlane
from millgate.api.revision import ModelIdentity, Revision, revision_of
from millgate.api.spec import Gate, GateType, Job, JobPreset, ModelSource, Server
from millgate.api.status import Status
from millgate.controller.observe import Observation, observe
from millgate.controller.perform import perform
from millgate.kube.api import DEPLOYMENT, JOB, MODEL_DEPLOYMENT, SERVICE, Call, Kind, KubeApi
from millgate.rollout.plan import Action, EnsureRevision, Route, RunGateJob, RunPreflight
from millgate.rollout.snapshot import Target
from millgate.workload.settings import WorkloadSettings
from tests.controlplane.plane import Kubectl, model_deployment, new_namespace

Json = dict[str, Any]

SETTINGS = WorkloadSettings(registries={"default": "http://mlflow.models.svc:5000"})
DIGEST = "sha256:" + "ab" * 32
BASE = {"millgate.dev/name": "fraud", "millgate.dev/component": "server"}
WRITES = {"apply", "create", "patch", "delete", "update"}
SMOKE = Gate(name="smoke", type=GateType.JOB, job=Job(image="curl:8"))
SPEED = Gate(
    name="speed",
    type=GateType.JOB,
    job=Job(preset=JobPreset.LATENCY_BENCHMARK, options={"data": "/data/rows.csv"}, data_claim="rows"),
)


def revision(version: str, server: Server | None = None) -> Revision:
    model = ModelIdentity(
        source=ModelSource.MLFLOW, registry="default", name="fraud", version=version, source_uri="models:/m-1"
    )
    return revision_of(model, server or Server(), "registry.example/serving:1.0.0")


V7, V8 = revision("7"), revision("8")


@dataclass
class World:
    """One ModelDeployment, seen and acted upon as the operator does it. `calls`: what the API server was asked."""

    api: KubeApi
    namespace: str
    calls: list[Call]
    target: Revision | None = V8
    status: Status = field(default_factory=Status)

    async def see(self) -> Observation:
        cr = await self.api.get(MODEL_DEPLOYMENT, self.namespace, "fraud")
        assert cr is not None
        shown = cr | {"status": self.status.to_json()}
        target = Target(revision=self.target)
        return await observe(self.api, shown, target=target, verdicts=(), write_failure=None)

    async def do(self, *actions: Action, seen: Observation | None = None) -> list[Call]:
        """What the actions asked of the API server."""
        observation = seen or await self.see()
        before = len(self.calls)
        for action in actions:
            await perform(self.api, action, observation, SETTINGS)
        return self.calls[before:]

    async def get(self, kind: Kind, name: str) -> Json:
        found = await self.api.get(kind, self.namespace, name)
        assert found is not None, f"{kind.kind} {name}"
        return found

    async def versions(self) -> dict[str, str]:
        """Every Deployment, Service and Job of the namespace, with what tells that its spec was written."""
        lists = [await self.api.list(kind, self.namespace) for kind in (DEPLOYMENT, SERVICE, JOB)]
        return {f"{obj['kind']}/{obj['metadata']['name']}": version(obj) for objects in lists for obj in objects}


def version(obj: Json) -> Any:
    """Controllers write the status of Deployments and Jobs; their generation moves with the spec alone."""
    return obj["metadata"].get("generation", obj["metadata"]["resourceVersion"])


def writes(calls: list[Call]) -> list[tuple[str, str]]:
    return [(call.verb, call.kind) for call in calls if call.verb in WRITES]


def every_action(visit: int = 1) -> tuple[Action, ...]:
    return (
        RunPreflight(V8, None, 1),
        EnsureRevision(V7, DIGEST, 2),
        EnsureRevision(V8, DIGEST, 1),
        Route(((V7.hash, 100),)),
        RunGateJob(SMOKE, "half", V8, V7.hash, visit),
        RunGateJob(SPEED, "half", V8, V7.hash, visit, digest=DIGEST, stable=V7, stable_digest=DIGEST),
    )


@asynccontextmanager
async def open_world(cluster: ControlPlane, kubectl: Kubectl) -> AsyncIterator[World]:
    calls: list[Call] = []
    with new_namespace(kubectl, "objects") as namespace:
        kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
        cr = model_deployment("fraud", namespace=namespace)
        cr["metadata"]["labels"] = {
            "argocd.argoproj.io/instance": "risk",
            "app.kubernetes.io/instance": "risk",
            "kustomize.toolkit.fluxcd.io/name": "risk",
        }
        cr["metadata"]["annotations"] = {"argocd.argoproj.io/tracking-id": "risk:millgate.dev/ModelDeployment:fraud"}
        kubectl.apply(cr)
        async with await KubeApi.connect(kubeconfig=str(cluster.kubeconfig), on_call=calls.append) as api:
            yield World(api, namespace, calls)
