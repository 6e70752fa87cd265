"""The work queue of the operator: which key is to be looked at next, and when."""

import asyncio
import heapq
import math
import random
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

BACKOFF_BASE_SECONDS = 0.1
BACKOFF_CAP_SECONDS = 60.0


@dataclass(frozen=True)
class QueueState:
    """What an observer may know: keys ready to be taken, keys being worked on, and how long the oldest has waited."""

    ready: int
    busy: int
    delayed: int
    oldest_seconds: float


class WorkQueue(Generic[K]):
    """Keys that need work, for one event loop.

    - A key that is added many times before it is taken is taken once.
    - A key is never worked on twice at the same time: added while it is busy, it becomes ready when it is done.
    - Keys are taken in the order in which they became ready; those added `first` go before all others.
    - No more than `most_busy` are busy at once; of those added `first` there may be `more_first` beyond that, so that
      none of them waits for another key's end.
    - `after` makes a key ready later. Of several such times the earliest holds, and it is used up when the key is
      taken: whoever takes a key looks at everything, and says anew when to look again.
    - `failed` makes a key ready after a delay that doubles with each failure in a row; `succeeded` ends the row.
    - `forget` drops all that is known of a key, except that it is busy.
    - Nothing is lost: each added key is taken, unless it is forgotten before.
    """

    def __init__(  # noqa: PLR0913 - two limits, two times, and what a test puts in the place of chance
        self,
        *,
        most_busy: float = math.inf,
        more_first: int = 0,
        clock: Callable[[], float] = time.monotonic,
        spread: Callable[[], float] = random.random,
        base_seconds: float = BACKOFF_BASE_SECONDS,
        cap_seconds: float = BACKOFF_CAP_SECONDS,
    ) -> None:
        self._most_busy = most_busy
        self._more_first = more_first
        self._clock = clock
        self._spread = spread
        self._base_seconds = base_seconds
        self._cap_seconds = cap_seconds
        self._first: deque[K] = deque()
        self._order: deque[K] = deque()
        self._ready_since: dict[K, float] = {}
        self._busy: set[K] = set()
        self._again: dict[K, bool] = {}  # added while busy; True: first
        self._due: dict[K, float] = {}
        self._timers: list[tuple[float, int, K]] = []  # may hold times that no longer hold; `_due` knows
        self._count = 0
        self._failures: dict[K, int] = {}
        self._changed = asyncio.Event()

    def add(self, key: K, *, first: bool = False) -> None:
        """Work on the key as soon as possible."""
        if key in self._busy:
            self._again[key] = first or self._again.get(key, False)
        elif key not in self._ready_since:
            self._make_ready(key, first=first)
        elif first and key in self._order:
            self._order.remove(key)
            self._first.append(key)
            self._changed.set()  # there may be room for it now

    def after(self, key: K, seconds: float) -> None:
        """Work on the key in `seconds`, unless that happens sooner anyway."""
        due = self._clock() + max(0.0, seconds)
        if due >= self._due.get(key, float("inf")):
            return
        self._due[key] = due
        self._count += 1
        heapq.heappush(self._timers, (due, self._count, key))
        self._changed.set()

    def failed(self, key: K) -> float:
        """Work on the key again after its backoff; returns the seconds until then.

        The delay is between half and all of base x 2^(failures - 1), at most the cap: keys that failed together, for
        example because the API server was away, do not come back together.
        """
        failures = self._failures.get(key, 0) + 1
        self._failures[key] = failures
        whole = min(self._cap_seconds, self._base_seconds * 2.0 ** min(failures - 1, 30))
        seconds = whole * (0.5 + 0.5 * self._spread())
        self.after(key, seconds)
        return seconds

    def succeeded(self, key: K) -> None:
        self._failures.pop(key, None)

    def forget(self, key: K) -> None:
        """The key's object is gone."""
        self._failures.pop(key, None)
        self._due.pop(key, None)
        self._again.pop(key, None)
        if self._ready_since.pop(key, None) is not None:
            (self._order if key in self._order else self._first).remove(key)

    def take(self) -> K | None:
        """The next ready key, which is busy until `done`; None when there is none now, or too many are busy."""
        self._wake_due()
        busy = len(self._busy)
        if self._first and busy < self._most_busy + self._more_first:
            key = self._first.popleft()
        elif self._order and busy < self._most_busy:
            key = self._order.popleft()
        else:
            return None
        del self._ready_since[key]
        self._due.pop(key, None)
        self._busy.add(key)
        return key

    async def get(self) -> K:
        """Wait for the next ready key. For one waiter at a time."""
        while True:
            self._changed.clear()
            key = self.take()
            if key is not None:
                return key
            try:
                async with asyncio.timeout(self.seconds_to_next()):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def done(self, key: K) -> None:
        """The key is no longer busy."""
        self._busy.discard(key)
        self._changed.set()
        if key in self._again:
            self._make_ready(key, first=self._again.pop(key))

    def is_busy(self, key: K) -> bool:
        """It is being worked on, so what was read for that may be out of date already."""
        return key in self._busy

    def seconds_to_next(self) -> float | None:
        """Until the next delayed key becomes ready; None when none is delayed."""
        while self._timers and self._due.get(self._timers[0][2]) != self._timers[0][0]:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0][0] - self._clock()) if self._timers else None

    def state(self) -> QueueState:
        oldest = min(self._ready_since.values(), default=None)
        return QueueState(
            ready=len(self._ready_since),
            busy=len(self._busy),
            delayed=len(self._due),
            oldest_seconds=0.0 if oldest is None else max(0.0, self._clock() - oldest),
        )

    def _make_ready(self, key: K, *, first: bool) -> None:
        self._ready_since[key] = self._clock()
        (self._first if first else self._order).append(key)
        self._changed.set()

    def _wake_due(self) -> None:
        now = self._clock()
        while self._timers and self._timers[0][0] <= now:
            due, _, key = heapq.heappop(self._timers)
            if self._due.get(key) == due:
                del self._due[key]
                self.add(key)
