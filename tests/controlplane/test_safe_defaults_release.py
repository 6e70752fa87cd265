"""What gates that cannot see, or may only warn, do to a release: a real operator on a real Prometheus."""

import pytest

from tests.controlplane.plane import eventually
from tests.controlplane.release_cases import ALL, Json, Releases, conditions, release, rollout, word
from tests.controlplane.release_promises import hold
from tests.controlplane.release_town import Town
from tests.controlplane.release_traffic import traffic

ERRORS = {"name": "errors", "type": "Compare", "compare": {"preset": "Errors", "maxRatio": "1.5", "minSamples": 100}}
HALF = {"name": "half", "weightPercent": 50, "minSeconds": 3}


def judged(*steps: Json, gate: Json = ERRORS, **fields: object) -> Json:
    return rollout(*steps, ALL, intervalSeconds=1, **{"gates": [], **fields}) | {
        "steps": [*({**one, "gates": [gate]} for one in steps), ALL]
    }


def events(town: Town, reason: str, name: str) -> list[str]:
    found = town.kubectl.json("get", "events", namespace=town.namespace)["items"]
    return [one["message"] for one in found if one["reason"] == reason and one["involvedObject"]["name"] == name]


async def test_a_dry_run_warns_once_and_lets_the_release_go_on(releases: Releases, town: Town) -> None:
    # A gate that only warns holds nothing: it needs the step's own time to see.
    name, policy = "dry-run", judged(HALF | {"minSeconds": 8}, gate=ERRORS | {"onFail": "Alert"})
    async with traffic(town, name, v1=0.01, v2=0.5):
        await releases.released(release(name, "1", policy))
        await releases.apply(release(name, "2", policy))
        await releases.until_word(name, "Promoted", seconds=60)
    # An event may come after what it tells of.
    warnings = await eventually(lambda: events(town, "GateFailed", name), what="a warning")
    assert len(warnings) == 1
    assert "errors" in warnings[0]
    assert hold(releases.record.changes(), name).status["history"][0]["outcome"] == "Promoted"


@pytest.mark.parametrize(("answer", "expected"), [("Rollback", "RolledBack"), ("Proceed", "Promoted")])
async def test_what_stays_unknown_is_decided_by_the_policy_when_the_step_has_lasted_long_enough(
    releases: Releases, answer: str, expected: str
) -> None:
    """Nobody asks the model anything: no data, until `maxSeconds`."""
    name, short = f"unknown-{answer.lower()}", HALF | {"maxSeconds": 6}
    policy = judged(short, onInconclusive=answer)
    await releases.released(release(name, "1", policy))
    await releases.apply(release(name, "2", policy))
    await releases.until(name, lambda status: conditions(status)["CandidateHealthy"]["reason"] == "NoData")
    ended = await releases.until_word(name, expected, seconds=60)
    assert ended["status"]["history"][0]["modelVersion"] == "2"
    hold(releases.record.changes(), name)


async def test_a_query_that_may_not_be_asked_releases_nothing_and_says_where_it_is_wrong(
    releases: Releases,
) -> None:
    name, good = "wrong-query", rollout(HALF, ALL)
    await releases.released(release(name, "1", good))
    query = {"name": "share", "type": "Query", "query": {"promql": 'sum(up{namespace="kube-system"})', "max": "1"}}
    await releases.apply(release(name, "2", judged(HALF, gate=query)))
    refused = await releases.until(name, lambda status: conditions(status)["Accepted"]["status"] == "False")
    accepted = conditions(refused["status"])["Accepted"]
    assert accepted["reason"] == "InvalidSpec"
    assert "`spec.rollout.steps[0].gates[0].query.promql`" in accepted["message"]
    assert 'at character 8: sum(up{→namespace="kube-system"}' in accepted["message"]
    assert refused["status"]["stable"]["modelVersion"] == "1"
    assert refused["status"].get("candidate") is None
    mended = await releases.released(release(name, "2", good), seconds=60)
    assert word(mended["status"]) == "Promoted"
