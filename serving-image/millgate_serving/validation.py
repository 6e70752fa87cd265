"""The body of /predict: decoders generated from the signature, and the one table of what is refused and how.

msgspec parses and checks in one pass in C; its error path becomes the answer, which names the field and what is
allowed and never repeats a value. docs/serving-requests.md holds the same rules as a table.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import UNSET, UnsetType

from millgate_serving.constraints import NONE, Constraints
from millgate_serving.fields import MAX_ROWS, Field, Layout, fields, list_of, struct
from millgate_serving.refusal import Refusal
from millgate_serving.signature import Signature
from millgate_serving.wording import not_understood

__all__ = ["Arrays", "Decode", "Layout", "check_count", "decoder"]

Arrays = list[npt.NDArray[Any]]
Decode = Callable[[bytes], Arrays]


def decoder(signature: Signature, layout: Layout, constraints: Constraints = NONE) -> Decode:
    """The function from a request's body to arrays in the order of the signature; it raises Refusal.

    Raises ServingError ConstraintsInvalid for rules that the engine cannot keep.
    """
    inputs = fields(signature, layout, constraints)
    ignore_extra = constraints.extra_fields == "ignore"
    if len(signature.tensors) == 1:
        return _one_tensor(inputs[0], named=bool(signature.tensors[0].name), ignore_extra=ignore_extra)
    return _named(inputs, matrix=layout.matrix, ignore_extra=ignore_extra)


def check_count(rows: int) -> None:
    """Raises Refusal unless it is a number of rows that one request may have."""
    if rows == 0:
        raise Refusal(400, "rows: at least one row is needed")
    if rows > MAX_ROWS:
        raise Refusal(413, f"rows: at most {MAX_ROWS} rows a request")


def _one_tensor(field: Field, *, named: bool, ignore_extra: bool) -> Decode:
    """`rows` is the tensor; where it has a name, `columns` may hold it too."""
    rows_type = list_of(field.value)
    columns_type = struct("Columns", [(field, rows_type)], absent=UNSET, ignore_extra=ignore_extra) if named else None
    decode = _checked(rows_type, columns_type, (field,))

    def to_arrays(body: bytes) -> Arrays:
        request = decode(body)
        as_rows = request.rows is not UNSET
        rows = request.rows if as_rows else request.columns.c0
        check_count(len(rows))
        return [field.from_values(rows, "rows" if as_rows else f"columns.{field.name}")]

    return to_arrays


def _named(inputs: tuple[Field, ...], *, matrix: bool, ignore_extra: bool) -> Decode:
    row = struct("Row", [(field, field.value) for field in inputs], ignore_extra=ignore_extra)
    lists = [(field, list_of(field.value)) for field in inputs]
    columns_type = struct("Columns", lists, absent=UNSET, ignore_extra=ignore_extra)
    decode = _checked(list_of(row), columns_type, inputs)
    dtype, as_tuple = inputs[0].dtype, msgspec.structs.astuple
    enumerated = [(index, field) for index, field in enumerate(inputs) if field.enum and field.is_float]

    def to_arrays(body: bytes) -> Arrays:
        request = decode(body)
        prefix = ""
        if request.rows is not UNSET:
            check_count(len(request.rows))
            rows = [as_tuple(row) for row in request.rows]
            if not matrix:
                return _arrays(zip(*rows, strict=True), inputs, "")
            array = np.array(rows, dtype)
        else:
            prefix = "columns."
            columns = _filled(inputs, as_tuple(request.columns))
            if not matrix:
                return _arrays(columns, inputs, "columns.")
            array = np.array(columns, dtype).T.copy()
        for index, field in enumerated:
            field.check_enum(array[:, index], prefix + field.name)
        return [array]

    return to_arrays


def _filled(inputs: tuple[Field, ...], columns: tuple[Any, ...]) -> list[Sequence[Any]]:
    """All columns of one length; an optional one that was left out is missing in every row."""
    rows = max((len(values) for values in columns if values is not UNSET), default=0)
    check_count(rows)
    filled = [[None] * rows if values is UNSET else values for values in columns]
    for field, values in zip(inputs, filled, strict=True):
        if len(values) != rows:
            raise Refusal(400, f"columns.{field.name}: all columns must have the same number of values")
    return filled


def _arrays(columns: Iterable[Sequence[Any]], inputs: tuple[Field, ...], prefix: str) -> Arrays:
    return [field.from_values(values, prefix + field.name) for values, field in zip(columns, inputs, strict=True)]


def _checked(rows_type: Any, columns_type: Any, inputs: tuple[Field, ...]) -> Callable[[bytes], Any]:
    members = [("rows", rows_type | UnsetType, UNSET)]
    if columns_type is not None:
        members.append(("columns", columns_type | UnsetType, UNSET))
    request_type = msgspec.defstruct("Request", members, forbid_unknown_fields=True)
    decode_json = msgspec.json.Decoder(request_type).decode
    parts = [name for name, *_ in members]
    quoted = " or ".join(f"'{name}'" for name in parts)
    names = [field.name for field in inputs]
    only_rows = columns_type is None

    def decode(body: bytes) -> Any:
        try:
            request: Any = decode_json(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise not_understood(
                error,
                allowed=lambda place: names if place else parts,
                enumerated=lambda place: _field_at(place, inputs).enum,
            ) from None
        if (request.rows is UNSET) is (only_rows or request.columns is UNSET):
            raise Refusal(400, f"the body must be an object with {quoted}, one of them")
        return request

    return decode


def _field_at(place: str, inputs: tuple[Field, ...]) -> Field:
    """Of which a place speaks: `rows[3].amount`, `columns.amount[3]`. Where names begin alike the longest is meant."""
    rest = re.sub(r"^(rows\[\d+\]|columns)\.?", "", place)
    meant = [field for field in inputs if rest == field.name or rest.startswith(f"{field.name}[")]
    return max(meant, key=lambda field: len(field.name), default=inputs[0])
