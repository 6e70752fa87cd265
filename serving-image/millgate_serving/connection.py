"""A client's connection: when it is too old, too slow or one too many, and malformed HTTP in our form of errors."""

import asyncio
import random
import time
from collections.abc import Iterable
from typing import Any, Final, Protocol, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from millgate_serving.asgi import error_body
from millgate_serving.refusal import Header
from millgate_serving.settings import Settings

# Longer than the idle time-outs of load balancers and clients (60 to 600 s): a request that is on its way when the
# server closes an idle connection is lost, so the other side has to be the one that closes.
KEEP_ALIVE_SECONDS: Final = 620
REQUEST_SECONDS: Final = 60
MAX_HEAD_BYTES: Final = 64 << 10
_AGE_JITTER = 0.1


class Refusing(Protocol):
    """Who knows that a request is refused before anything is made of it."""

    @property
    def may_refuse(self) -> bool:
        """Whether it is worth asking."""

    def refuse(self, path: bytes, headers: list[Header]) -> bytes | None:
        """Of a POST the whole answer, if it is refused whatever its body is."""


class _Nobody:
    def set(self) -> None:
        """Nobody waits for more of this request."""


class _Refused:
    """In place of uvicorn's cycle, for a request that has its answer: what comes of its body is skipped."""

    response_complete = True
    message_event = _Nobody()
    more_body = True


class Connection(HttpToolsProtocol):
    """`app_state` is copied into every request: `closes_at`, `arrived_at` and `crowded`."""

    max_age_seconds: float
    most: int
    refusing: Refusing

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

    def on_headers_complete(self) -> None:
        """Under overload the answer may be known by now, and then neither a cycle nor a task is made."""
        answer = self._refusal() if self.refusing.may_refuse else None
        if answer is None:
            super().on_headers_complete()
            return
        self.scope["method"] = "POST"
        self.cycle = cast("RequestResponseCycle", _Refused())
        self.transport.write(answer)
        self.on_response_complete()

    def _refusal(self) -> bytes | None:
        """Anything unusual takes the ordinary way, as does what ends the connection: its body is to be read first."""
        if self.cycle is not None and not self.cycle.response_complete:
            return None
        parser = self.parser
        if parser.get_method() != b"POST" or self.expect_100_continue or self.flow.write_paused:
            return None
        if not parser.should_keep_alive() or parser.should_upgrade() or parser.get_http_version() != "1.1":
            return None
        if time.monotonic() >= self.app_state["closes_at"]:
            return None
        return self.refusing.refuse(self.url, self.headers)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self.cycle.more_body = False  # also of a request that was answered before its body was there

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


def connections(settings: Settings, app: Refusing) -> type[Connection]:
    """The class for uvicorn, which makes the objects and knows nothing of our settings."""

    class Configured(Connection):
        max_age_seconds = settings.max_connection_age_seconds
        most = settings.protection.max_connections
        refusing = app

    return Configured


def close_slow(open_connections: Iterable[object], now: float) -> None:
    for connection in list(open_connections):
        if isinstance(connection, Connection):
            connection.close_if_slow(now)
