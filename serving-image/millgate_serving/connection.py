"""A client's connection: when it is too old, too slow or one too many, and malformed HTTP in our form of errors.

An ordinary request for a prediction is answered in the moment in which its last byte is read. uvicorn's way, a cycle
and a task for each request, costs twice as much as everything else that HTTP needs; it is left to what has to wait: for
a body that comes in parts, for a thread, or for the answer to the request before it.
"""

import asyncio
import random
import time
from collections.abc import Iterable
from typing import Any, Final, Protocol, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from millgate_serving.asgi import Message, error_body
from millgate_serving.refusal import Header
from millgate_serving.settings import Settings

# Longer than the idle time-outs of load balancers and clients (60 to 600 s): a request that is on its way when the
# server closes an idle connection is lost, so the other side has to be the one that closes.
KEEP_ALIVE_SECONDS: Final = 620
REQUEST_SECONDS: Final = 60
MAX_HEAD_BYTES: Final = 64 << 10
_AGE_JITTER = 0.1


class Answering(Protocol):
    """Who may answer without a cycle and a task."""

    def takes(self, target: bytes) -> bool:
        """Whether a POST there may be for `answer_now`."""

    @property
    def may_refuse(self) -> bool:
        """Whether it is worth asking `refuse`."""

    def refuse(self, target: bytes, headers: list[Header]) -> bytes | None:
        """Of a POST the whole answer, if it is refused whatever its body is."""

    def answer_now(self, target: bytes, scope: Message, body: bytes, client: "Connection") -> bool:
        """Answer a POST, now or as soon as it is its turn; False, and nothing happens, where a task has to wait."""


class _Nobody:
    def set(self) -> None:
        """Nobody waits for more of this request."""


class _Cycle:
    """In place of uvicorn's, for a request that has its answer, or will get it without a task.

    What comes of its body is skipped. uvicorn turns `keep_alive` off when the server stops meanwhile.
    """

    message_event = _Nobody()
    keep_alive = True

    def __init__(self, *, more_body: bool = False, complete: bool = True) -> None:
        self.more_body = more_body
        self.response_complete = complete


_WHOLE: Final = _Cycle()


