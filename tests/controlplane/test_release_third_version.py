"""Versions that come while another one is in flight: traffic is all on stable before the newest gets any."""

from tests.controlplane.release_cases import ALL, Releases, release, rollout, step
from tests.controlplane.release_promises import Told, hold

HALF_FOR_LONG = {"name": "half", "weightPercent": 50, "minSeconds": 600}
HALF = HALF_FOR_LONG | {"minSeconds": 1}


def told(releases: Releases, name: str) -> Told:
    return hold(releases.record.changes(), name)


async def test_v3_applied_while_v2_is_at_half_waits_until_all_traffic_is_back_on_v1(releases: Releases) -> None:
    name, policy = "third", rollout(HALF, ALL, keepWarmSeconds=0)
    v1 = (await releases.released(release(name, "1", policy)))["status"]["stable"]["hash"]
    await releases.apply(release(name, "2", rollout(HALF_FOR_LONG, ALL)))
    at_half = await releases.until(
        name, lambda status: step(status) == "half" and status["candidate"]["observedWeightPercent"] == 50
    )
    v2 = at_half["status"]["candidate"]["hash"]
    v3 = (await releases.released(release(name, "3", policy)))["status"]["stable"]["hash"]

    course = told(releases, name)
    assert [hash_ for _, hash_ in course.routes] == [v1, None, v1, None, v3]
    assert [entry["outcome"] for entry in course.status["history"]] == ["Promoted", "Superseded", "Promoted"]
    assert {hash_: deployment["spec"]["replicas"] for hash_, deployment in course.deployments.items()} == {
        v1: 0,
        v2: 0,
        v3: 3,
    }
    assert {hash_ for hash_, count in course.ready().items() if count} == {v3}
    _nothing_is_orphaned(releases, name, {v1, v2, v3})


def _nothing_is_orphaned(releases: Releases, name: str, hashes: set[str]) -> None:
    """All that is left belongs to the ModelDeployment and to a revision that it knows."""
    uid = releases.seen(name)["metadata"]["uid"]
    for kind in ("Deployment", "Service", "Job"):
        for obj in releases.record.of_kind(kind):
            labels = obj["metadata"].get("labels") or {}
            if labels.get("millgate.dev/name") != name:
                continue
            assert [owner["uid"] for owner in obj["metadata"]["ownerReferences"]] == [uid]
            assert labels.get("millgate.dev/hash") in hashes | {None}


async def test_of_ten_versions_in_a_row_the_last_one_is_released(releases: Releases) -> None:
    name, policy = "hurried", rollout(HALF, ALL, keepWarmSeconds=0, revisionHistoryLimit=1)
    await releases.released(release(name, "1", policy))
    for version in range(2, 11):
        await releases.apply(release(name, str(version), policy))
    last = await releases.released(release(name, "11", policy))
    assert last["status"]["stable"]["modelVersion"] == "11"
    course = told(releases, name)
    assert set(course.ready()) == {last["status"]["stable"]["hash"]}
    promoted = [entry["modelVersion"] for entry in course.status["history"] if entry["outcome"] == "Promoted"]
    assert promoted == ["11", "1"]


async def test_the_version_before_asked_for_again_in_flight_needs_no_rollout(releases: Releases) -> None:
    name = "regretted"
    v1 = (await releases.released(release(name, "1")))["status"]["stable"]
    await releases.apply(release(name, "2", rollout(HALF_FOR_LONG, ALL)))
    await releases.until(name, lambda status: step(status) == "half")
    back = await releases.released(release(name, "1"))
    assert back["status"]["stable"]["revision"] == v1["revision"]
    course = told(releases, name)
    assert [hash_ for _, hash_ in course.routes] == [v1["hash"], None, v1["hash"]]
    assert course.status["history"][0]["reason"] == "Reverted"
