"""Reads the evidence of every rollout in flight, beside the loop: a slow metrics store delays no reconcile.

The newest verdicts stay in memory, bound to one visit of a step, so that none is ever used for another candidate,
another step or another rule. After a restart they are read again: the evidence is in the metrics store, not here.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from millgate.api.spec import Rollout
from millgate.api.status import GateStatus, RolloutStatus, Verdict
from millgate.controller.telemetry import Key, Telemetry
from millgate.evidence.reader import EvidenceRequest

logger = logging.getLogger(__name__)


class Reader(Protocol):
    """Judges the metric gates of a step. A metrics outage is a verdict (Inconclusive), not an error."""

    async def judge(self, request: EvidenceRequest, now: datetime) -> tuple[GateStatus, ...]: ...

    def forget(self, uid: str) -> None: ...


@dataclass(frozen=True)
class Visit:
    """What evidence belongs to: one stay in one step of one rollout, under one policy."""

    uid: str
    rollout: str
    step: str
    start: datetime
    policy: Rollout

    @classmethod
    def of(cls, uid: str, rollout: RolloutStatus | None, policy: Rollout) -> "Visit | None":
        """The visit of the newest step that has begun; it goes on while the next one waits for its pods."""
        if rollout is None or not rollout.steps:
            return None
        newest = rollout.steps[-1]
        return cls(uid, rollout.id, newest.name, newest.start_time, policy)


@dataclass
class _Watch:
    visit: Visit
    request: EvidenceRequest
    verdicts: tuple[GateStatus, ...] = ()
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class Observer:
    """One task a rollout in flight, which looks at each point of the step's grid and wakes the ModelDeployment."""

    def __init__(
        self,
        reader: Reader,
        telemetry: Telemetry,
        *,
        wake: Callable[[Key, bool], None],
        clock: Callable[[], datetime],
    ) -> None:
        """`wake`: takes a ModelDeployment with new verdicts, and whether one of them is a failure: that is urgent."""
        self._reader = reader
        self._telemetry = telemetry
        self._wake = wake
        self._clock = clock
        self._watches: dict[Key, _Watch] = {}

    def verdicts(self, key: Key, visit: Visit | None) -> tuple[GateStatus, ...]:
        """The newest verdicts of this very visit; none when nothing was read yet."""
        watch = self._watches.get(key)
        return watch.verdicts if watch is not None and watch.visit == visit else ()

    def follow(self, key: Key, visit: Visit, request: EvidenceRequest) -> None:
        """Look from now on at the evidence of this visit, and of no other of the same ModelDeployment."""
        watch = self._watches.get(key)
        if watch is not None and watch.visit == visit:
            watch.request = request
            return
        self._end(key)
        watch = _Watch(visit, request)
        watch.task = asyncio.create_task(self._look_on(key, watch), name=f"evidence of {key[0]}/{key[1]}")
        self._watches[key] = watch

    def forget(self, key: Key) -> None:
        """The rollout has ended, or the ModelDeployment is gone."""
        watch = self._end(key)
        if watch is not None:
            self._reader.forget(watch.visit.uid)

    def close(self) -> None:
        for key in tuple(self._watches):
            self._end(key)

    def _end(self, key: Key) -> _Watch | None:
        watch = self._watches.pop(key, None)
        if watch is not None and watch.task is not None:
            watch.task.cancel()
        return watch

    async def _look_on(self, key: Key, watch: _Watch) -> None:
        # A step that began before this process did has looks behind it: the newest of them is made up for at once.
        due = watch.request.next_look(watch.visit.start)
        while True:
            await asyncio.sleep(max(0.0, (due - self._clock()).total_seconds()))
            await self._look(key, watch)
            due = watch.request.next_look(self._clock())

    async def _look(self, key: Key, watch: _Watch) -> None:
        try:
            verdicts = await self._reader.judge(watch.request, self._clock())
        except Exception:
            # No verdict is no verdict: the step holds, the reason is in the log, and the next look tries again.
            logger.exception("evidence could not be read", extra={"namespace": key[0], "modelDeployment": key[1]})
            self._telemetry.evidence_read("error")
            return
        self._telemetry.evidence_read("success")
        watch.verdicts = verdicts
        self._wake(key, any(one.verdict is Verdict.FAIL for one in verdicts))
