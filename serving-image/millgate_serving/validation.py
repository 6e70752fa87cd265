"""What a request may hold: decoders generated from the signature, and the one table of what is refused and how.

msgspec parses and checks in one pass in C; its error path becomes the answer, which names the field and what is
allowed and never repeats a value. docs/serving.md holds the same rules as a table.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import UNSET, Meta, Struct, UnsetType

from millgate_serving.refusal import Refusal
from millgate_serving.signature import Column, Signature, Tensor

MAX_ROWS: Final = 10_000
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_FIRST_YEAR, _LAST_YEAR = 1678, 2261
_SHOWN_FIELDS = 20
_SHOWN_CHARACTERS = 64

Arrays = list[npt.NDArray[Any]]
Decode = Callable[[bytes], Arrays]


@dataclass(frozen=True, slots=True)
class Layout:
    """How the model's engine wants its input: one type an input, and columns side by side in one matrix or apart.

    `missing_text` says whether it knows a missing text or moment; a missing number is NaN everywhere.
    """

    dtypes: tuple[np.dtype[Any], ...]
    matrix: bool = False
    missing_text: bool = False


def decoder(signature: Signature, layout: Layout) -> Decode:
    """The function from a request's body to arrays in the order of the signature; it raises Refusal."""
    if len(signature.tensors) == 1:
        return _one_tensor(signature.tensors[0], layout.dtypes[0])
    return _named(tuple(_field(*pair, layout) for pair in zip(signature.inputs, layout.dtypes, strict=True)), layout)


@dataclass(frozen=True, slots=True)
class _Field:
    """One input as a request names it, and the msgspec type of one row's value of it."""

    name: str
    type: Any
    optional: bool
    dtype: np.dtype[Any]
    dimensions: int


def _field(item: Column | Tensor, dtype: np.dtype[Any], layout: Layout) -> _Field:
    optional = isinstance(item, Column) and not item.required and _knows_missing(item.type, layout)
    kind = _item_type(item, dtype)
    dimensions = len(item.shape) if isinstance(item, Tensor) else 1
    return _Field(item.name, kind | None if optional else kind, optional, dtype, dimensions)


def _knows_missing(kind: str, layout: Layout) -> bool:
    """Integers and booleans have no value for "missing": MLflow advises double for such columns, and so do we."""
    return kind in {"float", "double"} or (layout.missing_text and kind in {"string", "binary", "datetime"})


def _one_tensor(tensor: Tensor, dtype: np.dtype[Any]) -> Decode:
    """`rows` is the tensor; where it has a name, `columns` may hold it too."""
    rows_type = _list_of(_item_type(tensor, dtype), tensor.shape[0])
    field = _Field(tensor.name or "rows", rows_type, optional=False, dtype=dtype, dimensions=len(tensor.shape))
    columns_type = _struct("Columns", [(field, rows_type)]) if tensor.name else None
    decode = _checked(rows_type, columns_type, (field.name,))

    def to_arrays(body: bytes) -> Arrays:
        request = decode(body)
        rows = request.rows if request.rows is not UNSET else request.columns.c0
        _check_count(len(rows))
        return [_array(rows, field)]

    return to_arrays


def _named(fields: tuple[_Field, ...], layout: Layout) -> Decode:
    row = _struct("Row", [(field, field.type) for field in fields])
    columns_type = _struct("Columns", [(field, _list_of(field.type)) for field in fields])
    decode = _checked(_list_of(row), columns_type, tuple(field.name for field in fields))
    dtype, as_tuple = layout.dtypes[0], msgspec.structs.astuple

    def to_arrays(body: bytes) -> Arrays:
        request = decode(body)
        if request.rows is not UNSET:
            _check_count(len(request.rows))
            rows = [as_tuple(row) for row in request.rows]
            return [np.array(rows, dtype)] if layout.matrix else _arrays(zip(*rows, strict=True), fields)
        columns = _filled(fields, as_tuple(request.columns))
        return [np.array(columns, dtype).T.copy()] if layout.matrix else _arrays(columns, fields)

    return to_arrays


def _filled(fields: tuple[_Field, ...], columns: tuple[Any, ...]) -> list[Sequence[Any]]:
    """All columns of one length; an optional one that was left out is missing in every row."""
    rows = max(len(values) for values in columns if values is not None) if any(columns) else 0
    _check_count(rows)
    filled = [[None] * rows if values is None else values for values in columns]
    for field, values in zip(fields, filled, strict=True):
        if len(values) != rows:
            raise Refusal(400, f"columns.{field.name}: all columns must have the same number of values")
    return filled


def _arrays(columns: Iterable[Sequence[Any]], fields: tuple[_Field, ...]) -> Arrays:
    return [_array(values, field) for values, field in zip(columns, fields, strict=True)]


