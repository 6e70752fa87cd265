"""The few words of ASGI that the server speaks: reading a body with a limit, and the one form of every refusal."""

import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

import msgspec

from millgate_serving.overload import overloaded
from millgate_serving.refusal import Header, Refusal

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Answer = tuple[int, bytes, list[Header]]
"""A whole one: status, body, headers."""
Headers = Mapping[bytes, bytes]
"""Of a request: names in lower case; of a name that came twice, the last one."""

MAX_BODY_BYTES: Final = 10 << 20
# A refused body is read on for a while, see `drop_body`.
_DISCARD_BYTES = 4 * MAX_BODY_BYTES

JSON: Final = (b"content-type", b"application/json")
TEXT: Final = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
CLOSE: Final = (b"connection", b"close")

_encode = msgspec.json.Encoder().encode


class BodyMemory:
    """What bodies may take together that come in parts or have to wait, from then on until they are answered."""

    def __init__(self, limit_bytes: int = 64 << 20) -> None:
        self._limit_bytes = limit_bytes
        self._bytes = 0

    def hold(self, scope: Message, size: int) -> None:
        """Raises Refusal 503."""
        if self._bytes + size > self._limit_bytes:
            raise overloaded("the server has more bodies than it can hold")
        self._bytes += size
        scope["state"]["held_bytes"] = scope["state"].get("held_bytes", 0) + size

    def release(self, scope: Message) -> None:
        self._bytes -= scope["state"].get("held_bytes", 0)


class ClientGoneError(Exception):
    """The client went away before its request was complete."""


def error_body(message: str) -> bytes:
    """The one form of every refusal and failure."""
    return _encode({"error": message})


async def read_body(scope: Message, receive: Receive, memory: BodyMemory) -> bytes:
    """The body, counted while it streams. Raises Refusal 413 or 503, or ClientGoneError.

    Whatever comes of it, the memory is released by the caller once the request was answered.
    """
    scope["state"]["body_begun"] = True
    too_large = Refusal(413, f"the body may have at most {MAX_BODY_BYTES} bytes", reason="TooLarge")
    declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if int(declared) > _DISCARD_BYTES:
        _end_connection(scope)
        raise too_large
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGoneError
    if not message["more_body"] and len(message["body"]) <= MAX_BODY_BYTES:
        return bytes(message["body"])
    chunks, size = [message["body"]], len(message["body"])
    memory.hold(scope, min(size, MAX_BODY_BYTES))
    while message["more_body"]:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        size += len(message["body"])
        if size > _DISCARD_BYTES:
            _end_connection(scope)
            raise too_large
        if size <= MAX_BODY_BYTES:
            memory.hold(scope, len(message["body"]))
            chunks.append(message["body"])
    if size > MAX_BODY_BYTES:
        raise too_large
    return b"".join(chunks)


async def drop_body(scope: Message, receive: Receive) -> None:
    """Read what nobody wants, before an answer that ends the connection.

    Closing with unread data makes the kernel send a reset, which eats the answer. Where `read_body` was called it has
    read all that is wanted, and who waits to be asked for the body has not sent it.
    """
    if "body_begun" in scope["state"]:
        return
    headers: Headers = dict(scope["headers"])
    ends = headers.get(b"connection", b"").lower() == b"close" or scope.get("http_version") == "1.0"
    if b"expect" in headers or not (ends or time.monotonic() >= scope["state"]["closes_at"]):
        return
    size, more = 0, True
    while more and size <= _DISCARD_BYTES:
        message = await receive()
        more = message.get("more_body", False)
        size += len(message.get("body", b""))


def _end_connection(scope: Message) -> None:
    scope["state"]["closes_at"] = 0.0
