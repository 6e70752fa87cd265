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
from tests.controlplane.release_cases import HALF, QUARTER, Releases
from tests.controlplane.release_people import (
    CHECKED,
    GOOD,
    Person,
    ended_as_it_would_have,
    nothing_is_left,
)
from tests.controlplane.release_promises import Told, hold, moment
from tests.controlplane.release_record import recorded
from tests.controlplane.release_town import Town

KILLS = 30
SEED = 20261123
OUTCOMES = {
    "calm": {"Promoted"},
    "asked": {"Promoted"},
    "bad": {"Promoted", "RolledBack"},
    "hasty": {"Promoted", "Superseded"},
}
# What a process may need from the lease, or from the end of a step, to the write; as long as a start on a busy machine.
GRACE_SECONDS = 1.0
# The first point of the grid that lies in a step is readable at the latest so long after its `minSeconds`.
FIRST_VERDICT_SECONDS = 1.0


@dataclass
class Lives:
    """When the operator was at work: (from, until) in Unix seconds, from the moment at which it led."""

    spans: list[tuple[float, float]] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)  # seconds until it led

    def longest_between(self, start: float, end: float) -> float:
        """The most that one process was at work in that time, in seconds."""
        return max((min(end, until) - max(start, since) for since, until in self.spans), default=0.0)


async def kill_again_and_again(operator: OperatorProcess, lives: Lives, chance: random.Random) -> None:
    """A life lasts up to two seconds, or as long as its start took: nobody gets anything done in less."""
    for _ in range(KILLS):
        started = time.time()
        with operator:
            await asyncio.to_thread(operator.leading, 60.0)
            began = time.time()
            lives.starts.append(began - started)
            await asyncio.sleep(chance.uniform(0.0, max(2.0, lives.starts[-1])))
            operator.kill()
        lives.spans.append((began, time.time()))


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
        people = {name: Person(Releases(api, record), name, stop) for name in OUTCOMES}
        async with asyncio.TaskGroup() as group:
            work = [
                group.create_task(people["calm"].promotes(GOOD)),
                group.create_task(people["asked"].promotes(CHECKED)),
                group.create_task(people["bad"].sees_bad_ones_go_back()),
                group.create_task(people["hasty"].changes_their_mind_at_half()),
            ]
            await kill_again_and_again(operator, lives, random.Random(SEED))
            stop.set()
            with operator:
                await asyncio.to_thread(operator.leading)
                began = time.time()
                await asyncio.gather(*work)
                lives.spans.append((began, time.time()))
        changes = record.changes()
    told = [hold(changes, name) for name in people]
    for one in told:
        ended_as_it_would_have(one, OUTCOMES[one.name])
        nothing_is_left(one)
    stages = {one.stood_at(killed) for _, killed in lives.spans[:KILLS] for one in told}
    late = [seconds for one in told for seconds in _seconds_late(one, lives)]
    record_property("rollouts", sum(len(one.steps) for one in told))
    record_property("killed_in", sorted(stages))
    record_property("seconds_late", [round(seconds, 2) for seconds in sorted(late)])
    assert {"Stepping/quarter", "Stepping/half", "Promoting/all"} <= stages, "the kills met too few moments"
    record_property("seconds_to_start", [round(seconds, 2) for seconds in sorted(lives.starts)])
    assert max(late) <= max(GRACE_SECONDS, *lives.starts), (sorted(late), sorted(lives.starts))


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
