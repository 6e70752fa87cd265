"""Writes results as CSV, JSON lines or Parquet, so that what was written before a place can be taken up again.

While it is written a file has the name that it will have with `.partial` behind it.
"""

import csv
import io
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from millgate_serving.batch.encoding import encode
from millgate_serving.batch.problem import BatchError
from millgate_serving.batch.rows import SUFFIXES, parquet


class Writer(Protocol):
    """`position` of a new file is 0."""

    def write(self, rows: Sequence[dict[str, Any]]) -> None: ...

    def checkpoint(self) -> int:
        """Everything written is on the disk; the position from which a later writer goes on."""

    def close(self) -> None: ...


def writer(path: Path, position: int, columns: Sequence[str]) -> Writer:
    """By the suffix of its name; what was written after `position` is cut off. Raises BatchError."""
    match path.suffix:
        case ".csv":
            return CsvWriter(path, position, columns)
        case ".jsonl" | ".ndjson":
            return JsonLinesWriter(path, position)
        case ".parquet":
            return ParquetWriter(path, position, columns)
    raise BatchError(f"--output: the name must end in {', '.join(SUFFIXES)}")


def partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


class _TextWriter:
    def __init__(self, path: Path, position: int) -> None:
        try:
            self._file = partial(path).open("r+b" if position else "wb")
        except FileNotFoundError as error:
            raise BatchError(f"{error.filename} is not there: --restart scores everything again") from error
        self._file.truncate(position)
        self._file.seek(position)

    def checkpoint(self) -> int:
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        self._file.close()


class JsonLinesWriter(_TextWriter):
    """An object a line."""

    def write(self, rows: Sequence[Any]) -> None:
        self._file.write(b"".join(encode(row) + b"\n" for row in rows))


class CsvWriter(_TextWriter):
    """RFC 4180. What is neither text nor a number stands in a cell as JSON; a missing value is an empty cell."""

    def __init__(self, path: Path, position: int, columns: Sequence[str]) -> None:
        super().__init__(path, position)
        if position == 0:
            self._write([columns])

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        self._write([_cell(value) for value in row.values()] for row in rows)

    def _write(self, records: Any) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(records)
        self._file.write(text.getvalue().encode())


def _cell(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float | None):
        return encode(value).decode().strip('"')
    return "" if value is None or value != value else value  # noqa: PLR0124 - NaN


class ParquetWriter:
    """A Parquet file cannot be written on, so each checkpoint makes a part, and the end makes one file of them."""

    def __init__(self, path: Path, position: int, columns: Sequence[str]) -> None:
        self._path = path
        self._columns = columns
        self._parquet, _ = parquet()
        self._rows: list[dict[str, Any]] = []
        self._count = position
        if position == 0:
            shutil.rmtree(_parts(path), ignore_errors=True)
        _parts(path).mkdir(exist_ok=True)

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        self._rows += rows

    def checkpoint(self) -> int:
        """Parts beyond the position that is returned are written again."""
        if self._rows or not self._count:
            import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415 - the full image has it

            self._count += 1
            part = _part(self._path, self._count)
            nothing = pa.table({name: pa.nulls(0) for name in self._columns})
            self._parquet.write_table(pa.Table.from_pylist(self._rows) if self._rows else nothing, part)
            descriptor = os.open(part, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._rows = []
        return self._count

    def close(self) -> None: ...


def finish(path: Path, position: int) -> None:
    """The file gets its name. `position`: that of the last checkpoint. May be called again when it was cut off."""
    if path.suffix == ".parquet":
        _merge(path, position)
    if partial(path).exists():
        partial(path).rename(path)
    shutil.rmtree(_parts(path), ignore_errors=True)


def _merge(path: Path, count: int) -> None:
    """Where a part is missing the merged file has its name already, and parts were being removed."""
    parts = [_part(path, number + 1) for number in range(count)]
    if not all(part.exists() for part in parts) or (not parts and path.exists()):
        return
    import pyarrow as pa  # noqa: PLC0415 - the full image has it

    module, _ = parquet()
    # A part in which a column has no value at all does not know the column's type; the others do.
    schema = pa.unify_schemas([module.read_schema(part) for part in parts], promote_options="permissive")
    with module.ParquetWriter(partial(path), schema) as merged:
        for part in parts:
            merged.write_table(module.read_table(part).cast(schema))


def _parts(path: Path) -> Path:
    return path.with_name(path.name + ".parts")


def _part(path: Path, number: int) -> Path:
    return _parts(path) / f"{number:06}.parquet"
