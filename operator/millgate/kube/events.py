"""Kubernetes events about an object, each said once in a while and never waited for."""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from millgate.api.names import GROUP
from millgate.kube.api import EVENT, Json, KubeApi, KubeError

logger = logging.getLogger(__name__)

CONTROLLER = f"{GROUP}/operator"
WINDOW_SECONDS = 600.0
_WAITING_AT_MOST = 5000
_WRITERS = 4
_NOTE_LENGTH = 1024


@dataclass(frozen=True)
class Note:
    """One event: `type` is Normal or Warning, `reason` one CamelCase word."""

    type: str
    reason: str
    message: str


class EventWriter:
    """Writes events in the background, a few at a time.

    The same reason and message about the same object is written once per window. Events are for people: one that
    cannot be written, or that comes when too many wait, is dropped and logged.
    """

    def __init__(
        self,
        api: KubeApi,
        instance: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        window_seconds: float = WINDOW_SECONDS,
    ) -> None:
        self._api = api
        self._instance = instance
        self._clock = clock
        self._window_seconds = window_seconds
        self._said: dict[tuple[str, str, str], float] = {}
        self._waiting: asyncio.Queue[Json] = asyncio.Queue(_WAITING_AT_MOST)

    def write(self, about: Json, note: Note) -> None:
        """Returns at once."""
        if not self._is_new(about["metadata"]["uid"], note):
            return
        try:
            self._waiting.put_nowait(_event(about, note, self._instance, datetime.now(UTC)))
        except asyncio.QueueFull:
            logger.warning("an event was dropped", extra={"reason": note.reason, "eventMessage": note.message})

    async def run(self) -> None:
        """For ever."""
        await asyncio.gather(*(self._write_on() for _ in range(_WRITERS)))

    async def _write_on(self) -> None:
        while True:
            event = await self._waiting.get()
            try:
                await self._api.create(EVENT, event)
            except KubeError as error:
                logger.warning("an event was not written", extra={"reason": event["reason"], "error": str(error)})
            finally:
                self._waiting.task_done()

    async def drain(self, seconds: float) -> None:
        """Wait until what was said is written, for `seconds` at most."""
        try:
            async with asyncio.timeout(seconds):
                await self._waiting.join()
        except TimeoutError:
            logger.info("events were left unwritten", extra={"count": self._waiting.qsize()})

    def _is_new(self, uid: str, note: Note) -> bool:
        now = self._clock()
        # In the order of their times, so that what is over stands at the front.
        while self._said and now - next(iter(self._said.values())) >= self._window_seconds:
            del self._said[next(iter(self._said))]
        key = (uid, note.reason, note.message)
        if key in self._said:
            return False
        self._said[key] = now
        return True


def _event(about: Json, note: Note, instance: str, now: datetime) -> Json:
    metadata = about["metadata"]
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {
            "namespace": metadata["namespace"],
            "name": f"{metadata['name'][:200]}.{uuid.uuid4().hex[:16]}",
        },
        "eventTime": now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "type": note.type,
        "reason": note.reason,
        "note": note.message[:_NOTE_LENGTH],
        "action": note.reason,
        "regarding": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
        "reportingController": CONTROLLER,
        "reportingInstance": instance[:128],
    }
