"""Tells the sinks of requests that were answered, of many at a time.

Metrics, logs and traces of one request cost ten microseconds when the next one waits for them, because their code and
data have left the processor's caches meanwhile; sixty times in a row they cost five.
"""

from collections.abc import Callable
from typing import Final

from millgate_serving.exchange import Exchange, Sink

_ROWS: Final = 64
_BYTES: Final = 1 << 20


class Observed:
    """Used on the event loop only. Whoever shows what sinks have counted calls `tell` before."""

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        """`failed` is told what a sink raised: the other sinks and the clients, who have their answers, are not."""
        self._failed = failed
        self._sinks: list[Sink] = []
        self._waiting: list[Exchange] = []
        self._rows = self._bytes = 0

    def join(self, sink: Sink) -> None:
        self._sinks.append(sink)

    def add(self, exchange: Exchange) -> None:
        self._waiting.append(exchange)
        self._rows += exchange.rows or 1  # a refused one has none
        self._bytes += exchange.request_bytes

    @property
    def due(self) -> bool:
        """Whether what waits is so much that it should be told now: its arrays are held, a row with an image's too."""
        return self._rows >= _ROWS or self._bytes >= _BYTES

    def tell(self) -> None:
        """What waits. Called when it is due, and ten times a second."""
        if not self._waiting:
            return
        waiting, self._waiting, self._rows, self._bytes = self._waiting, [], 0, 0
        for sink in self._sinks:
            try:
                sink(waiting)
            except Exception as error:  # noqa: BLE001 - a defect of a sink
                self._failed(error)
