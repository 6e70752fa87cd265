"""Logs: one line of JSON each, without payloads: an exception is told by its type and place, never by its text.

A command writes its lines at once. A server buffers them, because a pipe that nobody reads must not stop its loop.
"""

import logging
import os
import sys
import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from millgate_serving.background import Background

_FRAMES = 8
BUFFER_BYTES: Final = 4 << 20
_LAST_SECONDS = 2.0
_encoder = msgspec.json.Encoder(enc_hook=str)


class _Output:
    """Standard output. `buffer` is there while a server runs."""

    def __init__(self) -> None:
        self.buffer: Background[bytes] | None = None

    def put(self, lines: Sequence[bytes], *, soon: bool) -> None:
        if self.buffer is None:
            sys.stdout.buffer.write(b"".join(lines))
            sys.stdout.buffer.flush()
        else:
            self.buffer.put(lines, sum(map(len, lines)), soon=soon)


_output = _Output()


def log(event: str, level: str = "info", **fields: Any) -> None:
    line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level, "event": event, **fields}
    _output.put([_encoder.encode(line) + b"\n"], soon=True)


def log_lines(lines: Sequence[bytes]) -> None:
    """Lines that are JSON already, with their newlines. They may lie in the buffer for a moment."""
    _output.put(lines, soon=False)


def start_buffering() -> None:
    """From now on no line makes its writer wait. What does not fit into the buffer is dropped and counted."""
    sys.stdout.flush()
    _output.buffer = Background("log", _write, BUFFER_BYTES, failed=_tell_nobody)


def stop_buffering() -> None:
    """Write what is left, if somebody reads it; later lines are written at once."""
    buffer, _output.buffer = _output.buffer, None
    if buffer is not None:
        buffer.close(_LAST_SECONDS)


def dropped_lines() -> int:
    """Lines that did not fit into the buffer, or could not be written."""
    return 0 if _output.buffer is None else _output.buffer.dropped


def _write(lines: list[bytes]) -> None:
    content = memoryview(b"".join(lines))
    while content:
        content = content[os.write(sys.stdout.fileno(), content) :]


def _tell_nobody(_error: Exception) -> None:
    """What cannot be logged cannot be logged; it is counted."""


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
        self.suppressed = 0
        """Since the last line that was written."""
        self.suppressed_in_all = 0

    def may(self) -> bool:
        """Whether one more line may be written now; if not, it is counted."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._lines = second, 0
        if self._lines >= self._limit:
            self.suppressed += 1
            self.suppressed_in_all += 1
            return False
        self._lines += 1
        return True

    def log(self, event: str, level: str, **fields: Any) -> None:
        if self.may():
            log(event, level, suppressedBefore=self.suppressed, **fields)
            self.suppressed = 0


class _JsonHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        fields = described(error) if error else {}
        log("library", record.levelname.lower(), logger=record.name, message=record.getMessage(), **fields)


def configure() -> None:
    """Send what libraries log and warn about through the same lines."""
    logging.basicConfig(level=logging.WARNING, handlers=[_JsonHandler()], force=True)
    logging.captureWarnings(capture=True)
