"""Rows to ask a model about before any client does: made from what its example and its profile show of its inputs."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from millgate_serving.signature import Column, Signature, Tensor
from millgate_serving.summary import Categorical, Numeric

UNKNOWN_TEXT: Final = "?"
_SEED = 20_261_123  # the same rows in every pod, so that every pod comes to the same verdict
_BEYOND = 0.5  # of the known range, on both sides: production sees values that training did not
_MISSING_SHARE = 0.05
_MOMENT = "2026-01-01T00:00:00Z"
_BASE64 = "AA=="
_VARIABLE_LENGTH = 3
_LIMITS = {"integer": 32, "long": 63}

Row = dict[str, Any] | list[Any]
Summary = Numeric | Categorical


@dataclass(frozen=True, slots=True)
class Probe:
    """Rows of one request, and in a few words what is special about them; nothing is, when `what` is empty."""

    rows: list[Row]
    what: str = ""


def generated(signature: Signature, examples: Sequence[Row], features: Sequence[Summary], count: int) -> list[Row]:
    """`count` rows that are ordinary as far as one can tell: known texts, numbers about the known range.

    `features` are those of the training profile. The same arguments give the same rows.
    """
    source = random.Random(_SEED)  # noqa: S311 - not a secret
    known = {summary.name: summary for summary in features}
    if signature.columns:
        pools = [_Pool.of(column, _values(column, examples), known.get(column.name)) for column in signature.columns]
        return [{pool.column.name: pool.draw(source) for pool in pools} for _ in range(count)]
    tensors = [_tensor(tensor, _cells(tensor, examples), count) for tensor in signature.tensors]
    if len(tensors) == 1:
        return list(tensors[0])
    names = [tensor.name for tensor in signature.tensors]
    return [dict(zip(names, cells, strict=True)) for cells in zip(*tensors, strict=True)]


def special(signature: Signature, ordinary: Row) -> list[Probe]:
    """`ordinary` with one thing changed: each text once one that nobody knows, each optional value once missing."""
    if not isinstance(ordinary, dict):
        return []
    changes: list[tuple[Column, str | None, str]] = []
    for column in signature.columns:
        if column.type == "string":
            changes.append((column, UNKNOWN_TEXT, "an unknown text in"))
        if not column.required:
            changes.append((column, None, "no value in"))
    return [Probe([ordinary | {column.name: value}], f"{what} '{column.name[:64]}'") for column, value, what in changes]


@dataclass(frozen=True, slots=True)
class _Pool:
    """Where the values of one column are drawn from."""

    column: Column
    values: tuple[Any, ...]
    low: float
    high: float

    @classmethod
    def of(cls, column: Column, seen: Sequence[Any], summary: Summary | None) -> "_Pool":
        values = [value for value in seen if value is not None]
        if isinstance(summary, Categorical):
            values += summary.categories
        numbers = [float(value) for value in values if isinstance(value, int | float)]
        if isinstance(summary, Numeric):
            values += summary.edges
            numbers += [bound for bound in (*summary.edges, summary.min, summary.max) if bound is not None]
        low, high = min(numbers, default=-1.0), max(numbers, default=1.0)
        margin = _BEYOND * ((high - low) or abs(high) or 1.0)
        return cls(column, tuple(_fitting(column.type, value) for value in values), low - margin, high + margin)

    def draw(self, source: random.Random) -> Any:
        if not self.column.required and source.random() < _MISSING_SHARE:
            return None
        kind = self.column.type
        if kind == "boolean":
            return source.random() < 0.5
        if kind in {"string", "binary", "datetime"}:
            default = {"string": UNKNOWN_TEXT, "binary": _BASE64, "datetime": _MOMENT}[kind]
            return source.choice(self.values) if self.values else default
        if self.values and source.random() < 0.5:
            return source.choice(self.values)
        return _fitting(kind, source.uniform(self.low, self.high))


def _fitting(kind: str, value: Any) -> Any:
    """A number as the signature's type has it; anything else as it is."""
    if kind in _LIMITS and isinstance(value, int | float):
        largest = 2 ** (_LIMITS[kind] - 1)
        return int(max(-largest, min(largest - 1, value)))
    if kind == "string":
        return str(value)
    return value


def _values(column: Column, examples: Sequence[Row]) -> list[Any]:
    return [row.get(column.name) for row in examples if isinstance(row, dict)]


def _cells(tensor: Tensor, examples: Sequence[Row]) -> list[Any]:
    return [row.get(tensor.name) if isinstance(row, dict) else row for row in examples]


def _tensor(tensor: Tensor, cells: list[Any], count: int) -> list[Any]:
    """`count` rows of the shape of the first example, or of the signature's."""
    try:
        seen = np.asarray([cell for cell in cells if cell is not None])
    except ValueError:  # rows of different lengths
        seen = np.asarray(cells[:1])
    shape = seen.shape[1:] if len(seen) else tuple(_VARIABLE_LENGTH if n < 0 else n for n in tensor.shape[1:])
    source = np.random.default_rng(_SEED)
    if tensor.type in {"str", "object"}:
        pool = seen.ravel().tolist() or [UNKNOWN_TEXT]
        chosen: list[Any] = np.asarray(pool, object)[source.integers(0, len(pool), (count, *shape))].tolist()
        return chosen
    if tensor.type == "bool":
        flags: list[Any] = (source.random((count, *shape)) < 0.5).tolist()
        return flags
    low, high = (seen.min(axis=0), seen.max(axis=0)) if len(seen) else (-1.0, 1.0)
    margin = np.where(np.subtract(high, low) > 0, np.subtract(high, low), 1.0) * _BEYOND
    drawn = source.uniform(np.subtract(low, margin), np.add(high, margin), (count, *shape))
    if "int" in tensor.type:
        bounds = np.iinfo(tensor.type)
        drawn = np.clip(np.rint(drawn), float(bounds.min), float(bounds.max) / 2).astype(tensor.type)
    rows: list[Any] = drawn.astype(tensor.type).tolist()
    return rows
