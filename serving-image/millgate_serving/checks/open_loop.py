"""Requests at a constant rate, whatever the server does: each is timed from the moment at which it was due.

A generator that waits for answers before it asks again asks a slow server less, and so makes it look fast (Tene's
"coordinated omission"); here a slow server gets a queue, as it would from users.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import httptools

_CONNECTIONS = 64
_LATE_SECONDS = 10.0  # after the last request was due; what is then without an answer counts as taking that long
_OVERLOADED = frozenset({429, 503, 504})


@dataclass(slots=True)
class Block:
    """What came of one stretch of load; `latencies` are in seconds, in the order of the answers."""

    planned: int
    latencies: list[float] = field(default_factory=list)
    refused: int = 0
    server_errors: int = 0
    client_errors: int = 0
    unanswered: int = 0
    sending_seconds: float = 0.0
    ended: bool = False
    complete: asyncio.Event = field(default_factory=asyncio.Event)

    def record(self, latency: float, status: int) -> None:
        """A refusal for overload, or a passed deadline, is no fast answer: it counts as one that took too long."""
        if self.ended:
            return
        overloaded = status in _OVERLOADED
        self.latencies.append(_LATE_SECONDS if overloaded or not status else latency)
        self.refused += overloaded
        self.unanswered += not status
        self.client_errors += 400 <= status < 500 and not overloaded
        self.server_errors += status >= 500 and not overloaded
        if len(self.latencies) == self.planned:
            self.complete.set()

    def end(self) -> None:
        for _ in range(self.planned - len(self.latencies)):
            self.record(_LATE_SECONDS, 0)
        self.ended = True


@dataclass(frozen=True, slots=True)
class _Asked:
    block: Block
    due: float
    request: bytes


class Generator:
    """Keeps its connections from block to block. To be used inside one event loop. Raises OSError."""

    def __init__(self, port: int, bodies: Sequence[bytes]) -> None:
        self._port = port
        self._requests = [_request(body) for body in bodies]
        self._idle: deque[_Connection] = deque()
        self._open: set[_Connection] = set()
        self._waiting: deque[_Asked] = deque()

    async def run(self, rate_per_second: float, seconds: float) -> Block:
        """One block: `rate_per_second` x `seconds` requests, evenly spaced."""
        block = Block(max(1, round(rate_per_second * seconds)))
        started = time.perf_counter()
        for number in range(block.planned):
            due = started + number / rate_per_second
            # Zero when it is behind schedule: answers have to be read all the same.
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await self._ask(_Asked(block, due, self._requests[number % len(self._requests)]))
        # The last one was due one interval before the block is over.
        block.sending_seconds = max(block.planned / rate_per_second, time.perf_counter() - started)
        with suppress(TimeoutError):
            await asyncio.wait_for(block.complete.wait(), _LATE_SECONDS)
        block.end()
        self._waiting.clear()
        return block

    def close(self) -> None:
        for connection in list(self._open):
            connection.close()

    async def _ask(self, asked: _Asked) -> None:
        if not self._idle and len(self._open) < _CONNECTIONS:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._port)
            self._open.add(connection)
            self._idle.append(connection)
        if self._idle:
            self._idle.popleft().ask(asked)
        else:
            self._waiting.append(asked)

    def free(self, connection: "_Connection") -> None:
        if self._waiting:
            connection.ask(self._waiting.popleft())
        else:
            self._idle.append(connection)

    def lost(self, connection: "_Connection") -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)


class _Connection(asyncio.Protocol):
    """One request at a time; told when it is answered or lost."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._asked: _Asked | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def ask(self, asked: _Asked) -> None:
        self._asked = asked
        if self._transport is not None:
            self._transport.write(asked.request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self._tell(self._parser.get_status_code())
        if self._parser.should_keep_alive():
            self._generator.free(self)
        else:
            self.close()

    def connection_lost(self, _error: Exception | None) -> None:
        self._tell(0)
        self._generator.lost(self)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _tell(self, status: int) -> None:
        asked, self._asked = self._asked, None
        if asked is not None:
            asked.block.record(time.perf_counter() - asked.due, status)


def _request(body: bytes) -> bytes:
    head = b"POST /predict HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body
