"""The highest rate of requests that one pod of a ModelDeployment has seen in a week: what a benchmark asks twice of.

Prometheus is asked beside the loop. A benchmark waits for the answer, which comes by the deadline of a query; no
reconcile does.
"""

import asyncio
import logging
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from millgate.controller.telemetry import Key
from millgate.evidence.reading import Metrics
from millgate.gates.presets import REQUESTS
from millgate.sources.prometheus import MetricsError

logger = logging.getLogger(__name__)

_SCRAPES_IN_A_RATE = 4


@dataclass(frozen=True)
class Peak:
    """None: nobody knows. The check has a rate for that."""

    requests_per_second: float | None = None


PeakOf = Callable[[int], Peak | None]
"""The peak for one visit of a step; None while Prometheus is being asked."""


def unmeasured(_: int) -> Peak:
    return Peak()


@dataclass
class _Asked:
    visit: int
    answer: Peak | None = None
    task: asyncio.Task[Any] | None = None


class Peaks:
    """Asks once for each visit of a step. Without Prometheus nothing is known."""

    def __init__(
        self,
        metrics: Metrics | None = None,
        *,
        wake: Callable[[Key], None] = lambda _: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        scrape_interval_seconds: float = 30.0,
    ) -> None:
        self._metrics = metrics
        self._wake = wake
        self._clock = clock
        self._rate_seconds = max(300, math.ceil(_SCRAPES_IN_A_RATE * scrape_interval_seconds))
        self._asked: dict[Key, _Asked] = {}

    def known(self, key: Key, visit: int) -> Peak | None:
        """None while it is asked for: `wake` is called with the key once there is an answer."""
        if self._metrics is None:
            return Peak()
        asked = self._asked.get(key)
        if asked is None or asked.visit != visit:
            self.forget(key)
            asked = self._asked[key] = _Asked(visit)
            asked.task = asyncio.create_task(self._ask(self._metrics, key, asked), name=f"peak of {key[0]}/{key[1]}")
        return asked.answer

    def forget(self, key: Key) -> None:
        asked = self._asked.pop(key, None)
        if asked is not None and asked.task is not None:
            asked.task.cancel()

    def close(self) -> None:
        for key in tuple(self._asked):
            self.forget(key)

    async def _ask(self, metrics: Metrics, key: Key, asked: _Asked) -> None:
        try:
            series = await metrics.query(peak_query(*key, self._rate_seconds), self._clock())
            found = max((value for one in series for _, value in one.samples if value > 0), default=None)
            asked.answer = Peak(found if found is not None and math.isfinite(found) else None)
        except MetricsError as error:
            logger.info("no peak is known", extra={"namespace": key[0], "modelDeployment": key[1], "error": str(error)})
            asked.answer = Peak()
        self._wake(key)


def peak_query(namespace: str, name: str, rate_seconds: int) -> str:
    """Of the pods of any revision, also of those that are gone: a name of a Deployment ends in its hash.

    The week is looked at in steps, the last of which a model that is minutes old has not lived to see.
    """
    pods = f"{re.escape(name)}-r[0-9a-f]{{9}}-.+"
    labels = f'namespace="{namespace}",pod=~"{pods}"'.replace("\\", "\\\\")
    now = f"max(sum by (pod) (rate({REQUESTS}{{{labels}}}[{rate_seconds}s])))"
    return f"max(max_over_time({now}[7d:{rate_seconds}s]) or {now})"