def _array(values: Sequence[Any], field: _Field) -> npt.NDArray[Any]:
    if field.dtype.kind == "M":
        values = [_moment(value, field.name) for value in values]
    try:
        array = np.array(values, field.dtype)
    except (ValueError, OverflowError, TypeError):
        array = None
    if array is None or array.ndim != field.dimensions:  # of texts numpy makes an array of lists instead of an error
        raise Refusal(400, f"{field.name}: the rows must all have the same shape and fit into {field.dtype.name}")
    return array


def _moment(moment: datetime | None, name: str) -> datetime | None:
    """In UTC and without a zone. numpy counts nanoseconds in 64 bits and wraps silently outside of these years."""
    if moment is not None and not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise Refusal(400, f"{name}: the year must be from {_FIRST_YEAR} to {_LAST_YEAR}")
    return moment if moment is None or moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


# Types


def _item_type(item: Column | Tensor, dtype: np.dtype[Any]) -> Any:
    """The msgspec type of one row's value."""
    if isinstance(item, Column):
        return _scalar(item.type, dtype)
    kind = _scalar(item.type, dtype)
    for length in reversed(item.shape[1:]):
        kind = _list_of(kind, length)
    return kind


def _scalar(kind: str, dtype: np.dtype[Any]) -> Any:
    if kind in {"float", "double", "float32", "float64"}:
        # What the client may send is bounded by what the model takes: 1e39 must not become infinity on the way.
        return Annotated[float, Meta(ge=-_FLOAT32_MAX, le=_FLOAT32_MAX)] if dtype == np.float32 else float
    if "int" in kind or kind == "long":
        bounds = np.iinfo({"integer": "int32", "long": "int64"}.get(kind, kind))
        largest = min(int(bounds.max), 2**63 - 1)  # msgspec compares as int64
        return Annotated[int, Meta(ge=int(bounds.min), le=largest)]
    return {"boolean": bool, "bool": bool, "binary": bytes, "datetime": datetime}.get(kind, str)


def _list_of(kind: Any, length: int = -1) -> Any:
    """A JSON array, of exactly `length` items unless that is negative."""
    items = list[kind]
    return items if length < 0 else Annotated[items, Meta(min_length=length, max_length=length)]


def _struct(name: str, fields: list[tuple[_Field, Any]]) -> type[Struct]:
    """A struct whose keys are the names of the signature, whatever characters they have."""
    members: list[Any] = []
    for index, (field, kind) in enumerate(fields):
        members.append((f"c{index}", kind | None, None) if field.optional else (f"c{index}", kind))
    names = {f"c{index}": field.name for index, (field, _) in enumerate(fields)}
    return msgspec.defstruct(name, members, rename=names, forbid_unknown_fields=True, kw_only=True, gc=False)


# Refusals


def _checked(rows_type: Any, columns_type: Any, names: tuple[str, ...]) -> Callable[[bytes], Any]:
    members = [("rows", rows_type | UnsetType, UNSET)]
    if columns_type is not None:
        members.append(("columns", columns_type | UnsetType, UNSET))
    request_type = msgspec.defstruct("Request", members, forbid_unknown_fields=True)
    decode_json = msgspec.json.Decoder(request_type).decode
    parts = " or ".join(f"'{name}'" for name, *_ in members)
    only_rows = columns_type is None

    def decode(body: bytes) -> Any:
        try:
            request: Any = decode_json(body)
        except msgspec.ValidationError as error:
            raise Refusal(400, _explained(str(error), names)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Refusal(400, f"the body is not JSON: {_place(error)}") from None
        if (request.rows is UNSET) is (only_rows or request.columns is UNSET):
            raise Refusal(400, f"the body must be an object with {parts}, one of them")
        return request

    return decode


def _place(error: Exception) -> str:
    """The kind of fault and its byte, which is what msgspec tells; never the content."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error).removeprefix("JSON is malformed: ")


def _check_count(rows: int) -> None:
    if rows == 0:
        raise Refusal(400, "rows: at least one row is needed")
    if rows > MAX_ROWS:
        raise Refusal(413, f"rows: at most {MAX_ROWS} rows a request")


_WORDS = {"int": "integer", "float": "number", "str": "string", "bool": "boolean"}


def _explained(message: str, names: tuple[str, ...]) -> str:
    """What msgspec says, in the words of JSON and the place first. A name that a client chose is cut short."""
    what, _, place = message.partition(" - at `$")
    place = place.removesuffix("`").removeprefix(".")
    what = re.sub(r"`(int|float|str|bool)( \| null)?`", lambda m: f"`{_WORDS[m[1]]}{m[2] or ''}`", what)
    if what.startswith("Object contains unknown field "):
        shown = what.removeprefix("Object contains unknown field ").strip("`")[:_SHOWN_CHARACTERS]
        what = f"unknown field '{shown}'; allowed: {_listed(names) if place else 'rows, columns'}"
    what = what.replace("Object missing required field", "missing field").replace("`", "'")
    what = what[0].lower() + what[1:]
    return f"{place}: {what}" if place else what


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN_FIELDS} more" if len(names) > _SHOWN_FIELDS else ""
    return ", ".join(names[:_SHOWN_FIELDS]) + more
