"""Sheds requests that wait for the event loop, as soon as the waiting is no burst but lasts.

Where a model is fast it runs on the loop, so the queue is the loop's own: it reads from all connections that have
something, and then answers in rounds. A burst may wait long, as it ends. When the loop has been late again and again, a
round may only last shortly, and the rest of it is told at once to come back later: what is answered stays near the
capacity, and nobody waits for nothing (that there are two limits is CoDel's idea, Nichols and Jacobson 2012). The short
limit is processor time from the beginning of a round: a server that gets little of its core still answers some. A round
is one turn of the loop.

A refusal costs 25 us, and 50 on one of hundreds of connections, nearly all of it HTTP. Of five times the capacity four
are refused for each that is answered: of the capacity (1 - 5 r / a) / (1 - r / a) remains, where r is the price of a
refusal and a that of an answer: with less than 0.5 ms for an answer refusing would take a fifth to a half of it. Such a
model is protected by the number of connections alone: a thousand requests of 50 us have all been answered after 50 ms.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from millgate_serving.refusal import Refusal

LASTING_CPU_SECONDS: Final = 0.02
BURST_SECONDS: Final = 0.5
FAST_SECONDS: Final = 5.0
"""In place of that for a model that is as cheap to ask as to refuse."""
LATE_SECONDS: Final = 0.02
TICK_SECONDS: Final = 0.1
WORTH_SHEDDING_SECONDS: Final = 0.0005
_LATE_TICKS = 2
_CALM_TICKS = 10

_AFTER_A_SECOND: Final = ((b"retry-after", b"1"),)


def overloaded(message: str, after_seconds: int = 1) -> Refusal:
    """503, with the seconds after which it is worth trying again."""
    headers = _AFTER_A_SECOND if after_seconds == 1 else ((b"retry-after", b"%d" % after_seconds),)
    return Refusal(503, message, headers, "Overloaded")


class Overload:
    """Judges by how long the round lasts to which a request belongs. All of it is called on the event loop.

    Times are of `time.monotonic`; `cpu_seconds` tells the processor time of the loop's thread, and `next_round` has the
    loop call something at its next turn.
    """

    def __init__(
        self,
        cpu_seconds: Callable[[], float] = time.thread_time,
        next_round: Callable[[Callable[[], None]], object] = lambda end: asyncio.get_running_loop().call_soon(end),
    ) -> None:
        self._cpu_seconds = cpu_seconds
        self._next_round = next_round
        self.lasting = False
        self._limit = BURST_SECONDS
        self._round_began: float | None = None
        self._round_cpu = 0.0
        self._late_ticks = 0
        self._calm_ticks = 0
        self._shed = False

    def tick(self, late_seconds: float, model_seconds: float) -> None:
        """Ten times a second: by how much the loop was late with it, and how long a call on the loop takes."""
        worth = model_seconds >= WORTH_SHEDDING_SECONDS
        self._limit = BURST_SECONDS if worth else FAST_SECONDS
        self._late_ticks = self._late_ticks + 1 if late_seconds > LATE_SECONDS else 0
        self._calm_ticks = 0 if self._shed or self._late_ticks else self._calm_ticks + 1
        self._shed = False
        if worth and not self.lasting and self._late_ticks >= _LATE_TICKS:
            self.lasting = True
            self._round_cpu = self._cpu_seconds()
        elif not worth or self._calm_ticks >= _CALM_TICKS:
            self.lasting = False

    def check(self, now: float, *, crowded: bool) -> None:
        """`crowded`: the request's connection was one too many. Raises Refusal 503 with Retry-After."""
        began = self._round_began
        if began is None:
            self._round_began = began = now
            if self.lasting:
                self._round_cpu = self._cpu_seconds()
            self._next_round(self._end_round)
        if self._is_over(now - began):
            self._shed = True
            raise overloaded("the server has more requests than it can answer")
        if crowded:
            raise overloaded("the server has more connections than it can serve")

    def _is_over(self, seconds: float) -> bool:
        """The processor's time is asked for only while it matters: that costs more than all else here."""
        if self.lasting:
            return self._cpu_seconds() - self._round_cpu > LASTING_CPU_SECONDS
        return seconds > self._limit

    def _end_round(self) -> None:
        self._round_began = None
