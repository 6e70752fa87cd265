"""Logs as one line of JSON each, without payloads: an exception is told by its type and place, never by its text."""

import logging
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

_FRAMES = 8
_encoder = msgspec.json.Encoder(enc_hook=str)


def log(event: str, level: str = "info", **fields: Any) -> None:
    line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level, "event": event, **fields}
    sys.stdout.buffer.write(_encoder.encode(line) + b"\n")
    sys.stdout.buffer.flush()


def described(error: BaseException) -> dict[str, Any]:
    """The type of an exception and its innermost frames. Its text may hold what a client sent, so it is left out."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    return {"exception": f"{type(error).__module__}.{type(error).__qualname__}", "frames": places}


class Sparingly:
    """At most so many lines a second, and a count of those that were left out: an error storm must not fill a disk."""

    def __init__(self, lines_per_second: int) -> None:
        self._limit = lines_per_second
        self._second = 0
        self._lines = 0
        self._suppressed = 0

    def log(self, event: str, level: str, **fields: Any) -> None:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._lines = second, 0
        if self._lines >= self._limit:
            self._suppressed += 1
            return
        self._lines += 1
        log(event, level, suppressedBefore=self._suppressed, **fields)
        self._suppressed = 0


class _JsonHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        fields = described(error) if error else {}
        log("library", record.levelname.lower(), logger=record.name, message=record.getMessage(), **fields)


def configure() -> None:
    """Send what libraries log and warn about through the same lines."""
    logging.basicConfig(level=logging.WARNING, handlers=[_JsonHandler()], force=True)
    logging.captureWarnings(capture=True)
