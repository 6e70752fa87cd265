"""Releases from a real MLflow: each thing that can be wrong has its own word, stable serves on, and it mends itself."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster.controlplane import ControlPlane
from millgate.kube.api import KubeApi
from tests.controlplane.mlflow_process import MlflowProcess
from tests.controlplane.operator_process import OperatorProcess
from tests.controlplane.plane import Kubectl, eventually, model_deployment, new_namespace
from tests.controlplane.release_cases import ALL, Releases, conditions, rollout, word
from tests.controlplane.release_kubelet import NOWHERE, Ended, Fate, Kubelet, Waiting, kubelet
from tests.controlplane.release_promises import hold
from tests.controlplane.release_record import recorded

Json = dict[str, Any]


@dataclass(frozen=True)
class Shop:
    """An operator with registries: `default`, and `refused`, which is the same server under an address it refuses."""

    releases: Releases
    operator: OperatorProcess
    mlflow: MlflowProcess
    kubelet: Kubelet


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowProcess]:
    process = MlflowProcess(tmp_path_factory.mktemp("mlflow"))
    yield process
    process.stop()


@pytest.fixture
async def shop(
    cluster: ControlPlane, kubectl: Kubectl, api: KubeApi, mlflow: MlflowProcess, tmp_path: Path
) -> AsyncIterator[Shop]:
    quick = {"timeoutSeconds": 5, "pollSeconds": 1}
    with new_namespace(kubectl, "shop") as namespace, recorded(cluster, namespace) as record:
        config: Json = {
            "watchNamespaces": [namespace],
            "lease": {"name": "shop", "namespace": namespace},
            "defaultServingImage": "registry.example/serving:1",
            "registries": [
                {"name": "default", "uri": mlflow.uri, **quick},
                {"name": "refused", "uri": mlflow.uri_by_address, **quick},
            ],
        }
        with OperatorProcess(cluster, tmp_path, **config) as operator:
            operator.leading()
            async with kubelet(api, record) as node:
                yield Shop(Releases(api, record), operator, mlflow, node)


def wanted(name: str, *, model: str = "fraud", **which: str) -> Json:
    spec = {
        "model": {"name": model, **which},
        "server": {"nodeSelector": NOWHERE},
        "replicas": 2,
        "rollout": rollout(ALL, keepWarmSeconds=0, progressDeadlineSeconds=600),
    }
    return model_deployment(name, spec=spec)


def accepted(status: Json) -> tuple[str, str]:
    condition = conditions(status)["Accepted"]
    return condition["status"], condition["reason"]


async def until_accepted_says(shop: Shop, name: str, status: str, reason: str) -> Json:
    return await shop.releases.until(
        name, lambda found: accepted(found) == (status, reason), seconds=60, what=f"Accepted is {status}: {reason}"
    )


async def test_each_fault_of_a_registry_has_its_word_and_the_release_goes_on_when_it_is_mended(shop: Shop) -> None:
    """In the order in which a team may meet them: not started, no such model, wrong Host, no such version, away."""
    releases, mlflow = shop.releases, shop.mlflow
    await releases.apply(wanted("fraud", version="1"))
    await releases.apply(wanted("scores", alias="champion", registry="refused"))
    await until_accepted_says(shop, "fraud", "Unknown", "RegistryUnreachable")
    assert word(releases.status("fraud")) == "RegistryUnreachable"

    mlflow.start(mlflow.knows_only_its_name)
    await asyncio.to_thread(mlflow.wait)
    await until_accepted_says(shop, "fraud", "False", "ModelNotFound")
    assert conditions(releases.status("fraud"))["Stalled"]["reason"] == "ModelNotFound"
    await until_accepted_says(shop, "scores", "Unknown", "RegistryHostRefused")
    assert "--allowed-hosts" in conditions(releases.status("scores"))["Accepted"]["message"]

    mlflow.alias("fraud", "champion", mlflow.register("fraud"))
    await releases.until_word("fraud", "Promoted", seconds=60)

    await releases.apply(wanted("fraud", version="2"))
    stalled = await until_accepted_says(shop, "fraud", "False", "ModelNotFound")
    assert conditions(stalled["status"])["Available"]["status"] == "True"
    assert releases.pinned("fraud") == stalled["status"]["stable"]["hash"]
    mlflow.register("fraud")
    await releases.until_word("fraud", "Promoted", seconds=60)
    assert releases.status("fraud")["stable"]["modelVersion"] == "2"

    mlflow.stop()
    await until_accepted_says(shop, "scores", "Unknown", "RegistryUnreachable")
    assert word(releases.status("fraud")) == "Promoted"
    mlflow.start("--allowed-hosts=*")
    await asyncio.to_thread(mlflow.wait)
    await releases.until_word("scores", "Promoted", seconds=60)
    assert releases.status("scores")["stable"]["modelVersion"] == "1"

    mlflow.alias("fraud", "champion", "2")
    await releases.until("scores", lambda status: status["stable"]["modelVersion"] == "2", seconds=60)
    for name in ("fraud", "scores"):
        hold(releases.record.changes(), name)


async def test_each_fault_of_a_candidate_has_its_word_stable_serves_on_and_it_goes_on_when_it_is_mended(
    shop: Shop,
) -> None:
    releases, mlflow = shop.releases, shop.mlflow
    if not mlflow.running():
        mlflow.start()
        await asyncio.to_thread(mlflow.wait)
    versions = [await asyncio.to_thread(mlflow.register, "churn") for _ in range(4)]
    await releases.apply(wanted("churn", model="churn", version=versions[0]))
    await releases.until_word("churn", "Promoted")

    def fate(component: str, version: str, attempt: int) -> Fate:
        return fates.get((component, version, min(attempt, 2)), shop_fate(component, version, attempt))

    shop_fate, fates = shop.kubelet.fate, {}
    shop.kubelet.fate = fate
    fates["preflight", versions[1], 1] = Ended(75, {"error": {"reason": "RegistryUnreachable", "message": "no answer"}})
    fates["server", versions[1], 0] = Waiting("ErrImagePull", "no such image")
    await _held(shop, versions[1], "RegistryUnreachable")
    await _held(shop, versions[1], "ImagePullFailed")
    del fates["server", versions[1], 0]
    await releases.until_word("churn", "Promoted")

    fates["server", versions[2], 0] = Ended(1, {"error": {"reason": "ArtifactChanged", "message": "other bytes"}})
    await _held(shop, versions[2], "ArtifactChanged")
    del fates["server", versions[2], 0]
    await releases.until_word("churn", "Promoted")
    assert releases.status("churn")["stable"]["modelVersion"] == versions[2]

    broken = Ended(1, {"error": {"reason": "PreflightFailed", "message": "the input example raises"}})
    fates["preflight", versions[3], 1] = broken
    await releases.apply(wanted("churn", model="churn", version=versions[3]))
    taken_back = await releases.until_word("churn", "PreflightFailed")
    assert "the input example raises" in conditions(taken_back["status"])["RolledBack"]["message"]
    del fates["preflight", versions[3], 1]
    await releases.ask("churn", "Retry id=again")
    await releases.until_word("churn", "Promoted")
    hold(releases.record.changes(), "churn")


async def _held(shop: Shop, version: str, reason: str) -> None:
    """The version is asked for, is held for this reason, and stable has all the traffic."""
    releases = shop.releases
    if releases.seen("churn")["spec"]["model"]["version"] != version:
        await releases.apply(wanted("churn", model="churn", version=version))
    held = await releases.until("churn", lambda status: conditions(status)["CandidateHealthy"]["reason"] == reason)
    assert conditions(held["status"])["CandidateHealthy"]["status"] == "False"
    assert conditions(held["status"])["Available"]["status"] == "True"
    assert conditions(held["status"])["Reconciling"]["status"] == "True"
    await eventually(lambda: releases.pinned("churn") == held["status"]["stable"]["hash"])
