"""The queue before a model that runs on the event loop.

The loop reads from all connections that have something, and accepts one that is new, before it turns to anything else.
Were each request answered as it is read, the last of hundreds would not even be seen before all others have their
answers, and could be refused only then. So in one turn of the loop the model is called once, and what has come
meanwhile waits here. A turn costs 5 us.

A request costs 50 us for HTTP alone. Refusing four to answer a fifth is no protection of a model that costs hardly
more: its requests do not wait, and the number of connections is what bounds them.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar

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
        next_turn: Callable[[Callable[[], None]], object] = lambda turn: asyncio.get_running_loop().call_soon(turn),
    ) -> None:
        self._call_seconds = call_seconds
        self._next_turn = next_turn
        self._queue: deque[Callable[[], None]] = deque()
        self._is_taken = False
        self._least = 0

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def seconds(self) -> float:
        """What the model will take for all that waits."""
        return len(self._queue) * self._call_seconds() if self._queue else 0.0

    def least_seconds(self) -> float:
        """The least that waited at any moment since this was asked the last time."""
        least, self._least = self._least, len(self._queue)
        return least * self._call_seconds()

    def take(self) -> bool:
        """Take this turn for a request that is here now. False where that one has to wait."""
        if self._queue or self._is_taken:
            return False
        if self._call_seconds() >= WORTH_WAITING_SECONDS:
            self._take()
        return True

    def join(self, work: Callable[[], None]) -> None:
        """At the end of the queue. `work` raises nothing."""
        if not self._is_taken:
            self._take()
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

    def _take(self) -> None:
        self._is_taken = True
        self._next_turn(self._turn)

    def _turn(self) -> None:
        self._is_taken = False
        if self._queue:
            self._take()
            self._queue.popleft()()
        self._least = min(self._least, len(self._queue))
