"""`kubectl millgate explain` reaches the operator's own verdicts again: a real API server, a real Prometheus."""

import asyncio
import json
import urllib.parse
import urllib.request
from typing import Any

import pytest

from tests.controlplane.plane import eventually
from tests.controlplane.release_cases import ALL, Releases, release, rollout, step
from tests.controlplane.release_town import Town
from tests.controlplane.release_traffic import traffic
from tests.controlplane.test_cli_verbs import Done, Millgate

Json = dict[str, Any]
ERRORS = {"name": "errors", "type": "Compare", "compare": {"preset": "Errors", "maxRatio": "1.5", "minSamples": 100}}
SHARE = {
    "name": "share",
    "type": "Query",
    "query": {
        "promql": 'sum(rate(millgate_request_errors_total{revision="$(candidate)"}[5s]))'
        ' / sum(rate(millgate_requests_total{revision="$(candidate)"}[5s]))',
        "max": "0.9",
        "consecutive": 2,
    },
}
TENTH = {"name": "tenth", "weightPercent": 10, "minSeconds": 3}
HALF = {"name": "half", "weightPercent": 50, "minSeconds": 6}
POLICY = rollout(TENTH, HALF, ALL, gates=[ERRORS, SHARE], intervalSeconds=1)


@pytest.fixture
def explain(town: Town) -> "Explain":
    return Explain(town)


class Explain:
    def __init__(self, town: Town) -> None:
        self._town = town
        self._millgate = Millgate(town.plane.kubeconfig, town.namespace)

    async def __call__(self, *arguments: str) -> Done:
        where = ("--prometheus", self._town.prometheus.url, "--scrape-interval", "1s")
        return await asyncio.to_thread(self._millgate, "explain", *arguments, *where)

    async def gates(self, *arguments: str) -> dict[str, Json]:
        done = await self(*arguments, "-o", "json")
        assert done.code == 0, done.err
        return {gate["name"]: gate for gate in json.loads(done.out)["gates"]}


def verdicts(status: Json) -> dict[str, str]:
    """Of the step in hand."""
    return {one["name"]: one["verdict"] for one in status.get("gates", ()) if one["step"] == step(status)}


async def answered(town: Town, name: str, requests: int) -> None:
    """So many requests are behind stable: at 100 percent the candidate is held against them."""
    promql = f'sum(max_over_time(millgate_requests_total{{model="{name}"}}[1h]))'
    url = f"{town.prometheus.url}/api/v1/query?{urllib.parse.urlencode({'query': promql})}"

    def enough() -> bool:
        with urllib.request.urlopen(url, timeout=5) as answer:
            found = json.load(answer)["data"]["result"]
        return bool(found) and float(found[0]["value"][1]) >= requests

    await eventually(enough, seconds=30, what=f"{requests} requests are scraped")


async def test_every_verdict_of_a_rollout_is_reached_again_while_it_runs_and_when_it_is_over(
    releases: Releases, town: Town, explain: Explain
) -> None:
    name = "explained"
    async with traffic(town, name, v1=0.01, v2=0.01, v3=0.3):
        await releases.released(release(name, "1", POLICY))
        await answered(town, name, 500)
        await releases.apply(release(name, "2", POLICY))
        passing = {"errors": "Pass", "share": "Pass"}
        await releases.until(name, lambda status: step(status) == "half" and verdicts(status) == passing)
        running = await explain.gates(name)
        assert {gate: (one["verdict"]["verdict"], one["sameAsOperator"]) for gate, one in running.items()} == {
            "errors": ("Pass", True),
            "share": ("Pass", True),
        }, {gate: (one["operatorSaid"], one["verdict"], one["looks"][-3:]) for gate, one in running.items()}
        looks = running["errors"]["looks"]
        assert {look["step"] for look in looks} == {"tenth", "half"}
        assert sum(look["candidate"]["requests"] for look in looks if "candidate" in look) >= 100
        await releases.until_word(name, "Promoted", seconds=60)
        await releases.apply(release(name, "3", POLICY))
        bad = await releases.until_word(name, "RolledBack", seconds=60)
    entry = bad["status"]["history"][0]
    assert entry["reason"] == "GuardrailBreached"
    again = (await explain.gates(name))["errors"]
    assert (again["verdict"]["verdict"], again["sameAsOperator"]) == ("Fail", True)
    assert again["verdict"]["message"] in entry["message"]
    assert again["looks"][-1]["verdict"] == "Fail"
    assert [look["verdict"] for look in again["looks"]].count("Fail") == 1
    good = (await explain.gates(name, "errors", "--revision", "2"))["errors"]
    assert {look["step"] for look in good["looks"] if look["verdict"] == "Pass"} == {"tenth", "half", "all"}, good[
        "looks"
    ][-3:]

    page = await explain(name, "errors", "--plot")
    assert page.code == 0, page.err
    for words in (
        "rollout 3, v3   RolledBack: GuardrailBreached",
        "WorseThanStable",
        "said the same",
        "100 %",
        "tenth",
    ):
        assert words in page.out, page.out

    changed = release(name, "3", POLICY | {"gates": [ERRORS | {"compare": {"preset": "Errors", "maxRatio": "90"}}]})
    await releases.apply(changed)
    other = await explain(name)
    assert "`spec.rollout` has changed since" in other.out
    milder = (await explain.gates(name))["errors"]
    assert milder["verdict"]["verdict"] != "Fail"
    assert milder["sameAsOperator"] is False

    unknown = await explain(name, "nobody")
    assert (unknown.code, unknown.out) == (1, "")
    assert "no gate 'nobody' was judged in this rollout; there are: errors" in unknown.err
    nothing = await explain(name, "--revision", "99")
    assert "status knows no rollout of revision 99" in nothing.err
    with town.prometheus.stopped():
        away = await explain(name)
    assert away.code == 1
    assert "connection refused" in away.err
