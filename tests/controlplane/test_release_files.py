"""Files of the model server on a real API server: what is missing is told, and what is renamed is another revision."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from millgate.kube.api import KubeApi
from tests.controlplane.release_cases import ALL, Releases, conditions, release, rollout
from tests.controlplane.release_kubelet import NOWHERE, RUNNING, Kubelet, Unmounted, kubelet
from tests.controlplane.release_promises import hold
from tests.controlplane.release_town import Town

Json = dict[str, Any]
NOT_FOUND = 'MountVolume.SetUp failed for volume "files-clients" : secret "fraud-clients" not found'


@pytest.fixture
async def node(api: KubeApi, town: Town) -> AsyncIterator[Kubelet]:
    async with kubelet(api, town.record) as made:
        yield made


def with_keys(name: str, version: str, secret: str) -> Json:
    server = {
        "image": f"registry.example/{name}:1",
        "nodeSelector": NOWHERE,
        "env": [{"name": "MILLGATE_API_KEYS_FILE", "value": "/etc/millgate/clients/keys"}],
        "files": [{"name": "clients", "mountPath": "/etc/millgate/clients", "secretName": secret}],
    }
    return release(name, version, rollout(ALL, keepWarmSeconds=0), server=server)


async def test_a_missing_secret_is_named_stable_serves_on_and_the_release_goes_on_once_it_is_there(
    releases: Releases, node: Kubelet
) -> None:
    name = "keyed"
    await releases.released(with_keys(name, "1", "clients"))
    stable = releases.pinned(name)

    node.fate = lambda _component, version, _attempt: Unmounted(NOT_FOUND) if version == "2" else RUNNING
    await releases.apply(with_keys(name, "2", "fraud-clients"))
    held = await releases.until(
        name, lambda status: conditions(status)["CandidateHealthy"]["reason"] == "RefNotFound", seconds=60
    )
    assert "there is no Secret 'fraud-clients'" in conditions(held["status"])["CandidateHealthy"]["message"]
    assert conditions(held["status"])["Available"]["status"] == "True"
    assert releases.pinned(name) == stable

    node.fate = lambda *_: RUNNING
    await releases.until_word(name, "Promoted")
    assert releases.status(name)["stable"]["modelVersion"] == "2"
    hold(releases.record.changes(), name)


async def test_another_secret_is_another_revision_of_the_same_model(releases: Releases, node: Kubelet) -> None:
    name = "moved"
    node.fate = lambda *_: RUNNING
    await releases.released(with_keys(name, "1", "clients"))
    before = releases.status(name)["stable"]["hash"]
    await releases.apply(with_keys(name, "1", "clients-2"))
    await releases.until(name, lambda status: status["stable"]["hash"] != before and not status.get("rollout"))
    hold(releases.record.changes(), name)
