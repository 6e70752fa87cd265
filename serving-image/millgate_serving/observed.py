"""Tells the sinks of requests that were answered, of many at a time.

Metrics, logs and traces of one request cost ten microseconds when the next one waits for them, because their code and
data have left the processor's caches meanwhile; sixty times in a row they cost five.
"""

from collections.abc import Callable
from typing import Final

from millgate_serving.exchange import Exchange, Sink

MAX_WAITING_ROWS: Final = 64
_MAX_WAITING_BYTES = 1 << 20  # of requests: a row of an image may have megabytes


class Observed:
    """Used on the event loop only. Whoever shows what sinks have counted calls `tell` before."""

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        """`failed` is told of a sink that raised, which is kept from the client, who has the answer."""
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
        return self._rows >= MAX_WAITING_ROWS or self._bytes >= _MAX_WAITING_BYTES

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
