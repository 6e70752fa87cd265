"""Releases judged by what a real Prometheus has scraped: good, bad, and while it is down, empty or hanging."""

from tests.controlplane.release_cases import ALL, Releases, conditions, release, rollout, step, word
from tests.controlplane.release_kstatus import kstatus, row
from tests.controlplane.release_promises import hold
from tests.controlplane.release_town import Town
from tests.controlplane.release_traffic import traffic

ERRORS = {"name": "errors", "type": "Compare", "compare": {"preset": "Errors", "maxRatio": "1.5", "minSamples": 100}}
HALF = {"name": "half", "weightPercent": 50, "minSeconds": 3}
POLICY = rollout(HALF, ALL, gates=[ERRORS], intervalSeconds=1)


async def test_a_good_version_is_promoted_and_a_bad_one_is_taken_back_by_its_errors(
    releases: Releases, town: Town
) -> None:
    name = "judged"
    async with traffic(town, name, v1=0.01, v2=0.01, v3=0.3):
        await releases.released(release(name, "1", POLICY))
        good = await releases.released(release(name, "2", POLICY), seconds=60)
        await releases.apply(release(name, "3", POLICY))
        bad = await releases.until_word(name, "RolledBack", seconds=60)
    entry = bad["status"]["history"][0]
    assert (entry["modelVersion"], entry["reason"]) == ("3", "GuardrailBreached")
    assert "gate errors in step half" in entry["message"]
    assert conditions(bad["status"])["RolledBack"]["reason"] == "GuardrailBreached"
    assert releases.pinned(name) == good["status"]["stable"]["hash"]
    course = hold(releases.record.changes(), name)
    assert course.pinned == good["status"]["stable"]["hash"]


async def test_without_evidence_a_step_is_neither_passed_nor_failed_and_goes_on_by_itself(
    releases: Releases, town: Town
) -> None:
    """Prometheus has no series, then is down, then hangs: one after the other, in one step of a healthy version."""
    name = "unseen"

    async def doubt(reason: str, words: str = "") -> None:
        held = await releases.until(
            name,
            lambda status: (
                conditions(status)["CandidateHealthy"]["reason"] == reason
                and words in conditions(status)["CandidateHealthy"]["message"]
            ),
            what=f"the candidate's health is unknown: {reason} {words}",
        )
        assert row(held) == "TTTFFFUF"
        assert kstatus(held) == "InProgress"

    async with traffic(town, name, v1=0.01, v2=0.01) as flow:
        await releases.released(release(name, "1", POLICY))
        flow.silent = True
        await releases.apply(release(name, "2", POLICY))
        await releases.until(name, lambda status: step(status) == "half")
        await doubt("NoData")
        town.prometheus.stop()
        await doubt("MetricsUnavailable")
        town.prometheus.start()
        await doubt("NoData")
        with town.prometheus.frozen():
            await doubt("MetricsUnavailable")
        assert step(releases.status(name)) == "half"
        flow.silent = False
        await releases.until_word(name, "Promoted", seconds=60)
    course = hold(releases.record.changes(), name)
    assert [entry["outcome"] for entry in course.status["history"]] == ["Promoted", "Promoted"]
    assert word(course.status) == "Promoted"
