"""A client's connection: when it is too old, too slow or one too many, and malformed HTTP in our form of errors."""

import asyncio
import random
import time
from collections.abc import Iterable
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from millgate_serving.asgi import error_body
from millgate_serving.settings import Settings

# Longer than the idle time-outs of load balancers and clients (60 to 600 s): a request that is on its way when the
# server closes an idle connection is lost, so the other side has to be the one that closes.
KEEP_ALIVE_SECONDS: Final = 620
REQUEST_SECONDS: Final = 60
MAX_HEAD_BYTES: Final = 64 << 10
_AGE_JITTER = 0.1


class Connection(HttpToolsProtocol):
    """`app_state` is copied into every request: `closes_at`, `arrived_at` and `crowded`."""

    max_age_seconds: float
    most: int

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        now = time.monotonic()
        # The jitter keeps clients that were all started together from coming back together.
        jitter = random.uniform(1 - _AGE_JITTER, 1 + _AGE_JITTER)  # noqa: S311 - not a secret
        crowded = len(self.connections) > self.most
        closes_at = 0.0 if crowded else now + self.max_age_seconds * jitter
        self.app_state: dict[str, Any] = {"closes_at": closes_at, "arrived_at": now, "crowded": crowded}
        self._unfinished: tuple[object, float] = (None, now)
        self._head_bytes = 0
        if len(self.connections) > 2 * self.most:  # so many that even an answer to each would be too much
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """The parser keeps headers without limit, so they are counted while they are incomplete."""
        super().data_received(data)
        scope = self.scope
        if scope is None or "method" in scope:
            self._head_bytes = 0
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._end(b"431 Request Header Fields Too Large", f"the headers may have at most {MAX_HEAD_BYTES} bytes")

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """A pipelined request arrives when the one before it has been answered."""
        cast("dict[str, Any]", cycle.scope)["state"]["arrived_at"] = time.monotonic()
        super()._start_asgi_task(cycle, app)

    def close_if_slow(self, now: float) -> None:
        """A request must be complete in a minute; a connection may be idle for longer than any client's patience.

        Looked at now and then, so that a request itself costs nothing.
        """
        current, since = self._unfinished
        if self.scope is not current or not self._is_unfinished():
            self._unfinished = self.scope, now
        elif now - since > (REQUEST_SECONDS if self.scope is not None else KEEP_ALIVE_SECONDS):
            self.transport.close()

    def _is_unfinished(self) -> bool:
        """Nothing has come yet, or the headers or the body are incomplete."""
        return self.scope is None or "method" not in self.scope or self.cycle.more_body

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words are plain text
        self._end(b"400 Bad Request", "the request is not valid HTTP/1.1")

    def _end(self, status: bytes, message: str) -> None:
        body = error_body(message)
        self.transport.write(
            b"HTTP/1.1 %b\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
            % (status, len(body), body)
        )
        self.transport.close()


def connections(settings: Settings) -> type[Connection]:
    """The class for uvicorn, which makes the objects and knows nothing of our settings."""

    class Configured(Connection):
        max_age_seconds = settings.max_connection_age_seconds
        most = settings.protection.max_connections

    return Configured


def close_slow(open_connections: Iterable[object], now: float) -> None:
    for connection in list(open_connections):
        if isinstance(connection, Connection):
            connection.close_if_slow(now)
