"""The queue before a model that runs on the event loop.

The loop reads from all connections that have something before it turns to anything else. Were each request answered as
it is read, the last of hundreds would not even be seen before all others have their answers, and could be refused only
then. So the model gets the loop for a few milliseconds at a time, in between all connections are read, and what has
come meanwhile waits here.

A request costs 50 us for HTTP alone. Refusing four to answer a fifth is no protection of a model that costs hardly
more: its requests do not wait, and the number of connections is what bounds them.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar

TURN_SECONDS: Final = 0.01
WORTH_WAITING_SECONDS: Final = 0.0005
"""A call of the model that takes less is made in the moment in which its request is read."""

T = TypeVar("T")


class Turns:
    """Called on the event loop only.

    `call_seconds` tells what a call of the model takes at least, and `next_turn` has the loop call something when it
    has read from its connections again.
    """

    def __init__(
        self,
        call_seconds: Callable[[], float],
        clock: Callable[[], float] = time.perf_counter,
        next_turn: Callable[[Callable[[], None]], object] = lambda turn: asyncio.get_running_loop().call_soon(turn),
    ) -> None:
        self._call_seconds = call_seconds
        self._clock = clock
        self._next_turn = next_turn
        self._queue: deque[Callable[[], None]] = deque()
        self._began: float | None = None
        self._least = 0

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def seconds(self) -> float:
        """What the model will take for all that waits."""
        return len(self._queue) * self._call_seconds()

    def least_seconds(self) -> float:
        """The least that waited at any moment since this was asked the last time."""
        least, self._least = self._least, len(self._queue)
        return least * self._call_seconds()

    @property
    def must_wait(self) -> bool:
        """Whether a request that is here now has to wait for its turn."""
        if self._queue:
            return True
        if self._call_seconds() < WORTH_WAITING_SECONDS:
            return False
        now = self._clock()
        if self._began is None:
            self._begin(now)
            return False
        return now - self._began > TURN_SECONDS

    def join(self, work: Callable[[], None]) -> None:
        """At the end of the queue. `work` raises nothing."""
        if self._began is None:
            self._begin(self._clock())
        self._queue.append(work)

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns, once it had its turn; raises what it raises."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def turn() -> None:
            if answer.done():  # cancelled: nobody waits for it
                return
            try:
                answer.set_result(work())
            except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
                answer.set_exception(error)

        self.join(turn)
        return await answer

    def _begin(self, now: float) -> None:
        self._began = now
        self._next_turn(self._turn)

    def _turn(self) -> None:
        end = self._clock() + TURN_SECONDS
        while self._queue and self._clock() < end:
            self._queue.popleft()()
        self._least = min(self._least, len(self._queue))
        self._began = None
        if self._queue:
            self._begin(end)
