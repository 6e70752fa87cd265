"""The prediction log: what was asked and answered, sampled and masked, in files or among the other lines of the log.

A request only leaves references to its arrays; they become JSON and are written on a thread of their own.
"""

import random
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
from msgspec import Struct

from millgate_serving.access_log import TRACEPARENT_CHARACTERS, Clock
from millgate_serving.background import Background
from millgate_serving.exchange import Exchange
from millgate_serving.logs import Sparingly, described, log_lines
from millgate_serving.named_values import NamedValues

_BUFFER_BYTES: Final = 16 << 20
_OVERHEAD_BYTES = 1000  # of a request that waits: its record, its arrays' own objects
MAX_ROWS_LOGGED: Final = 100
STANDARD_OUTPUT: Final = "stdout"
_LAST_SECONDS = 5.0
_LINES_PER_SECOND = 1


@dataclass(frozen=True, slots=True)
class PredictionLogSettings:
    """`share` of the requests goes to files in `directory`, of at most `max_bytes` each, the last `files` of them.

    Without a directory it goes to standard output.
    """

    directory: Path | None
    share: float
    max_bytes: int
    files: int


class Record(Struct, tag_field="event", tag="prediction", omit_defaults=True, rename="camel"):
    """One request. `inputs` and `outputs` hold the first 100 rows of `rows`."""

    time: str
    request_id: str
    model: str
    version: str
    revision: str
    digest: str
    protocol: str
    status: int
    rows: int
    inputs: dict[str, Any]
    outputs: dict[str, Any] | None
    model_seconds: float
    client: str = ""
    segment: str = ""
    reason: str = ""
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which bytes answer."""

    model: str
    version: str
    revision: str
    digest: str


class PredictionLog:
    """A sink. Requests that were not understood are no predictions, and are left out."""

    def __init__(self, settings: PredictionLogSettings, identity: Identity, values: NamedValues) -> None:
        self._share = settings.share
        self._identity = identity
        self._values = values
        self._put: Callable[[Sequence[bytes]], None] = log_lines
        if settings.directory is not None:
            self._put = RotatingFiles(settings.directory, settings, socket.gethostname()).write
        self._errors = Sparingly(_LINES_PER_SECOND)
        self._encode = msgspec.json.Encoder().encode
        self._clock = Clock()
        self._background: Background[Exchange | bytes] = Background(
            "prediction-log", self._write, _BUFFER_BYTES, self._failed
        )

    @property
    def dropped(self) -> int:
        return self._background.dropped

    def __call__(self, exchanges: Sequence[Exchange]) -> None:
        for exchange in exchanges:
            if exchange.arrays is not None and (self._share >= 1 or random.random() < self._share):  # noqa: S311 - no secret
                self._keep(exchange)

    def _keep(self, exchange: Exchange) -> None:
        share = 1.0
        if exchange.rows > MAX_ROWS_LOGGED:  # what is not kept must not wait either
            share, exchange = MAX_ROWS_LOGGED / exchange.rows, _beginning(exchange)
        # Texts are not in their arrays, but they are no larger than the bodies that they came in.
        texts = int(share * (exchange.request_bytes + exchange.answer_bytes))
        size = _OVERHEAD_BYTES + texts + sum(array.nbytes for array in exchange.arrays or [])
        self._background.put([exchange], size)

    def add(self, line: bytes) -> None:
        """A line that is JSON already: labels that came later."""
        self._background.put([line], len(line))

    def close(self) -> None:
        self._background.close(_LAST_SECONDS)

    def _write(self, batch: Sequence[Exchange | bytes]) -> None:
        lines = [line if isinstance(line, bytes) else self._encode(self._record(line)) + b"\n" for line in batch]
        self._put(lines)

    def _record(self, exchange: Exchange) -> Record:
        rows = min(exchange.rows, MAX_ROWS_LOGGED)
        traceparent, identity = exchange.traceparent, self._identity
        return Record(
            self._clock.text(exchange.moment),
            exchange.request_id,
            identity.model,
            identity.version,
            identity.revision,
            identity.digest,
            exchange.protocol,
            exchange.status,
            exchange.rows,
            self._values.of_request(exchange.arrays or [], rows),
            None if exchange.outputs is None else self._values.of_answer(exchange.outputs, rows),
            round(exchange.model_seconds, 6),
            exchange.client,
            exchange.segment,
            exchange.reason,
            traceparent if len(traceparent) == TRACEPARENT_CHARACTERS else "",
        )

    def _failed(self, error: Exception) -> None:
        why = {"error": error.strerror} if isinstance(error, OSError) else described(error)
        self._errors.log("predictions not logged", "error", **why)


def _beginning(exchange: Exchange) -> Exchange:
    """With the rows that are kept, copied: a view would hold all of them."""

    def cut(values: Any) -> Any:
        return values[:MAX_ROWS_LOGGED].copy()

    arrays = [cut(array) for array in exchange.arrays or []]
    outputs = None if exchange.outputs is None else [(name, cut(values)) for name, values in exchange.outputs]
    return msgspec.structs.replace(exchange, arrays=arrays, outputs=outputs)


class RotatingFiles:
    """`predictions-<host>.jsonl`, and `….1` to `….n`, the older the higher: pods that share a volume do not meet."""

    def __init__(self, directory: Path, settings: PredictionLogSettings, host: str) -> None:
        self._path = directory / f"predictions-{host}.jsonl"
        self._max_bytes = settings.max_bytes
        self._kept = settings.files - 1
        self._file: BinaryIO | None = None
        self._torn = False

    def write(self, lines: Sequence[bytes]) -> None:
        """Raises OSError; what was written stays, and a next call tries again."""
        file, size = self._opened()
        ready: list[bytes] = []
        for line in lines:
            if size and size + len(line) > self._max_bytes:
                self._append(file, ready)
                ready, size = [], 0
                self._turn_over(file)
                file, _ = self._opened()
            ready.append(line)
            size += len(line)
        self._append(file, ready)

    def _append(self, file: BinaryIO, lines: Sequence[bytes]) -> None:
        """A full disk may cut a line; the next one must not be glued to what is left of it."""
        content = memoryview((b"\n" if self._torn else b"") + b"".join(lines))
        self._torn = True
        while content:
            content = content[file.write(content) :]
        self._torn = False

    def _opened(self) -> tuple[BinaryIO, int]:
        """Found anew when somebody has moved or removed it (logrotate, a person)."""
        if self._file is None or not self._path.exists():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab", buffering=0)
        return self._file, self._file.tell()

    def _turn_over(self, file: BinaryIO) -> None:
        file.close()
        self._file = None
        for number in range(self._kept - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))
        if self._kept:
            self._path.replace(self._numbered(1))
        else:
            self._path.unlink()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
