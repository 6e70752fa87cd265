"""Sheds requests that have waited for the event loop, as soon as the waiting is no burst but lasts.

Where a model is fast it runs on the loop, so the queue is the loop's own: it reads from all connections that have
something, and then answers in rounds. A burst may wait long, as it ends. When the loop has been late again and again, a
round may only last shortly, and the rest of it is told at once to come back later: what is answered stays near the
capacity, and nobody waits for nothing (that there are two limits is CoDel's idea, Nichols and Jacobson 2012). Time
counts from the beginning of a round, not from the reading, so that a server that gets little of its core answers some.

A refusal costs 25 us, nearly all of it HTTP. Of five times the capacity four are refused for each that is answered, so
where a call of the model takes less than twice as long as those four, refusing only takes time from answering. Such a
model is protected by the number of connections: a thousand requests of 50 us have all been answered after 50 ms.
"""

from collections.abc import Mapping
from typing import Any, Final

from millgate_serving.refusal import Refusal

BURST_SECONDS: Final = 0.5
LASTING_SECONDS: Final = 0.02
TICK_SECONDS: Final = 0.1
WORTH_SHEDDING_SECONDS: Final = 0.0002
_LATE_TICKS = 2
_CALM_TICKS = 10

_AFTER_A_SECOND: Final = ((b"retry-after", b"1"),)


def overloaded(message: str, after_seconds: int = 1) -> Refusal:
    """503, with the seconds after which it is worth trying again."""
    headers = _AFTER_A_SECOND if after_seconds == 1 else ((b"retry-after", b"%d" % after_seconds),)
    return Refusal(503, message, headers, "Overloaded")


class Overload:
    """Judges by how long the round lasts to which a request belongs. Times in seconds of one clock."""

    def __init__(self) -> None:
        self._round_began = 0.0
        self._limit = BURST_SECONDS
        self._late_ticks = 0
        self._calm_ticks = 0
        self._shed = False

    @property
    def lasting(self) -> bool:
        return self._limit == LASTING_SECONDS

    def tick(self, late_seconds: float, model_seconds: float) -> None:
        """Ten times a second: by how much the loop was late with it, and how long a call on the loop takes."""
        self._late_ticks = self._late_ticks + 1 if late_seconds > LASTING_SECONDS else 0
        self._calm_ticks = 0 if self._shed or self._late_ticks else self._calm_ticks + 1
        self._shed = False
        if self._late_ticks >= _LATE_TICKS and model_seconds >= WORTH_SHEDDING_SECONDS:
            self._limit = LASTING_SECONDS
        elif self._calm_ticks >= _CALM_TICKS:
            self._limit = BURST_SECONDS

    def check(self, state: Mapping[str, Any], now: float) -> None:
        """`state` is what the connection noted of the request. Raises Refusal 503 with Retry-After."""
        if state["arrived_at"] > self._round_began:  # read after the last round had begun: the first one of the next
            self._round_began = now
        if now - self._round_began > self._limit:
            self._shed = True
            raise overloaded("the server has more requests than it can answer")
        if state["crowded"]:
            raise overloaded("the server has more connections than it can serve")
