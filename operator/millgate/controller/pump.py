"""Takes keys from the queue and reconciles several at a time, each one alone and with a deadline."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from millgate.controller.loop import WriteRefusedError
from millgate.controller.telemetry import Key, Telemetry
from millgate.kube.api import MODEL_DEPLOYMENT, Conflict, KubeApi, KubeError
from millgate.kube.queue import WorkQueue

logger = logging.getLogger(__name__)

Reconcile = Callable[[Key], Awaitable[float | None]]


class Pump:
    """Works on as many keys as the queue lets it.

    What fails comes back with backoff; what was overtaken (Conflict) at once.
    """

    def __init__(
        self,
        queue: WorkQueue[Key],
        reconcile: Reconcile,
        telemetry: Telemetry,
        *,
        timeout_seconds: float,
    ) -> None:
        self._queue = queue
        self._reconcile = reconcile
        self._telemetry = telemetry
        self._timeout_seconds = timeout_seconds
        self._working: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """For ever; cancelled, it takes no new key, and what is being worked on goes on."""
        while True:
            key = await self._queue.get()
            task = asyncio.create_task(self._work(key), name=f"reconcile {key[0]}/{key[1]}")
            self._working.add(task)
            task.add_done_callback(self._working.discard)

    async def finish(self, seconds: float) -> None:
        """Let what is being worked on end, for `seconds` at most, then cancel it: every reconcile may be cut off."""
        if self._working:
            await asyncio.wait(self._working, timeout=seconds)
        for task in tuple(self._working):
            task.cancel()

    async def _work(self, key: Key) -> None:
        started = time.monotonic()
        result = "error"
        try:
            async with asyncio.timeout(self._timeout_seconds):
                again_seconds = await self._reconcile(key)
        except Conflict:
            result = "conflict"
            self._queue.add(key)
        except (WriteRefusedError, KubeError, TimeoutError) as error:
            self._retry(key, str(error) or "no end in time")
        except Exception:
            logger.exception("a reconcile failed", extra=_about(key))
            self._retry(key, "a defect")
        else:
            result = "success"
            self._queue.succeeded(key)
            if again_seconds is not None:
                self._queue.after(key, again_seconds)
        finally:
            self._queue.done(key)
            self._telemetry.reconciled(result, time.monotonic() - started)

    def _retry(self, key: Key, why: str) -> None:
        seconds = self._queue.failed(key)
        logger.warning("reconcile is tried again", extra={**_about(key), "inSeconds": round(seconds, 1), "error": why})


async def list_keys(api: KubeApi, namespaces: tuple[str, ...]) -> dict[Key, str]:
    """All ModelDeployments that this operator is there for, with their resourceVersion. Raises KubeError."""
    found: dict[Key, str] = {}
    for namespace in namespaces or (None,):
        found |= await api.list_versions(MODEL_DEPLOYMENT, namespace)
    return found


def _about(key: Key) -> dict[str, str]:
    return {"namespace": key[0], "modelDeployment": key[1]}
