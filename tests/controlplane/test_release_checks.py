"""A gate with a preset on a real API server: the check is asked before traffic, and its figures are told."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from millgate.kube.api import KubeApi
from tests.controlplane.release_cases import ALL, Releases, conditions, release, rollout, word
from tests.controlplane.release_kubelet import NOWHERE, Ended, Fate, Kubelet, kubelet
from tests.controlplane.release_promises import hold
from tests.controlplane.release_town import Town
from tests.controlplane.test_cli_verbs import Millgate

Json = dict[str, Any]
PEAK = 41.0
SENTENCE = "accuracy is 3.05 points below stable's, 1 is allowed: 0.9120 against 0.9425 on 2000 rows"
WORSE = {
    "check": "accuracy",
    "verdict": "Fail",
    "message": SENTENCE,
    "reason": "BoundExceeded",
    "decidedBy": "difference",
    "figures": {"difference": -0.0305, "candidate": 0.912, "stable": 0.9425, "margin": 0.01, "rows": 2000},
}
SAME = {"check": "accuracy", "verdict": "Pass", "message": "no worse", "figures": {"candidate": 0.941}}
NO_ROWS = {"check": "accuracy", "verdict": "Unknown", "message": "there are no rows", "reason": "NoData", "figures": {}}


@pytest.fixture
async def node(api: KubeApi, town: Town) -> AsyncIterator[Kubelet]:
    async with kubelet(api, town.record) as made:
        yield made


def checked(name: str, version: str, **job: Any) -> Json:
    gate = {"name": "check", "type": "Job", "job": {"preset": "Accuracy", **job}}
    checks = {"name": "checks", "weightPercent": 0, "gates": [gate]}
    server = {"image": f"registry.example/{name}:{version}", "nodeSelector": NOWHERE}
    return release(name, version, rollout(checks, ALL, keepWarmSeconds=0), server=server)


def of_checks(verdicts: dict[str, Json]) -> Any:
    """By version, what a check of it ends with."""
    codes = {"Pass": 0, "Fail": 1, "Unknown": 75}

    def fate(component: str, version: str, attempt: int) -> Fate:  # noqa: ARG001 - one of many fates
        found = verdicts.get(version) if component == "gate" else None
        return Ended(codes[found["verdict"]], found) if found is not None else None

    return fate


async def test_a_check_that_fails_takes_the_candidate_back_before_any_request_and_the_figures_are_told(
    releases: Releases, town: Town, node: Kubelet
) -> None:
    name = "worse"
    node.fate = of_checks({"2": WORSE})
    await releases.released(checked(name, "1"))
    stable = releases.pinned(name)
    await releases.apply(checked(name, "2"))
    back = await releases.until(name, lambda status: word(status) == "RolledBack" and not status.get("rollout"))
    told = f"gate check in step checks: {SENTENCE}"
    assert conditions(back["status"])["RolledBack"]["message"] == told
    assert conditions(back["status"])["CandidateHealthy"]["message"] == told
    assert back["status"]["history"][0]["reason"] == "AnalysisFailed"
    assert [entry["weightPercent"] for entry in back["status"]["history"][0]["steps"]] == [0], "it got no traffic"
    assert releases.pinned(name) == stable
    for words in (("get", name), ("explain", name), ("explain", name, "check")):
        page = await asyncio.to_thread(Millgate(town.plane.kubeconfig, town.namespace), *words)
        assert SENTENCE in page.out, page

    node.fate = of_checks({"2": SAME})
    await releases.ask(name, "Retry id=again")
    await releases.until_word(name, "Promoted")
    hold(releases.record.changes(), name)


async def test_a_check_that_cannot_tell_holds_and_says_why(releases: Releases, town: Town, node: Kubelet) -> None:
    name = "unknown"
    node.fate = of_checks({"2": NO_ROWS})
    await releases.released(checked(name, "1"))
    await releases.apply(checked(name, "2"))
    held = await releases.until(name, lambda status: conditions(status)["CandidateHealthy"]["reason"] == "NoData")
    assert conditions(held["status"])["CandidateHealthy"]["message"] == "check: there are no rows"
    (gate,) = held["status"]["gates"]
    assert (gate["verdict"], gate["step"]) == ("Inconclusive", "checks")
    page = await asyncio.to_thread(Millgate(town.plane.kubeconfig, town.namespace), "get", name)
    assert "check: NoData: there are no rows" in page.out
    await releases.ask(name, "Abort id=enough")
    await releases.until(name, lambda status: word(status) == "RolledBack" and not status.get("rollout"))


async def test_a_failure_that_holds_shows_the_figures_while_it_waits_for_a_person(
    releases: Releases, town: Town, node: Kubelet
) -> None:
    name = "asking"
    node.fate = of_checks({"2": WORSE})
    await releases.released(checked(name, "1"))
    asked = checked(name, "2")
    asked["spec"]["rollout"]["steps"][0]["gates"][0]["onFail"] = "Hold"
    await releases.apply(asked)
    held = await releases.until_word(name, "AwaitingDecision")
    (gate,) = held["status"]["gates"]
    figures = {key: gate[key] for key in ("verdict", "value", "reference", "limit", "samples")}
    assert figures == {"verdict": "Fail", "value": "0.912", "reference": "0.9425", "limit": "0.9325", "samples": 2000}
    assert SENTENCE in conditions(held["status"])["CandidateHealthy"]["message"]
    page = (await asyncio.to_thread(Millgate(town.plane.kubeconfig, town.namespace), "get", name)).out
    row = next(line.split() for line in page.splitlines() if "0.9425" in line and "fail" in line)
    assert [word for word in row if word[0].isdigit()][:4] == ["0.912", "0.9425", "0.9325", "2,000"]
    await releases.ask(name, f"Promote rollout={held['status']['rollout']['id']} id=fine")
    await releases.until_word(name, "Promoted")


async def test_a_benchmark_waits_for_the_peak_that_prometheus_has_and_asks_by_it(
    releases: Releases, town: Town, node: Kubelet
) -> None:
    name = "busy"
    node.fate = of_checks({"2": SAME | {"check": "latency"}})
    labels = {"__name__": "millgate_requests_total", "namespace": town.namespace, "pod": f"{name}-r0a1b2c3d4-5-6"}
    long_ago = time.time() - 2 * 86_400
    town.prometheus.write([(labels, [(long_ago + 15 * n, 15.0 * n * PEAK) for n in range(240)])])
    await releases.released(checked(name, "1", preset="LatencyBenchmark"))
    await releases.apply(checked(name, "2", preset="LatencyBenchmark"))
    await releases.until_word(name, "Promoted")
    asked = {json.dumps(options(job)) for job in jobs_seen(town, name)}
    assert len(asked) == 1
    assert float(json.loads(asked.pop())["peakRequestsPerSecond"]) == pytest.approx(PEAK, rel=0.01)


async def test_a_benchmark_does_without_a_peak_when_prometheus_is_away(
    releases: Releases, town: Town, node: Kubelet
) -> None:
    name = "blind"
    node.fate = of_checks({"2": SAME | {"check": "latency"}})
    await releases.released(checked(name, "1", preset="LatencyBenchmark"))
    with town.prometheus.frozen():
        await releases.apply(checked(name, "2", preset="LatencyBenchmark"))
        await releases.until_word(name, "Promoted")
    assert {json.dumps(options(job)) for job in jobs_seen(town, name)} == {"{}"}


def jobs_seen(town: Town, name: str) -> list[Json]:
    jobs = [change.obj for change in town.record.changes() if change.kind == "Job"]
    return [job for job in jobs if job["metadata"]["labels"].get("millgate.dev/name") == name]


def options(job: Json) -> Json:
    env = job["spec"]["template"]["spec"]["containers"][0]["env"]
    given: Json = json.loads(next(entry["value"] for entry in env if entry["name"] == "MILLGATE_CHECK_OPTIONS"))
    return given
