"""Held-out rows from a file: what the model is asked, the truth beside it, and the segment each row belongs to."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millgate_serving.batch.problem import BatchError
from millgate_serving.batch.rows import Unreadable, reader
from millgate_serving.batch.scoring import UNNAMED, text_reader
from millgate_serving.checks.verdict import CheckReason, cannot_tell
from millgate_serving.signature import Signature

FOLDER = "millgate/checks"
_SUFFIXES = (".csv", ".jsonl", ".parquet")
_MAX_ROWS = 100_000  # held in memory, about 2 KB each; more would sharpen an interval by hardly anything
_AT_ONCE = 10_000
_WORDS = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`rows` as they stand in the file; `labels` and `segments` are as many, or none where not asked for.

    `beside`: the columns of those. `is_text`: values are text, and a signature says what they stand for.
    """

    file: str
    rows: list[dict[str, Any]]
    labels: list[Any]
    segments: list[str]
    beside: frozenset[str]
    is_text: bool

    def __len__(self) -> int:
        return len(self.rows)

    def asked(self, signature: Signature) -> list[Any]:
        """As /predict takes them, with the inputs of this version: another one may have others.

        A label or a segment that is an input too (a segment often is) stays one. Ends the check with DataInvalid.
        """
        if len(signature.inputs) == 1 and signature.tensors:
            name = signature.inputs[0].name or UNNAMED
            return [self._tensor_row(number, row, name) for number, row in enumerate(self.rows)]
        names = [item.name for item in signature.inputs]
        rows = [{name: row[name] for name in names if row.get(name) is not None} for row in self.rows]
        if not self.is_text:
            return rows
        typed = {item.name: text_reader(item.type, required=item.required) for item in signature.columns}
        return [{name: typed[name](text) for name, text in row.items()} for row in rows]

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
        missing = next((number for number, row in enumerate(rows) if name and _is_missing(row.get(name))), None)
        if missing is not None:
            raise _invalid(path, f"row {missing} has no '{name}', which the option {option} names")
    return Evaluation(
        str(path),
        rows,
        [row[label] for row in rows] if label else [],
        [_text(row[segment_by]) for row in rows] if segment_by else [],
        frozenset({label, segment_by}),
        is_text=path.suffix == ".csv",
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
    if str(value).lower() in _WORDS:
        return _WORDS[str(value).lower()]
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """As a batch reads them. Ends the check with DataInvalid."""
    count = 0
    try:
        for chunk in reader(path).chunks(0, _AT_ONCE):
            for row in chunk.rows:
                if not isinstance(row, dict):
                    why = row.error if isinstance(row, Unreadable) else "it is not an object"
                    raise _invalid(path, f"row {count}: {why}")
                yield row
                count += 1
            if count > _MAX_ROWS:
                raise _invalid(path, f"it has more than the {_MAX_ROWS} rows that a check can hold")
    except BatchError as error:
        raise cannot_tell(CheckReason.DATA_INVALID, str(error).removeprefix("--input: ")) from error
    except OSError as error:
        raise _invalid(path, f"it cannot be read: {error.strerror}") from error


def _is_missing(value: Any) -> bool:
    """In a file of text nothing is an empty text."""
    return value is None or value == ""


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _invalid(path: Path, message: str) -> Exception:
    return cannot_tell(CheckReason.DATA_INVALID, f"{path.name}: {message}")
