"""The operator is killed at random moments of many rollouts: each goes on where it was, and ends as it would have."""

import asyncio
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from millgate.kube.api import KubeApi
from tests.controlplane.operator_process import OperatorProcess
from tests.controlplane.plane import new_namespace
from tests.controlplane.release_cases import (
    ALL,
    HALF,
    QUARTER,
    REPLICAS,
    Releases,
    release,
    rollout,
    step,
    trouble_gate,
    word,
)
from tests.controlplane.release_promises import Told, hold, moment
from tests.controlplane.release_record import recorded
from tests.controlplane.release_town import Town

Json = dict[str, Any]
KILLS = 30
SEED = 20261123
GOOD = rollout(QUARTER, HALF, ALL)
# Judged by a real Prometheus: the verdict has to be read again by each new process.
CHECKED = rollout(QUARTER, HALF | {"gates": [trouble_gate()]}, ALL, intervalSeconds=1)
# What a process needs from the lease, or from the end of a step, to the write on a busy machine.
GRACE_SECONDS = 2.0
# The first point of the grid that lies in a step is readable at the latest so long after its `minSeconds`.
FIRST_VERDICT_SECONDS = 1.0


@dataclass
class Lives:
    """When the operator was at work: (from, until) in Unix seconds, from the moment at which it led."""

    spans: list[tuple[float, float]] = field(default_factory=list)

    def longest_between(self, start: float, end: float) -> float:
        """The most that one process was at work in that time, in seconds."""
        return max((min(end, until) - max(start, since) for since, until in self.spans), default=0.0)


async def kill_again_and_again(operator: OperatorProcess, lives: Lives, chance: random.Random) -> None:
    for _ in range(KILLS):
        operator.start()
        await asyncio.to_thread(operator.leading)
        began = time.time()
        await asyncio.sleep(chance.uniform(0.0, 2.0))
        operator.kill()
        lives.spans.append((began, time.time()))


@dataclass
class Person:
    """Releases one version after the other of a model until told to stop; `ended` counts the rollouts by version."""

    releases: Releases
    name: str
    stop: asyncio.Event
    version: int = 1

    async def promotes(self, policy: Json) -> None:
        while not self.stop.is_set():
            await self.releases.released(release(self.name, str(self.version), policy), seconds=120)
            self.version += 1

    async def sees_bad_ones_go_back(self) -> None:
        await self.releases.released(release(self.name, "1", CHECKED), seconds=120)
        while not self.stop.is_set():
            self.version += 1
            await self.releases.apply(release(self.name, str(self.version), CHECKED))
            await self.releases.until_word(self.name, "RolledBack", seconds=120)

    async def changes_their_mind_at_half(self) -> None:
        await self.releases.released(release(self.name, "1", GOOD), seconds=120)
        while not self.stop.is_set():
            await self.releases.apply(release(self.name, f"{self.version}-dropped", GOOD))
            await self.releases.until(self.name, lambda status: step(status) == "half", seconds=120)
            self.version += 1
            await self.releases.released(release(self.name, str(self.version), GOOD), seconds=120)


async def test_thirty_kills_at_random_moments_change_no_rollout(
    api: KubeApi, town: Town, tmp_path: Path, record_property: Any
) -> None:
    lives, stop = Lives(), asyncio.Event()
    with new_namespace(town.kubectl, "chaos") as namespace, recorded(town.plane, namespace) as record:
        town.page.set("test_trouble", 0.0, namespace=namespace, model="asked")
        town.page.set("test_trouble", 5.0, namespace=namespace, model="bad")
        operator = OperatorProcess(
            town.plane,
            tmp_path,
            prometheus={"url": town.prometheus.url, "scrapeIntervalSeconds": 1},
            watchNamespaces=[namespace],
            lease={"name": "chaos", "namespace": namespace},
        )
        people = {name: Person(Releases(api, record), name, stop) for name in ("calm", "asked", "bad", "hasty")}
        async with asyncio.TaskGroup() as group:
            group.create_task(people["calm"].promotes(GOOD))
            group.create_task(people["asked"].promotes(CHECKED))
            group.create_task(people["bad"].sees_bad_ones_go_back())
            group.create_task(people["hasty"].changes_their_mind_at_half())
            await kill_again_and_again(operator, lives, random.Random(SEED))
            stop.set()
            group.create_task(_work_to_the_end(operator, lives, people))
        changes = record.changes()
    told = [hold(changes, name) for name in people]
    for one in told:
        _ended_as_it_would_have(one)
        _nothing_is_left(one)
    stages = {one.stood_at(killed) for _, killed in lives.spans[:KILLS] for one in told}
    late = [seconds for one in told for seconds in _seconds_late(one, lives)]
    record_property("rollouts", sum(len(one.steps) for one in told))
    record_property("killed_in", sorted(stages))
    record_property("seconds_late", [round(seconds, 2) for seconds in sorted(late)])
    assert {"Stepping/quarter", "Stepping/half", "Promoting/all"} <= stages, "the kills met too few moments"
    assert max(late) <= GRACE_SECONDS, sorted(late)


async def _work_to_the_end(operator: OperatorProcess, lives: Lives, people: dict[str, Person]) -> None:
    with operator:
        operator.start()
        await asyncio.to_thread(operator.leading)
        began = time.time()
        for person in people.values():
            await person.releases.until(
                person.name, lambda status: status.get("rollout") is None and word(status), seconds=60
            )
        lives.spans.append((began, time.time()))


def _ended_as_it_would_have(told: Told) -> None:
    expected = {"calm": {"Promoted"}, "asked": {"Promoted"}, "bad": {"Promoted", "RolledBack"}}
    outcomes = {entry["outcome"] for entry in told.status["history"]}
    assert outcomes <= expected.get(told.name, {"Promoted", "Superseded"}), told.status["history"]
    revisions = [entry["revision"] for entry in told.status["history"]]
    assert len(set(revisions)) == len(revisions), "a rollout stands in history twice"
    for id_, steps in told.steps.items():
        names = [record["name"] for record in steps]
        assert names == ["quarter", "half", "all"][: len(names)] or names == ["all"], f"{id_}: {names}"


def _nothing_is_left(told: Told) -> None:
    """Stable has its pods and its traffic, and nobody else has any."""
    stable = told.status["stable"]["hash"]
    assert told.pinned == stable
    assert {hash_: count for hash_, count in told.ready().items() if count} == {stable: REPLICAS}
    sizes = {hash_: deployment["spec"]["replicas"] for hash_, deployment in told.deployments.items()}
    assert sizes.pop(stable) == REPLICAS
    assert set(sizes.values()) <= {0}


def _seconds_late(told: Told, lives: Lives) -> list[float]:
    """How long one process was at work after the time of each step was over and left it open. No step was shorter."""
    least = {"quarter": QUARTER["minSeconds"], "half": HALF["minSeconds"]}
    late = []
    for id_, steps in told.steps.items():
        for begun in steps:
            end = told.ends.get((id_, begun["name"]))
            if end is None:
                continue  # the last one, or one that was not passed
            start = moment(begun["startTime"])
            due = start + least[begun["name"]]
            assert end >= due - 0.001, f"{id_}: step {begun['name']} took {end - start:.3f} s"
            gated = told.name == "asked" and begun["name"] == "half"
            late.append(max(0.0, lives.longest_between(due + (FIRST_VERDICT_SECONDS if gated else 0.0), end)))
    return late