class Connection(HttpToolsProtocol):
    """`app_state` is copied into every request: `closes_at` and `crowded`."""

    max_age_seconds: float
    most: int
    answering: Answering

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        now = time.monotonic()
        # The jitter keeps clients that were all started together from coming back together.
        jitter = random.uniform(1 - _AGE_JITTER, 1 + _AGE_JITTER)  # noqa: S311 - not a secret
        crowded = len(self.connections) > self.most
        closes_at = 0.0 if crowded else now + self.max_age_seconds * jitter
        self.app_state: dict[str, Any] = {"closes_at": closes_at, "crowded": crowded}
        self._waits: tuple[object, float] = (None, now)
        self._head_bytes = 0
        self._held: bytes | None = None
        self._offered = False
        self._answered_now = False
        self._in_turn: _Cycle | None = None
        if len(self.connections) > 2 * self.most:  # so many that even an answer to each would be too much
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """uvicorn's, but for offers of another protocol, and for headers that go on."""
        before, self._answered_now = self.scope, False
        self._unset_keepalive_if_required()
        rest = data
        while rest:
            try:
                self.parser.feed_data(rest)
                rest = b""
            except httptools.HttpParserUpgrade as offer:
                rest = self._declined(rest[offer.args[0] :])
            except httptools.HttpParserError:
                self._held = None
                self.send_400_response("")
                return
        if self._held is not None:
            self._release()
        if self.scope is None or "method" in self.scope:
            self._head_bytes = 0
        else:
            self._count_head(len(data), began=self.scope is not before)

    def _count_head(self, received: int, *, began: bool) -> None:
        """The parser keeps headers without limit, so they are counted while they are incomplete."""
        if began:  # who knows how much before that was of other requests
            self._head_bytes = sum(len(name) + len(value) for name, value in self.headers)
        else:
            self._head_bytes += received
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._end(b"431 Request Header Fields Too Large", f"the headers may have at most {MAX_HEAD_BYTES} bytes")

    def _declined(self, rest: bytes) -> bytes:
        """The request without its offer of another protocol, which clients of HTTP/2 make (Java's own, curl --http2).

        RFC 9110, section 7.8: a server may ignore it. The parser takes what follows for the other protocol's, so it is
        given the request anew. Nothing remains where a tunnel was asked for: that was refused, and ends the connection.
        """
        if not self._offered:
            return b""
        self._offered = False
        head = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                head.append(b"connection: close" if b"close" in value.lower() else b"connection: keep-alive")
            elif name != b"upgrade":
                head.append(b"%b: %b" % (name, value))
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
        return b"\r\n".join(head) + b"\r\n\r\n" + rest

    def on_headers_complete(self) -> None:
        """Held back until the rest of these bytes is parsed: with all of its body a request may be answered at once."""
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._offered = True
            return
        if not self._may_be_now():
            super().on_headers_complete()
            return
        answering = self.answering
        answer = answering.refuse(self.url, self.headers) if answering.may_refuse else None
        self.scope["method"] = "POST"
        if answer is None:
            self._held = b""
            return
        self._answered(answer, _Cycle(more_body=True))

    def _may_be_now(self) -> bool:
        """Anything unusual takes the ordinary way, as does what ends the connection: its body is to be read first.

        So does the second of requests that came together: other connections wait too.
        """
        if self._answered_now or (self.cycle is not None and not self.cycle.response_complete):
            return False
        parser = self.parser
        if not self.answering.takes(self.url) or parser.get_method() != b"POST":
            return False
        if self.expect_100_continue or self.flow.write_paused:
            return False
        if not parser.should_keep_alive() or parser.get_http_version() != "1.1":
            return False
        closes_at: float = self.app_state["closes_at"]
        return time.monotonic() < closes_at

    def on_body(self, body: bytes) -> None:
        if self._held is None:
            super().on_body(body)
        else:
            self._held += body

    def on_message_complete(self) -> None:
        if self._offered:
            return
        if self._held is not None:
            self._in_turn = None
            if self.answering.answer_now(self.url, cast("Message", self.scope), self._held, self):
                self._held = None
                if not self._answered_now:
                    self._in_turn = _Cycle(complete=False)
                    self.cycle = cast("RequestResponseCycle", self._in_turn)
                return
            self._release()
        super().on_message_complete()
        self.cycle.more_body = False  # also of a request that was answered before its body was there

    @property
    def gone(self) -> bool:
        """Whether an answer would reach nobody."""
        return self.transport.is_closing()

    def answer(self, whole: bytes) -> None:
        """To the request for which `answer_now` was called: before that has returned, or later."""
        if self._in_turn is None:
            self._answered(whole, _WHOLE)
            return
        waited, self._in_turn = self._in_turn, None
        waited.response_complete = True
        self.transport.write(whole)
        if not waited.keep_alive:
            self.transport.close()
        self.on_response_complete()  # requests may have come behind it

    def _answered(self, answer: bytes, instead: _Cycle) -> None:
        """What uvicorn does at the end of a cycle, but for its timer: `close_if_idle` looks after the connection."""
        self.cycle = cast("RequestResponseCycle", instead)
        self._answered_now = True
        self.server_state.total_requests += 1
        self.transport.write(answer)

    def _release(self) -> None:
        """The ordinary way, from where it was left."""
        body, self._held = self._held, None
        super().on_headers_complete()
        if body:
            super().on_body(body)

    def close_if_idle(self, now: float) -> None:
        """A request must be complete in a minute; a connection may be idle for longer than any client's patience.

        Looked at now and then, so that a request itself costs nothing.
        """
        current, since = self._waits
        limit = self._limit_seconds()
        if self.scope is not current or limit is None:
            self._waits = self.scope, now
        elif now - since > limit:
            self.transport.close()

    def _limit_seconds(self) -> float | None:
        """For what the client may let us wait; none while it waits for us."""
        if self.scope is None:
            return KEEP_ALIVE_SECONDS
        if "method" not in self.scope or self.cycle.more_body:
            return REQUEST_SECONDS
        return KEEP_ALIVE_SECONDS if self.cycle.response_complete else None

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words are plain text
        self._end(b"400 Bad Request", "the request is not valid HTTP/1.1")

    def _end(self, status: bytes, message: str) -> None:
        body = error_body(message)
        self.transport.write(
            b"HTTP/1.1 %b\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
            % (status, len(body), body)
        )
        self.transport.close()


def connections(settings: Settings, app: Answering) -> type[Connection]:
    """The class for uvicorn, which makes the objects and knows nothing of our settings."""

    class Configured(Connection):
        max_age_seconds = settings.max_connection_age_seconds
        most = settings.protection.max_connections
        answering = app

    return Configured


def close_idle(open_connections: Iterable[object], now: float) -> None:
    for connection in list(open_connections):
        if isinstance(connection, Connection):
            connection.close_if_idle(now)
