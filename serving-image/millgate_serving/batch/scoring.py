"""Rows through the checks of a request and through the model; the bad ones are found and told one by one."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from millgate_serving.batch.encoding import encode
from millgate_serving.batch.problem import BatchError
from millgate_serving.batch.rows import Unreadable
from millgate_serving.engine import Outputs
from millgate_serving.loading import ReadyModel
from millgate_serving.refusal import OutputRefused, Refusal
from millgate_serving.signature import Column

ROW, PREDICTION = "row", "prediction"
UNNAMED = "input"
"""A field that holds the only tensor, where that has no name."""
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_PLACE = re.compile(r"^rows\[0\][.:]? ?")


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row without a prediction. `row` counts from 1."""

    row: int
    error: str
    data: Any


@dataclass(slots=True)
class Scored:
    """In the order of the file. A result has `row`, the kept columns, `prediction` and the further outputs."""

    results: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Columns:
    """What becomes of the columns of a file: `keep` go into the result, `drop` go nowhere; the rest to the model.

    A kept column that is an input of the model is both.
    """

    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


class Scorer:
    """One model and one kind of file. `is_text`: values are text, and the signature says what they stand for."""

    def __init__(self, ready: ReadyModel, columns: Columns, *, is_text: bool) -> None:
        """Raises BatchError where a kept column would be overwritten by an output."""
        self._ready = ready
        self._keep = columns.keep
        signature = ready.model.signature
        self._inputs = {item.name for item in signature.inputs}
        self._aside = frozenset(columns.drop) | (frozenset(columns.keep) - self._inputs)
        self._tensor = (signature.tensors[0].name or UNNAMED) if len(signature.tensors) == 1 else None
        kinds = {item.name: item for item in signature.inputs if isinstance(item, Column)}
        self._read: dict[str, Callable[[str], Any]] = {
            name: text_reader(item.type, required=item.required) for name, item in kinds.items()
        }
        self._is_text = is_text
        self._names = (PREDICTION, *ready.engine.outputs[1:])
        taken = sorted({ROW, *self._names} & set(columns.keep))
        if taken:
            raise BatchError(f"--keep: the result has a column '{taken[0]}' of its own")

    def check_columns(self, columns: Sequence[str]) -> None:
        """Of a file with one set of columns: told at once, and not for every row. Raises BatchError."""
        missing = [name for name in self._keep if name not in columns]
        if missing:
            raise BatchError(f"--keep: the file has no column '{missing[0]}'; it has {_listed(columns)}")
        if self._tensor is not None:
            return
        signature = self._ready.model.signature
        required = [item.name for item in signature.inputs if not isinstance(item, Column) or item.required]
        missing = [name for name in required if name not in columns]
        if missing:
            raise BatchError(f"the file has no column '{missing[0]}', which the model needs; it has {_listed(columns)}")
        extra = [name for name in columns if name not in self._inputs and name not in self._aside]
        if extra and self._ready.constraints.extra_fields != "ignore":
            advice = "give --keep to have it in the result, or --drop"
            raise BatchError(f"the model has no input '{extra[0]}': {advice} (also {_listed(extra[1:])})")

    def score(self, first: int, rows: Sequence[Any]) -> Scored:
        """`first` is the number of the first row, from 1."""
        scored = Scored()
        asked: list[tuple[int, Any, bytes]] = []
        for number, row in enumerate(rows, first):
            if isinstance(row, Unreadable):
                scored.rejected.append(Rejected(number, row.error, row.text))
                continue
            try:
                asked.append((number, row, encode(self._asked(row))))
            except (TypeError, ValueError) as error:
                scored.rejected.append(Rejected(number, f"a value cannot be given to a model: {error}", str(row)))
        self._score(asked, scored)
        scored.rejected.sort(key=lambda rejected: rejected.row)
        return scored

    def _score(self, asked: Sequence[tuple[int, Any, bytes]], scored: Scored) -> None:
        """All at once; where that fails, halves of it, down to the row that is at fault."""
        if not asked:
            return
        try:
            outputs = self._answered(b'{"rows":[' + b",".join(body for *_, body in asked) + b"]}", len(asked))
        except _Failed as failed:
            if len(asked) == 1:
                number, row, _ = asked[0]
                scored.rejected.append(Rejected(number, failed.message, row))
                return
            middle = len(asked) // 2
            self._score(asked[:middle], scored)
            self._score(asked[middle:], scored)
            return
        values = [_plain(values) for _, values in outputs]
        for index, (number, row, _) in enumerate(asked):
            result: dict[str, Any] = {ROW: number}
            for name in self._keep:
                result[name] = row.get(name) if isinstance(row, dict) else None
            for name, each in zip(self._names, values, strict=True):
                result[name] = each[index]
            scored.results.append(result)

    def _answered(self, body: bytes, rows: int) -> Outputs:
        try:
            arrays = self._ready.decode(body)
        except Refusal as refusal:
            raise _Failed(_PLACE.sub("", refusal.message)) from None
        try:
            outputs = self._ready.predict(arrays)
        except Exception as error:  # whatever the model raises is the model's failure
            raise _Failed(f"the model failed to answer ({type(error).__name__})") from error
        if any(len(values) != rows for _, values in outputs):
            raise _Failed("the model answered with another number of rows")
        try:
            if self._ready.guard is not None:
                self._ready.guard.check(outputs)
        except OutputRefused as refused:
            raise _Failed(f"the model's answer broke its own rule: {refused.message}") from None
        return outputs

    def _asked(self, row: Any) -> Any:
        """As /predict takes it, without what is only kept or dropped."""
        if isinstance(row, list):
            return [_number(text) for text in row] if self._is_text else row
        if self._tensor is not None:
            if self._tensor in row and isinstance(row[self._tensor], list):
                return row[self._tensor]
            values = [value for name, value in row.items() if name not in self._aside and name not in self._keep]
            return [_number(value) for value in values] if self._is_text else values
        if not self._is_text:
            return {name: value for name, value in row.items() if name not in self._aside} if self._aside else row
        read = self._read
        return {
            name: read[name](text) if name in read else text for name, text in row.items() if name not in self._aside
        }


class _Failed(Exception):  # noqa: N818 - of some row, not of the batch
    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def text_reader(kind: str, *, required: bool) -> Callable[[str], Any]:
    """What text of a column's type stands for; what does not fit stays text, and is refused as text."""
    if kind == "boolean":
        return lambda text: {"true": True, "false": False, "": None}.get(text, text)
    if kind in {"integer", "long", "float", "double"}:
        return _number
    if kind == "string" and required:
        return str  # an empty text is a text
    return lambda text: text or None


def _number(text: str) -> Any:
    """A number of JSON as it stands, so that the same decoder judges it; nothing is no value."""
    text = text.strip()
    if not text:
        return None
    return msgspec.Raw(text.encode()) if _NUMBER.fullmatch(text) else text


def _plain(values: Any) -> Any:
    return values.tolist() if isinstance(values, np.ndarray) else values


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (" …" if len(names) > 20 else "") if names else "nothing else"
