"""The lease: one leader at a time, by time that we make pass ourselves, on an API that keeps resourceVersions."""

import asyncio
import copy
import heapq
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from millgate.kube.api import Conflict, KubeError
from millgate.kube.lease import Elector, LeaseTerms


class Time:
    """A clock that stands still until all sleepers sleep; then the next one wakes."""

    def __init__(self) -> None:
        self.now = 100.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self._count += 1
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, self._count, woken))
        await woken

    async def pass_by(self, seconds: float) -> None:
        end = self.now + seconds
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self.now, _, woken = heapq.heappop(self._sleepers)
            if not woken.cancelled():
                woken.set_result(None)
            await self._settle()
        self.now = end

    async def _settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


@dataclass
class Api:
    """A Lease as an API server keeps it. `down` makes it refuse everything."""

    lease: dict[str, Any] | None = None
    version: int = 0
    down: bool = False
    writes: list[str] = field(default_factory=list)
    lose_next_answer: bool = False

    async def get(self, *_: object) -> dict[str, Any] | None:
        self._check()
        return copy.deepcopy(self.lease)

    async def create(self, _kind: object, obj: dict[str, Any]) -> dict[str, Any]:
        self._check()
        if self.lease is not None:
            raise Conflict(409, "AlreadyExists", "it is there")
        return self._store(obj)

    async def replace(self, _kind: object, obj: dict[str, Any]) -> dict[str, Any]:
        self._check()
        if self.lease is None or obj["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise Conflict(409, "Conflict", "it has changed")
        return self._store(obj)

    def _check(self) -> None:
        if self.down:
            raise KubeError(0, "Unreachable", "down")

    def _store(self, obj: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        self.lease = copy.deepcopy(obj)
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        self.writes.append(obj["spec"]["holderIdentity"])
        if self.lose_next_answer:
            self.lose_next_answer = False
            raise KubeError(0, "Unreachable", "the answer was lost")
        return copy.deepcopy(self.lease)

    @property
    def holder(self) -> str:
        return str(self.lease["spec"]["holderIdentity"]) if self.lease else ""


Make = Callable[..., tuple[Elector, "asyncio.Task[str]"]]


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def start(clock: Time, api: Api) -> Make:
    def make(identity: str, own_api: Api | None = None, sleep: Callable[[float], Awaitable[None]] | None = None):
        terms = LeaseTerms("default", "millgate", identity, 15, renew_deadline_seconds=10, period_seconds=2)
        elector = Elector(own_api or api, terms, clock=clock, sleep=sleep or clock.sleep)  # type: ignore[arg-type]
        return elector, asyncio.create_task(elector.run())

    return make


async def test_the_first_one_leads_at_once_and_renews_each_period(start, clock, api):
    elector, _ = start("a")
    await clock.pass_by(0.1)
    assert elector.leading.is_set()
    await clock.pass_by(20)
    assert api.writes == ["a"] * 11
    assert api.lease["spec"]["leaseTransitions"] == 0


async def test_there_is_never_a_second_leader(start, clock):
    electors = [start(name)[0] for name in "abc"]
    for _ in range(60):
        await clock.pass_by(1)
        assert sum(elector.may_act() for elector in electors) == 1


async def test_a_silent_holder_is_succeeded_after_its_duration_and_not_before(start, clock, api):
    dead, task = start("a")
    await clock.pass_by(1)
    task.cancel()
    follower, _ = start("b")
    await clock.pass_by(14)
    assert not follower.leading.is_set()
    await clock.pass_by(4)
    assert follower.leading.is_set()
    assert not dead.may_act()
    assert (api.holder, api.lease["spec"]["leaseTransitions"]) == ("b", 1)


async def test_a_restarted_container_takes_its_own_lease_back_at_once(start, clock):
    _, task = start("a")
    await clock.pass_by(1)
    task.cancel()
    again, _ = start("a")
    await clock.pass_by(0.1)
    assert again.leading.is_set()


async def test_of_two_processes_of_one_name_the_later_one_stays(start, clock):
    first, first_task = start("a")
    await clock.pass_by(1)
    second, _ = start("a")
    await clock.pass_by(2.1)
    assert first_task.done()
    assert "another process" in first_task.result()
    assert second.leading.is_set()
    assert not first.may_act()


async def test_a_released_lease_is_taken_within_a_period(start, clock, api):
    elector, task = start("a")
    await clock.pass_by(1)
    follower, _ = start("b")
    await clock.pass_by(1)
    task.cancel()
    await clock.pass_by(0)
    await elector.release()
    assert api.holder == ""
    await clock.pass_by(2)
    assert follower.leading.is_set()


async def test_a_leader_that_cannot_renew_stops_before_anybody_else_may_begin(start, clock, api):
    cut_off = Api()
    elector, task = start("a", cut_off)
    await clock.pass_by(0.1)
    # The rest of the world sees the same record, and goes on without this leader.
    api.lease, api.version = copy.deepcopy(cut_off.lease), cut_off.version
    follower, _ = start("b")
    await clock.pass_by(0.1)
    cut_off.down = True
    stopped_at = None
    for _ in range(200):
        await clock.pass_by(0.1)
        assert not (elector.may_act() and follower.may_act())
        if task.done() and stopped_at is None:
            stopped_at = clock.now
        if follower.leading.is_set():
            break
    assert follower.leading.is_set()
    assert stopped_at is not None
    assert stopped_at < clock.now - 4
    assert "10 s" in task.result()


async def test_an_outage_shorter_than_the_deadline_is_survived(start, clock, api):
    elector, task = start("a")
    await clock.pass_by(1)
    api.down = True
    await clock.pass_by(8)
    assert elector.may_act()
    api.down = False
    await clock.pass_by(20)
    assert elector.may_act()
    assert not task.done()


async def test_a_renewal_whose_answer_was_lost_is_still_ones_own(start, clock, api):
    elector, task = start("a")
    await clock.pass_by(1)
    api.lose_next_answer = True
    await clock.pass_by(10)
    assert elector.may_act()
    assert not task.done()


async def test_a_frozen_process_knows_at_once_that_it_may_not_act(start, clock):
    elector, _ = start("a")
    await clock.pass_by(1)
    assert elector.may_act()
    clock.now += 20  # SIGSTOP: time passes, and nothing of this process runs
    assert elector.leading.is_set()
    assert not elector.may_act()


async def test_a_lease_that_was_taken_over_by_force_ends_the_leader(start, clock, api):
    _, task = start("a")
    await clock.pass_by(1)
    api.lease["spec"]["holderIdentity"] = "b"
    api.lease["metadata"]["annotations"] = {}
    api.version += 1
    api.lease["metadata"]["resourceVersion"] = str(api.version)
    await clock.pass_by(3)
    assert task.done()
    assert api.holder == "b"


async def test_a_deleted_lease_ends_the_leader(start, clock, api):
    """Whoever deletes it wants an election."""
    _, task = start("a")
    await clock.pass_by(1)
    api.lease = None
    await clock.pass_by(3)
    assert task.done()


async def test_a_holder_with_longer_terms_is_waited_for_by_its_own_word(start, clock, api):
    _, task = start("a")
    await clock.pass_by(1)
    task.cancel()
    api.lease["spec"]["leaseDurationSeconds"] = 60
    follower, _ = start("b")
    await clock.pass_by(50)
    assert not follower.leading.is_set()
    await clock.pass_by(15)
    assert follower.leading.is_set()
