"""What a failing gate does, on a real API server and a real Prometheus: hold for a person, only warn, or take back."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.controlplane.plane import Kubectl, eventually
from tests.controlplane.release_cases import ALL, Releases, conditions, release, rollout, trouble_gate, word
from tests.controlplane.release_kstatus import kstatus, row
from tests.controlplane.release_promises import hold
from tests.controlplane.release_town import Town

Json = dict[str, Any]
QUARTER = {"name": "quarter", "weightPercent": 25, "minSeconds": 2}


def policy(does: str) -> Json:
    return rollout(QUARTER, ALL, gates=[trouble_gate() | {"onFail": does}], intervalSeconds=1)


class Trouble:
    """What the gate's query reads."""

    def __init__(self, town: Town, name: str) -> None:
        self._town, self._name = town, name
        self.set(0.0)

    def set(self, value: float) -> None:
        self._town.page.set("test_trouble", value, namespace=self._town.namespace, model=self._name)


@pytest.fixture
def told(kubectl: Kubectl, releases: Releases) -> Callable[[str], list[Json]]:
    def of(name: str) -> list[Json]:
        arguments = f"--field-selector=involvedObject.name={name},reason=GateFailed"
        events = kubectl("get", "events", arguments, "--output=json", namespace=releases.namespace)
        return list(json.loads(events)["items"])

    return of


async def test_a_failure_that_holds_waits_for_a_person_and_is_answered_once(
    releases: Releases, town: Town, told: Callable[[str], list[Json]]
) -> None:
    name = "held"
    trouble = Trouble(town, name)
    await releases.released(release(name, "1", policy("Hold")))
    trouble.set(5.0)
    await releases.apply(release(name, "2", policy("Hold")))
    held = await releases.until_word(name, "AwaitingDecision")
    assert row(held) == "TTFFTFFF"
    assert kstatus(held) == "InProgress"
    assert conditions(held["status"])["CandidateHealthy"]["reason"] == "AwaitingDecision"
    assert releases.pinned(name) is None, "nothing is taken back"
    trouble.set(0.0)
    await releases.until(name, lambda status: status["gates"][0]["verdict"] == "Pass")
    assert word(releases.status(name)) == "AwaitingDecision", "what it has seen is for a person to judge"
    await releases.ask(name, f"Promote rollout={held['status']['rollout']['id']} id=fine")
    await releases.until(name, lambda status: word(status) == "Promoted" and status.get("rollout") is None)
    await eventually(lambda: told(name), what="an event")
    assert len(told(name)) == 1
    hold(releases.record.changes(), name)


async def test_a_failure_that_only_warns_is_an_event_and_the_rollout_goes_on(
    releases: Releases, town: Town, told: Callable[[str], list[Json]]
) -> None:
    name = "warned"
    trouble = Trouble(town, name)
    await releases.released(release(name, "1", policy("Alert")))
    trouble.set(5.0)
    await releases.released(release(name, "2", policy("Alert")))
    events = await eventually(lambda: told(name), what="an event")
    assert all("onFail Alert" in event["message"] for event in events)
    assert releases.status(name)["stable"]["modelVersion"] == "2"
    hold(releases.record.changes(), name)


async def test_after_promotion_a_hold_waits_for_a_person_and_a_rollback_is_at_once(
    releases: Releases, town: Town
) -> None:
    name = "second-thoughts"
    trouble, asked = Trouble(town, name), policy("Hold") | {"keepWarmSeconds": 600}
    await releases.apply(release(name, "1", asked))
    stable = (await releases.until_word(name, "Promoted"))["status"]["stable"]["hash"]
    await releases.apply(release(name, "2", asked))
    await releases.until(name, lambda status: word(status) == "Promoted")
    trouble.set(5.0)
    shown = await releases.until(
        name, lambda status: conditions(status)["CandidateHealthy"]["reason"] == "AwaitingDecision"
    )
    assert word(shown["status"]) == "Promoted"
    assert releases.pinned(name) == shown["status"]["stable"]["hash"] != stable
    await releases.ask(name, "Rollback id=back")
    await releases.until(name, lambda status: word(status) == "RolledBack" and status.get("rollout") is None)
    assert releases.pinned(name) == stable
    hold(releases.record.changes(), name)
