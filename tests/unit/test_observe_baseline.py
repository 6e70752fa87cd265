"""A baseline as the cluster has it: its pods are stable's share of the traffic and nobody's revision."""

from typing import Any

import pytest

from millgate.api.names import baseline_hash
from millgate.controller.observe import Labelled, observation_of
from millgate.kube.api import DEPLOYMENT, POD, SERVICE
from millgate.rollout.snapshot import Snapshot, Target
from millgate.traffic.replicas import Replicas
from millgate.workload.parent import Parent
from millgate.workload.revision import baseline_deployment, deployment, revision_service
from millgate.workload.settings import WorkloadSettings
from tests.unit.workload_objects import baked_in, revision

Json = dict[str, Any]
PARENT = Parent("fraud", "risk", "u1")
STABLE, CANDIDATE = revision(model=baked_in("1")), revision(model=baked_in("2"))
CR: Json = {
    "metadata": {"name": "fraud", "namespace": "risk", "uid": "u1", "generation": 1},
    "spec": {
        "model": {"source": "Image", "name": "fraud", "version": "2"},
        "server": {"image": "registry.example/fraud:2"},
    },
}


def pods_of(wanted: Json, ready: int) -> list[Json]:
    labels = wanted["spec"]["template"]["metadata"]["labels"] | {"pod-template-hash": "t1"}
    owner = {"kind": "ReplicaSet", "name": f"{wanted['metadata']['name']}-t1"}
    return [
        {
            "metadata": {
                "name": f"{owner['name']}-{index}",
                "labels": labels,
                "ownerReferences": [owner],
            },
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        }
        for index in range(ready)
    ]


def seen(weights: dict[str, int], *, deleted: bool = False) -> Snapshot:
    settings = WorkloadSettings()
    stable, candidate = (deployment(PARENT, one, None, 4, settings) for one in (STABLE, CANDIDATE))
    fresh = baseline_deployment(PARENT, STABLE, None, 2, settings)
    if deleted:
        fresh["metadata"]["deletionTimestamp"] = "2026-11-23T08:05:00Z"
    route = Replicas().render("fraud", weights)
    services = [
        revision_service(PARENT, CANDIDATE.hash),
        route | {"metadata": PARENT.metadata("fraud", {})},
    ]
    found = Labelled.of(
        {
            DEPLOYMENT: [stable, candidate, fresh],
            SERVICE: services,
            POD: [*pods_of(stable, 4), *pods_of(candidate, 2), *pods_of(fresh, 2)],
        }
    )
    made = observation_of(CR, found, Target(revision=CANDIDATE))
    assert made is not None
    return made.snapshot


def test_it_is_no_revision_and_its_pods_are_not_counted_as_stables_own() -> None:
    snapshot = seen({STABLE.hash: 75, CANDIDATE.hash: 25})
    assert {hash_: one.ready for hash_, one in snapshot.revisions.items()} == {STABLE.hash: 4, CANDIDATE.hash: 2}
    (baseline,) = snapshot.baselines.items()
    assert (baseline[0], baseline[1].ready, baseline[1].desired_replicas) == (STABLE.hash, 2, 2)


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        ({STABLE.hash: 75, CANDIDATE.hash: 25}, {STABLE.hash: 75, CANDIDATE.hash: 25}),
        ({STABLE.hash: 100}, {STABLE.hash: 100}),
        ({CANDIDATE.hash: 100}, {CANDIDATE.hash: 100}),
    ],
)
def test_its_requests_are_a_part_of_stables_share(weights: dict[str, int], shares: dict[str, int]) -> None:
    assert seen(weights).route.weights == shares


def test_one_that_is_being_deleted_is_there_and_cannot_be_counted_on() -> None:
    snapshot = seen({STABLE.hash: 75, CANDIDATE.hash: 25}, deleted=True)
    assert (snapshot.baselines[STABLE.hash].pods, snapshot.baselines[STABLE.hash].ready) == (2, 0)


def test_its_hash_is_a_label_that_no_revision_has() -> None:
    assert baseline_hash(STABLE.hash) not in {STABLE.hash, CANDIDATE.hash}
    assert len(baseline_hash(STABLE.hash)) <= 63
