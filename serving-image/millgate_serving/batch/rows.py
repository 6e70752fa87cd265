"""Reads rows from CSV, JSON lines and Parquet in chunks, each with the place from which the next one is read.

That place is what makes a batch resumable: bytes of a file of text, rows of a Parquet file.
"""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from millgate_serving.batch.problem import BatchError

SUFFIXES = (".csv", ".jsonl", ".ndjson", ".parquet")
_INFINITE = (math.inf, -math.inf)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that is none; `text` is what stands in the file."""

    error: str
    text: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """`rows` are objects (dict), lists, or Unreadable. `position` is where the next chunk begins."""

    rows: list[Any]
    position: int


class Reader(Protocol):
    """Of one file."""

    @property
    def size(self) -> int:
        """In the unit of positions."""

    @property
    def columns(self) -> tuple[str, ...] | None:
        """None where every row names its own."""

    @property
    def is_text(self) -> bool:
        """Whether all values are text."""

    def chunks(self, position: int, rows: int) -> Iterator[Chunk]:
        """From `position` (0: the beginning), at most `rows` at a time. Raises BatchError."""


def reader(path: Path) -> Reader:
    """By the suffix of its name. Raises BatchError."""
    if not path.is_file():
        raise BatchError(f"--input: there is no file {path}")
    match path.suffix:
        case ".csv":
            return CsvReader(path)
        case ".jsonl" | ".ndjson":
            return JsonLinesReader(path)
        case ".parquet":
            return ParquetReader(path)
    raise BatchError(f"--input: the name must end in {', '.join(SUFFIXES)}")


class JsonLinesReader:
    """A row a line: an object, or a list for a model with one tensor. Empty lines are passed over."""

    columns: tuple[str, ...] | None = None
    is_text = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size = path.stat().st_size

    def chunks(self, position: int, rows: int) -> Iterator[Chunk]:
        with self._path.open("rb") as file:
            file.seek(position)
            found: list[Any] = []
            for line in file:
                position += len(line)
                if line.strip():
                    found.append(_json(line))
                if len(found) == rows:
                    yield Chunk(found, position)
                    found = []
            yield Chunk(found, position)


def _json(line: bytes) -> Any:
    try:
        row = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        row = None
    if isinstance(row, dict | list):
        return row
    return Unreadable("the line is no JSON object or list", line.decode("utf-8", "replace").rstrip("\r\n"))


class CsvReader:
    """RFC 4180 in UTF-8 with a line of names first. All values are text."""

    is_text = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size = path.stat().st_size
        with path.open("rb") as file:
            lines = _Lines(file, 0)
            names = self._next(csv.reader(lines, strict=True), 1)
            self._begin = lines.position
        if not names:
            raise BatchError(f"{path}: there is no line with the names of the columns")
        names[0] = names[0].removeprefix("\ufeff")
        if len(set(names)) != len(names):
            raise BatchError(f"{path}: two columns have the same name")
        self.columns: tuple[str, ...] = tuple(names)

    def chunks(self, position: int, rows: int) -> Iterator[Chunk]:
        with self._path.open("rb") as file:
            file.seek(position or self._begin)
            lines = _Lines(file, position or self._begin)
            records = csv.reader(lines, strict=True)
            found: list[Any] = []
            while (record := self._next(records, len(found) + 1)) is not None:
                if record:
                    found.append(self._row(record))
                if len(found) == rows:
                    yield Chunk(found, lines.position)
                    found = []
            yield Chunk(found, lines.position)

    def _next(self, records: Any, number: int) -> list[str] | None:
        try:
            record: list[str] | None = next(records, None)
        except (csv.Error, UnicodeDecodeError) as error:
            # Where a record ends is not known any more, so nothing after it can be trusted either.
            message = f"{self._path}: it cannot be read as CSV in UTF-8 from about line {records.line_num} on"
            raise BatchError(f"{message} (row {number} of a chunk: {type(error).__name__})") from error
        return record

    def _row(self, record: list[str]) -> Any:
        if len(record) != len(self.columns):
            message = f"the line has {len(record)} values, the file has {len(self.columns)} columns"
            return Unreadable(message, ",".join(record))
        return dict(zip(self.columns, record, strict=True))


class _Lines:
    """Lines of text that count the bytes they took: csv takes no line before it needs it, so this is a record's end."""

    def __init__(self, file: Any, position: int) -> None:
        self._file = file
        self.position = position

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line: bytes = self._file.readline()
        if not line:
            raise StopIteration
        self.position += len(line)
        return line.decode("utf-8")


class ParquetReader:
    """Needs pyarrow, which the `full` image has. A NaN is what null is in JSON; infinities are refused as text is."""

    is_text = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._parquet, self._failure = parquet()
        try:
            metadata = self._parquet.read_metadata(path)
            self.columns: tuple[str, ...] = tuple(self._parquet.read_schema(path).names)
        except (self._failure, OSError) as error:
            raise BatchError(f"{path}: it cannot be read as Parquet ({type(error).__name__})") from error
        self.size: int = metadata.num_rows
        self._groups = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]

    def chunks(self, position: int, rows: int) -> Iterator[Chunk]:
        """Whole row groups before `position` are not read."""
        first, passed = 0, 0
        while first < len(self._groups) and passed + self._groups[first] <= position:
            passed += self._groups[first]
            first += 1
        skip = position - passed
        try:
            with self._parquet.ParquetFile(self._path) as file:
                groups = list(range(first, len(self._groups)))
                for batch in file.iter_batches(batch_size=rows, row_groups=groups):
                    found = [_finite(row) for row in batch.to_pylist()[skip:]]
                    skip = max(skip - batch.num_rows, 0)
                    position += len(found)
                    if found:
                        yield Chunk(found, position)
        except (self._failure, OSError) as error:
            message = f"{self._path}: it cannot be read from row {position + 1} on ({type(error).__name__})"
            raise BatchError(message) from error


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinity, and msgspec would write null: text is refused where a number is wanted."""
    values = row.values()
    if not any(infinite in values for infinite in _INFINITE):
        return row
    return {name: str(value) if value in _INFINITE else value for name, value in row.items()}


def parquet() -> tuple[Any, type[Exception]]:
    """pyarrow.parquet, and the type of what it raises. Raises BatchError in an image without it."""
    try:
        from pyarrow import ArrowException  # type: ignore[import-untyped]  # noqa: PLC0415 - the full image has it
        from pyarrow import parquet as module  # noqa: PLC0415
    except ImportError as error:
        raise BatchError("this image cannot read or write Parquet: use the full image, CSV or JSON lines") from error
    return module, ArrowException
