"""Sheds requests that wait for the event loop, as soon as the waiting is no burst but lasts.

Where a model is fast it runs on the loop, so the queue is the loop's own: it reads from all connections that have
something, and then answers in rounds. A burst may wait long, as it ends. When the loop has been late again and again, a
round may only last shortly, and the rest of it is told at once to come back later: what is answered stays near the
capacity, and nobody waits for nothing (that there are two limits is CoDel's idea, Nichols and Jacobson 2012). The short
limit is processor time from the beginning of a round: a server that gets little of its core still answers some.

A refusal costs 25 us, nearly all of it HTTP. Of five times the capacity four are refused for each that is answered: of
the capacity (1 - 5 r / a) / (1 - r / a) remains, where r is the price of a refusal and a that of an answer: with less
than 0.5 ms for an answer refusing would take more than a fifth of it. Such a model is protected by the number of
connections alone: a thousand requests of 50 us have all been answered after 50 ms.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from millgate_serving.refusal import Refusal

LASTING_CPU_SECONDS: Final = 0.02
BURST_SECONDS: Final = 0.5
FAST_SECONDS: Final = 5.0
"""In place of that for a model that is as cheap to ask as to refuse."""
LATE_SECONDS: Final = 0.02
TICK_SECONDS: Final = 0.1
WORTH_SHEDDING_SECONDS: Final = 0.0005
_HTTP_SECONDS: Final = 0.0001
"""What an answer costs besides the model."""
_LATE_TICKS = 2
_CALM_TICKS = 10

_AFTER_A_SECOND: Final = ((b"retry-after", b"1"),)


def overloaded(message: str, after_seconds: int = 1) -> Refusal:
    """503, with the seconds after which it is worth trying again."""
    headers = _AFTER_A_SECOND if after_seconds == 1 else ((b"retry-after", b"%d" % after_seconds),)
    return Refusal(503, message, headers, "Overloaded")


class Overload:
    """Judges by how long the round lasts to which a request belongs. All of it is called on the event loop.

    Times are of `time.monotonic`; `cpu_seconds` tells the processor time of the loop's thread.
    """

    def __init__(self, cpu_seconds: Callable[[], float] = time.thread_time) -> None:
        self._cpu_seconds = cpu_seconds
        self.lasting = False
        self._limit = BURST_SECONDS
        self._round_began = 0.0
        self._round_cpu = 0.0
        self._late_ticks = 0
        self._calm_ticks = 0
        self._shed = False
        self._most_read = 0
        self._read = 0

    def tick(self, late_seconds: float, model_seconds: float) -> None:
        """Ten times a second: by how much the loop was late with it, and how long a call on the loop takes."""
        worth = model_seconds >= WORTH_SHEDDING_SECONDS
        self._limit = BURST_SECONDS if worth else FAST_SECONDS
        self._late_ticks = self._late_ticks + 1 if late_seconds > LATE_SECONDS else 0
        self._calm_ticks = 0 if self._shed or self._late_ticks else self._calm_ticks + 1
        self._shed = False
        self._most_read = max(1, int(LASTING_CPU_SECONDS / (model_seconds + _HTTP_SECONDS)))
        if worth and not self.lasting and self._late_ticks >= _LATE_TICKS:
            self.lasting = True
            self._round_cpu = self._cpu_seconds()
        elif not worth or self._calm_ticks >= _CALM_TICKS:
            self.lasting = False

    def check_read(self) -> None:
        """While it lasts: of a request whose headers were just read, before anything is made of it.

        What would not get its turn in the coming round is told so at a fraction of the price. Raises Refusal 503; what
        is let through comes to `check`.
        """
        if self._read >= self._most_read:
            self._shed = True
            raise overloaded("the server has more requests than it can answer")
        self._read += 1

    def check(self, state: Mapping[str, Any], now: float) -> None:
        """`state` is what the connection noted of the request. Raises Refusal 503 with Retry-After."""
        begins = state["arrived_at"] > self._round_began  # it was read after the last round had begun
        if begins:
            self._round_began = now
            self._read = 0
        if self._is_over(now, begins=begins):
            self._shed = True
            raise overloaded("the server has more requests than it can answer")
        if state["crowded"]:
            raise overloaded("the server has more connections than it can serve")

    def _is_over(self, now: float, *, begins: bool) -> bool:
        """The processor's time is asked for only while it matters: that costs more than all else here."""
        if not self.lasting:
            return now - self._round_began > self._limit
        cpu = self._cpu_seconds()
        if begins:
            self._round_cpu = cpu
        return cpu - self._round_cpu > LASTING_CPU_SECONDS
