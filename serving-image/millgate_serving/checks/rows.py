"""Held-out rows from a file: what the model is asked, the truth beside it, and the segment each row belongs to."""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from millgate_serving.checks.verdict import CheckReason, cannot_tell
from millgate_serving.signature import Signature

FOLDER = "millgate/checks"
_SUFFIXES = (".csv", ".jsonl", ".parquet")
_MAX_ROWS = 1_000_000
_UNNAMED = "input"  # of a signature with one tensor that has no name
_WORDS = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`rows` as they stand in the file; `labels` and `segments` are as many, or none where not asked for."""

    file: str
    rows: list[dict[str, Any]]
    labels: list[Any]
    segments: list[str]
    beside: frozenset[str]

    def __len__(self) -> int:
        return len(self.rows)

    def asked(self, signature: Signature) -> list[Any]:
        """As /predict takes them, with the inputs of this version: another one may have others.

        A label or a segment that is an input too (a segment often is) stays one. Ends the check with DataInvalid.
        """
        if len(signature.inputs) == 1 and signature.tensors:
            name = signature.inputs[0].name or _UNNAMED
            return [self._tensor_row(number, row, name) for number, row in enumerate(self.rows)]
        typed = _typed if Path(self.file).suffix == ".csv" else _as_it_is
        kinds = {item.name: item.type for item in signature.inputs}
        return [
            {name: typed(row[name], kind) for name, kind in kinds.items() if row.get(name) is not None}
            for row in self.rows
        ]

    def _tensor_row(self, number: int, row: dict[str, Any], name: str) -> Any:
        """One field that holds the row's list, or (in CSV) the numbers themselves in their order."""
        if isinstance(row.get(name), list):
            return row[name]
        values = [as_number(value) for column, value in row.items() if column not in self.beside]
        if None in values or not values:
            raise _invalid(Path(self.file), f"row {number} has neither a list '{name}' nor numbers only")
        return values


def read(folder: Path, data: str, label: str = "", segment_by: str = "") -> Evaluation:
    """`folder`: of the candidate's artefact. An empty `label` or `segment_by` is not read.

    Ends the check with NoData or DataInvalid.
    """
    path = _found(folder, data)
    rows = list(_rows(path))
    if not rows:
        raise _invalid(path, "there is no row in it")
    for name, option in ((label, "label"), (segment_by, "segmentBy")):
        missing = next((number for number, row in enumerate(rows) if name and row.get(name) is None), None)
        if missing is not None:
            raise _invalid(path, f"row {missing} has no '{name}', which the option {option} names")
    return Evaluation(
        str(path),
        rows,
        [row[label] for row in rows] if label else [],
        [_text(row[segment_by]) for row in rows] if segment_by else [],
        frozenset({label, segment_by}),
    )


def _found(folder: Path, data: str) -> Path:
    """The file that `data` names, or the first default one."""
    candidates = [folder / data] if data else [folder / FOLDER / f"evaluation{suffix}" for suffix in _SUFFIXES]
    for path in candidates:
        if path.is_file():
            return path
    where = data or f"{FOLDER}/evaluation.csv, .jsonl or .parquet in the model's artefact"
    raise cannot_tell(CheckReason.NO_DATA, f"there is no file of rows: {where}")


def as_numbers(file: str, labels: Sequence[Any]) -> list[float]:
    """Labels as numbers; a file of text holds numbers and truths as text. Ends the check with DataInvalid."""
    found = []
    for number, label in enumerate(labels):
        value = as_number(label)
        if value is None or not math.isfinite(value):
            raise _invalid(Path(file), f"the label of row {number} is not a number, but the model answers with numbers")
        found.append(value)
    return found


def as_number(value: Any) -> float | None:
    """Of a boolean or a number, also as text; None of anything else."""
    if isinstance(value, bool | int | float):
        return float(value)
    try:
        return _WORDS.get(str(value).lower()) if str(value).lower() in _WORDS else float(value)
    except (TypeError, ValueError):
        return None


# Files


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    reader = {".csv": _csv, ".jsonl": _json_lines, ".parquet": _parquet}.get(path.suffix)
    if reader is None:
        raise _invalid(path, "the file's name must end in .csv, .jsonl or .parquet")
    number = 0
    try:
        for number, row in enumerate(reader(path)):
            if number >= _MAX_ROWS:
                raise _invalid(path, f"at most {_MAX_ROWS} rows")
            if not isinstance(row, dict):
                raise _invalid(path, f"row {number} is not an object")
            yield row
    except (OSError, UnicodeDecodeError, csv.Error, msgspec.DecodeError) as error:
        raise _invalid(path, f"it cannot be read from row {number} on ({type(error).__name__})") from error


def _csv(path: Path) -> Iterator[dict[str, Any]]:
    """All is text; nothing is nothing."""
    with path.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            if None in row:
                raise csv.Error
            yield {name: text or None for name, text in row.items()}


def _typed(text: str, kind: str) -> Any:
    """A file of text knows no types; what does not fit stays text, and is refused as text."""
    try:
        if kind == "boolean":
            return {"true": True, "false": False}.get(text.lower(), text)
        return {"integer": int, "long": int, "float": float, "double": float}.get(kind, str)(text)
    except ValueError:
        return text


def _as_it_is(value: Any, _kind: str) -> Any:
    return value


def _json_lines(path: Path) -> Iterator[Any]:
    with path.open("rb") as lines:
        for line in lines:
            if line.strip():
                yield msgspec.json.decode(line)


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    try:
        from pyarrow import ArrowException, parquet  # type: ignore[import-untyped]  # noqa: PLC0415 - only in the full image
    except ImportError as error:
        raise _invalid(path, "this image cannot read Parquet: use the full image, CSV or JSON lines") from error
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()
    except ArrowException as error:
        raise _invalid(path, f"it cannot be read as Parquet ({type(error).__name__})") from error


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _invalid(path: Path, message: str) -> Exception:
    return cannot_tell(CheckReason.DATA_INVALID, f"{path.name}: {message}")
