"""One line a request, for those who ask for it: who asked, by which ids, what came of it, and how long it took."""

import time
from collections.abc import Sequence
from typing import Final, Literal, get_args

import msgspec
from msgspec import Struct

from millgate_serving.exchange import Exchange
from millgate_serving.logs import Sparingly, log_lines

Which = Literal["none", "errors", "all"]
WHICH: Final[tuple[str, ...]] = get_args(Which)
_REFUSED, _FAILED = 400, 500
TRACEPARENT_CHARACTERS: Final = 55
"""Of one that is valid; what else a client may have put there is not ours to keep."""


class _Line(Struct, tag_field="event", tag="request", omit_defaults=True, rename="camel", gc=False):
    """Never a payload: not a value of the body, and of the headers only those that are ids."""

    time: str
    level: str
    status: int
    protocol: str
    seconds: float
    request_id: str = ""
    traceparent: str = ""
    client: str = ""
    segment: str = ""
    reason: str = ""
    rows: int = 0
    queue_seconds: float = 0.0
    model_seconds: float = 0.0
    request_bytes: int = 0
    answer_bytes: int = 0
    suppressed_before: int = 0


class AccessLog:
    """A sink. Lines beyond `lines_per_second` are counted and left out; 0 lets all of them through."""

    def __init__(self, which: Which, lines_per_second: int) -> None:
        self._least = _REFUSED if which == "errors" else 0
        self._sparingly = Sparingly(lines_per_second) if lines_per_second else None
        self._encode = msgspec.json.Encoder().encode
        self._clock = Clock()

    @property
    def suppressed(self) -> int:
        return 0 if self._sparingly is None else self._sparingly.suppressed_in_all

    def __call__(self, exchanges: Sequence[Exchange]) -> None:
        least = self._least
        log_lines([self._line(exchange) for exchange in exchanges if exchange.status >= least and self._may()])

    def _may(self) -> bool:
        return self._sparingly is None or self._sparingly.may()

    def _line(self, exchange: Exchange) -> bytes:
        status, traceparent = exchange.status, exchange.traceparent
        suppressed = 0
        if self._sparingly is not None:
            suppressed, self._sparingly.suppressed = self._sparingly.suppressed, 0
        # Whole microseconds: `round` would cost a third of the line.
        line = _Line(
            self._clock.text(exchange.moment),
            "info" if status < _REFUSED else "warning" if status < _FAILED else "error",
            status,
            exchange.protocol,
            int(exchange.seconds * 1e6) / 1e6,
            exchange.request_id,
            traceparent if len(traceparent) == TRACEPARENT_CHARACTERS else "",
            exchange.client,
            exchange.segment,
            exchange.reason,
            exchange.rows,
            int(exchange.queue_seconds * 1e6) / 1e6,
            int(exchange.model_seconds * 1e6) / 1e6,
            exchange.request_bytes,
            exchange.answer_bytes,
            suppressed,
        )
        return self._encode(line) + b"\n"


_MILLISECONDS: Final = tuple(f".{number:03d}+00:00" for number in range(1000))


class Clock:
    """Unix seconds as RFC 3339 in UTC, from parts that were made before: at a twentieth of the price."""

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def text(self, unix_seconds: float) -> str:
        second = int(unix_seconds)
        if second != self._second:
            self._second = second
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return self._text + _MILLISECONDS[int((unix_seconds - second) * 1000)]
