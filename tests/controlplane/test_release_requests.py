"""What people ask for by annotation is done once and answered once, also by a process that finds it standing there."""

import asyncio
from collections import defaultdict
from typing import Any

from tests.controlplane.plane import eventually
from tests.controlplane.release_cases import ALL, OWNER, Releases, release, rollout, word
from tests.controlplane.release_promises import hold
from tests.controlplane.release_town import Town

Json = dict[str, Any]
POLICY = rollout({"name": "half", "weightPercent": 50, "gates": [OWNER]}, ALL, keepWarmSeconds=600)


async def answered(releases: Releases, name: str, text: str) -> Json:
    """The answer to a request."""
    asked = next(word.removeprefix("id=") for word in text.split() if word.startswith("id="))
    await releases.ask(name, text)
    found = await releases.until(name, lambda status: (status.get("lastRequest") or {}).get("id") == asked)
    return found["status"]["lastRequest"]


async def test_each_request_is_carried_out_once_and_answered_once(releases: Releases, town: Town) -> None:
    name = "commanded"
    await releases.released(release(name, "1", POLICY))
    await releases.apply(release(name, "2", POLICY))
    second = (await releases.until_word(name, "AwaitingApproval"))["status"]["rollout"]["id"]
    assert (await answered(releases, name, f"Promote rollout={second} id=p1"))["result"] == "Applied"
    await releases.until_word(name, "Promoted")

    await releases.apply(release(name, "3", POLICY))
    third = (await releases.until_word(name, "AwaitingApproval"))["status"]["rollout"]["id"]
    late = await answered(releases, name, f"Promote rollout={second} id=p2")
    assert late["result"] == "Refused"
    assert f"bound to rollout {second}" in late["message"]
    assert word(releases.status(name)) == "AwaitingApproval"

    assert (await answered(releases, name, "Pause id=h1"))["result"] == "Applied"
    await releases.until_word(name, "PausedByUser")
    assert (await answered(releases, name, "Resume id=h2"))["result"] == "Applied"
    await releases.until_word(name, "AwaitingApproval")

    assert (await answered(releases, name, f"Abort rollout={third} id=a1"))["result"] == "Applied"
    await releases.until_word(name, "RolledBack")
    assert (await answered(releases, name, "Retry id=r1"))["result"] == "Applied"
    fourth = (await releases.until_word(name, "AwaitingApproval"))["status"]["rollout"]["id"]
    assert fourth != third
    assert (await answered(releases, name, f"Promote rollout={fourth} id=p3"))["result"] == "Applied"
    await releases.until_word(name, "Promoted")
    assert (await answered(releases, name, "Rollback id=b1"))["result"] == "Applied"
    before = (await releases.until_word(name, "RolledBack"))["status"]

    town.operator.kill()
    await asyncio.to_thread(town.operator.start().leading)
    await eventually(lambda: town.operator.metric("millgate_reconciles_total") > 0, what="the new process has looked")
    assert (await answered(releases, name, "Promote id=x1"))["result"] == "Refused"
    assert releases.status(name)["history"] == before["history"]
    outcomes = [(entry["modelVersion"], entry["outcome"]) for entry in before["history"]]
    assert outcomes == [
        ("3", "RolledBack"),
        ("3", "Promoted"),
        ("3", "Aborted"),
        ("2", "Promoted"),
        ("1", "Promoted"),
    ]
    assert {id_: len(answers) for id_, answers in answers_in(releases, name).items()} == dict.fromkeys(
        ("p1", "p2", "h1", "h2", "a1", "r1", "p3", "b1", "x1"), 1
    )
    hold(releases.record.changes(), name)


def answers_in(releases: Releases, name: str) -> dict[str, set[str]]:
    """The different answers that status ever gave, by the id of the request."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for change in releases.record.changes():
        answer = change.obj.get("status", {}).get("lastRequest")
        if (change.kind, change.name) == ("ModelDeployment", name) and answer:
            found[answer["id"]].add(f"{answer['result']} at {answer['time']}: {answer['message']}")
    return found
