"""Refuses what would wait too long for a model that runs on the event loop, in the moment in which it comes.

A burst may wait for half a second, as it ends. When requests have been waiting for longer than that without an end,
only a moment's worth may wait: what is answered stays near the capacity, and nobody waits for nothing (that there are
two limits is CoDel's idea, Nichols and Jacobson 2012). Waiting is counted in the model's own time: a server that gets
little of its core takes longer, but does not refuse more.
"""

from collections.abc import Callable
from typing import Final

from millgate_serving.refusal import Refusal

BURST_SECONDS: Final = 0.5
LASTING_SECONDS: Final = 0.02
_LATE_TICKS = 6  # longer than any burst may take
_CALM_TICKS = 10

_AFTER_A_SECOND: Final = ((b"retry-after", b"1"),)


def overloaded(message: str, after_seconds: int = 1) -> Refusal:
    """503, with the seconds after which it is worth trying again."""
    headers = _AFTER_A_SECOND if after_seconds == 1 else ((b"retry-after", b"%d" % after_seconds),)
    return Refusal(503, message, headers, "Overloaded")


class Overload:
    """`waiting_seconds` tells what the model will take for all that waits. Called on the event loop only."""

    def __init__(self, waiting_seconds: Callable[[], float]) -> None:
        self._waiting_seconds = waiting_seconds
        self._limit = BURST_SECONDS
        self._late_ticks = 0
        self._calm_ticks = 0
        self._shed = False

    def tick(self, least_seconds: float) -> None:
        """Ten times a second: the least that waited at any moment since the last time."""
        self._late_ticks = self._late_ticks + 1 if least_seconds > LASTING_SECONDS else 0
        self._calm_ticks = 0 if self._shed or self._late_ticks else self._calm_ticks + 1
        self._shed = False
        if self._late_ticks >= _LATE_TICKS:
            self._limit = LASTING_SECONDS
        elif self._calm_ticks >= _CALM_TICKS:
            self._limit = BURST_SECONDS

    def check(self, *, crowded: bool) -> None:
        """`crowded`: the request's connection was one too many. Raises Refusal 503 with Retry-After."""
        if self._waiting_seconds() >= self._limit:
            self._shed = True
            raise overloaded("the server has more requests than it can answer")
        if crowded:
            raise overloaded("the server has more connections than it can serve")
