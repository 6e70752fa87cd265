"""People who release one version after the other while something goes wrong, and what must have come of it."""

import asyncio
from dataclasses import dataclass
from typing import Any

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
)
from tests.controlplane.release_promises import Told

Json = dict[str, Any]
PATIENCE_SECONDS = 300.0
GOOD = rollout(QUARTER, HALF, ALL)
# Judged by a real Prometheus: the verdict has to be read again by each new process.
CHECKED = rollout(QUARTER, HALF | {"gates": [trouble_gate()]}, ALL, intervalSeconds=1)


@dataclass
class Person:
    """Releases one version of a model after the other, until told to stop."""

    releases: Releases
    name: str
    stop: asyncio.Event
    version: int = 1

    async def promotes(self, policy: Json) -> None:
        while not self.stop.is_set():
            await self.releases.released(release(self.name, str(self.version), policy), seconds=PATIENCE_SECONDS)
            self.version += 1

    async def sees_bad_ones_go_back(self) -> None:
        await self.releases.released(release(self.name, "1", CHECKED), seconds=PATIENCE_SECONDS)
        while not self.stop.is_set():
            self.version += 1
            await self.releases.apply(release(self.name, str(self.version), CHECKED))
            await self.releases.until_word(self.name, "RolledBack", seconds=PATIENCE_SECONDS)

    async def changes_their_mind_at_half(self) -> None:
        await self.releases.released(release(self.name, "1", GOOD), seconds=PATIENCE_SECONDS)
        while not self.stop.is_set():
            await self.releases.apply(release(self.name, f"{self.version}-dropped", GOOD))
            await self.releases.until(self.name, lambda status: step(status) == "half", seconds=PATIENCE_SECONDS)
            self.version += 1
            await self.releases.released(release(self.name, str(self.version), GOOD), seconds=PATIENCE_SECONDS)


def ended_as_it_would_have(told: Told, expected: set[str]) -> None:
    """Every rollout that the history knows ended in one of these ways, once, and took its steps in order."""
    assert {entry["outcome"] for entry in told.status["history"]} <= expected, told.status["history"]
    revisions = [entry["revision"] for entry in told.status["history"]]
    assert len(set(revisions)) == len(revisions), "a rollout stands in history twice"
    for id_, steps in told.steps.items():
        names = [record["name"] for record in steps]
        assert names == ["quarter", "half", "all"][: len(names)] or names == ["all"], f"{id_}: {names}"


def nothing_is_left(told: Told) -> None:
    """Stable has its pods and its traffic, and nobody else has any."""
    stable = told.status["stable"]["hash"]
    assert told.pinned == stable
    assert {hash_: count for hash_, count in told.ready().items() if count} == {stable: REPLICAS}
    sizes = {hash_: deployment["spec"]["replicas"] for hash_, deployment in told.deployments.items()}
    assert sizes.pop(stable) == REPLICAS
    assert set(sizes.values()) <= {0}
