"""From the tensors of a request to arrays in the order of the signature, checked by the same fields as /predict.

Models with columns take one tensor a column, of shape [rows] or [rows, 1]. Where all columns are numbers of one type
they also take a single tensor `input` of shape [rows, columns], in the order of the signature.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from millgate_serving import datatypes
from millgate_serving.datatypes import BYTES, DTYPES
from millgate_serving.fields import Field, list_of
from millgate_serving.refusal import Refusal
from millgate_serving.v2_request import InputTensor
from millgate_serving.validation import Arrays, check_count
from millgate_serving.wording import listed, not_understood, one_of

MATRIX: Final = "input"
_OPENING = re.compile(rb"[\s\[]*")

Array = npt.NDArray[Any]
Blob = memoryview | None


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input as this protocol names it: `shape` with -1 for any length, as the metadata tell it."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class TensorReader:
    """Reads one input in every form in which it may come. Its decoders are made once."""

    def __init__(self, field: Field, *, is_column: bool) -> None:
        self.tensor = Tensor(field.name, datatypes.of_type(field.type), (-1, *field.shape))
        self._field = field
        self._is_column = is_column
        self._accepted = datatypes.accepted(self.tensor.datatype)
        depths = {1, 2 if is_column else 1 + len(field.shape)}
        # Flat data is a column of all elements; both forms get their shape from the request's own afterwards.
        self._own = {depth: _own(field, depth, is_column=is_column) for depth in depths}
        self._others = {(name, depth): _json(name, depth) for name in self._accepted[1:] for depth in depths}

    def read(self, item: InputTensor, blob: Blob, place: str) -> Array:
        """Raises Refusal, naming the place in the request."""
        if item.datatype not in self._accepted:
            raise Refusal(400, f"{place}.datatype: {self.tensor.name} {one_of(self._accepted)}")
        shape = self._shape(item.shape, place)
        array = self._from_json(item, place) if blob is None else self._from_blob(item, blob, place)
        return array.reshape(shape)

    def _shape(self, given: list[int], place: str) -> tuple[int, ...]:
        if self._is_column:
            if given[1:] not in ([], [1]):
                raise Refusal(400, f"{place}.shape: must be [rows] or [rows, 1]")
            return (given[0],)
        wanted = self.tensor.shape
        if len(given) != len(wanted) or any(a not in {b, -1} for a, b in zip(wanted, given, strict=True)):
            raise Refusal(400, f"{place}.shape: must be {list(wanted)}, where -1 is any length")
        return tuple(given)

    # JSON

    def _from_json(self, item: InputTensor, place: str) -> Array:
        content = bytes(item.data)  # type: ignore[arg-type]  # a Raw: the request was checked to have data
        place, depth = f"{place}.data", _depth(content)
        own = item.datatype == self.tensor.datatype
        form = self._own.get(depth) if own else self._others.get((item.datatype, depth))
        if form is None or depth not in {1, len(item.shape)}:
            what = "FP16 has no form in JSON" if item.datatype == "FP16" else "must be flat, or nested as the shape is"
            raise Refusal(400, f"{place}: {what}")
        try:
            values = form.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise not_understood(error, allowed=lambda _: (), enumerated=self._enumerated, prefix=place) from None
        array = form.to_array(values, place)
        size = math.prod(item.shape)
        if array.size != size:
            raise Refusal(400, f"{place}: the shape needs {size} values, there are {array.size}")
        if depth > 1 and not self._is_column and list(array.shape) != item.shape:
            raise Refusal(400, f"{place}: must be nested as the shape is")
        return array if own else self._field.from_array(array, place)

    def _enumerated(self, _place: str) -> Sequence[object]:
        return self._field.enum

    # Binary

    def _from_blob(self, item: InputTensor, blob: memoryview, place: str) -> Array:
        size = math.prod(item.shape)
        if item.datatype == BYTES:
            return self._texts(blob, size, place)
        dtype = DTYPES[item.datatype]
        if len(blob) != size * dtype.itemsize:
            what = f"the shape needs {size * dtype.itemsize} bytes of {item.datatype}, there are {len(blob)}"
            raise Refusal(400, f"{place}.parameters.binary_data_size: {what}")
        if dtype.kind == "b" and not set(blob) <= {0, 1}:  # any other byte would be a boolean that is neither
            raise Refusal(400, f"{place}: a BOOL must be a byte 0 or 1")
        return self._field.from_array(np.frombuffer(blob, dtype), place)

    def _texts(self, blob: memoryview, size: int, place: str) -> Array:
        values: list[Any] = _elements(blob, size, place)
        if self._field.type != "binary":
            try:
                values = [str(value, "utf-8") for value in values]
            except UnicodeDecodeError:
                raise Refusal(400, f"{place}: the elements must be UTF-8") from None
        try:
            values = msgspec.convert(values, self._own[1].type, builtin_types=(bytes,))
        except msgspec.ValidationError as error:
            raise not_understood(error, allowed=lambda _: (), enumerated=self._enumerated, prefix=place) from None
        return self._own[1].to_array(values, place)


@dataclass(frozen=True, slots=True)
class _Form:
    """Data nested to one depth: its msgspec type, and the way from decoded values to an array."""

    type: Any
    decode: Callable[[bytes], Any]
    to_array: Callable[[Any, str], Array]


def _own(field: Field, depth: int, *, is_column: bool) -> _Form:
    if is_column and depth > 1:
        kind = list_of(list_of(field.element, 1))

        def flattened(values: Any, place: str) -> Array:
            return field.from_values([value for (value,) in values], place)

        return _Form(kind, msgspec.json.Decoder(kind).decode, flattened)
    nested = replace(field, shape=(-1,) * (depth - 1))
    kind = list_of(nested.value)
    return _Form(kind, msgspec.json.Decoder(kind).decode, nested.from_values)


def _json(datatype: str, depth: int) -> _Form | None:
    """Of another datatype than the input's own, whose values fit into it without loss."""
    if datatype == "FP16":
        return None
    kind = datatypes.element(datatype)
    for _ in range(depth):
        kind = list_of(kind)
    dtype = DTYPES[datatype]

    def to_array(values: Any, place: str) -> Array:
        try:
            return np.array(values, dtype)
        except ValueError:
            raise Refusal(400, f"{place}: must be nested as the shape is") from None

    return _Form(kind, msgspec.json.Decoder(kind).decode, to_array)


def _depth(content: bytes) -> int:
    """How deep the first element is nested; 1 also for what is no array, so that the decoder tells what it is."""
    found = _OPENING.match(content)
    return max(1, found[0].count(b"[")) if found else 1


def _elements(blob: memoryview, size: int, place: str) -> list[bytes]:
    """Each begins with its length, four bytes, little-endian."""
    found: list[bytes] = []
    start = 0
    while start + 4 <= len(blob) and len(found) < size:
        length = int.from_bytes(blob[start : start + 4], "little")
        start += 4 + length
        found.append(bytes(blob[start - length : start]))
    if start != len(blob) or len(found) != size:
        raise Refusal(400, f"{place}: the shape needs {size} elements, each its length in four bytes and its bytes")
    return found


class Inputs:
    """All inputs of a model."""

    def __init__(self, fields: tuple[Field, ...], *, columns: bool, matrix: bool, ignore_extra: bool) -> None:
        self._fields = fields
        self._readers = [TensorReader(field, is_column=columns) for field in fields]
        self._places = {field.name: number for number, field in enumerate(fields)}
        self._join = matrix
        self._ignore_extra = ignore_extra
        one_type = columns and matrix and len({field.type for field in fields}) == 1
        is_number = self.tensors[0].datatype not in {BYTES, "BOOL"}
        self._matrix = Matrix(fields) if one_type and is_number else None

    @property
    def tensors(self) -> list[Tensor]:
        """For the metadata, in the order of the signature."""
        return [reader.tensor for reader in self._readers]

    def read(self, items: list[InputTensor], blobs: dict[int, memoryview]) -> tuple[Arrays, int]:
        """The model's arrays, and how many rows they have. Raises Refusal."""
        rows = items[0].shape[0]
        check_count(rows)
        if self._matrix is not None and len(items) == 1 and items[0].name == MATRIX and len(items[0].shape) == 2:
            return [self._matrix.read(items[0], blobs.get(0))], rows
        found: dict[int, Array] = {}
        for index, item in enumerate(items):
            number = self._number(item.name, index)
            if number is None:
                continue
            if item.shape[0] != rows:
                raise Refusal(400, f"inputs[{index}].shape: all inputs must have the same number of rows")
            if number in found:
                raise Refusal(400, f"inputs[{index}].name: each input may be given once")
            found[number] = self._readers[number].read(item, blobs.get(index), f"inputs[{index}]")
        arrays = [
            found[number] if number in found else _missing(field, rows) for number, field in enumerate(self._fields)
        ]
        return ([_side_by_side(arrays)] if self._join else arrays), rows

    def _number(self, name: str, index: int) -> int | None:
        number = self._places.get(name)
        if number is None and not self._ignore_extra:
            raise Refusal(400, f"inputs[{index}].name: {one_of([listed(self._places)])}")
        return number


class Matrix:
    """Columns of one type as one tensor; a column that has rules of its own is checked by them."""

    def __init__(self, fields: tuple[Field, ...]) -> None:
        low, high = _smallest(fields), _largest(fields)
        nullable = any(field.nullable for field in fields)
        number: Any = float if fields[0].is_float else int
        element = number if low is None and high is None else Annotated[number, Meta(ge=low, le=high)]
        self._whole = replace(
            fields[0],
            name=MATRIX,
            shape=(len(fields),),
            nullable=nullable,
            minimum=low,
            maximum=high,
            enum=(),
            element=element | None if nullable else element,
        )
        self._reader = TensorReader(self._whole, is_column=False)
        self._own = [(place, field) for place, field in enumerate(fields) if self._is_stricter(field)]

    def _is_stricter(self, field: Field) -> bool:
        whole = self._whole
        ours, theirs = (field.minimum, field.maximum), (whole.minimum, whole.maximum)
        return bool(field.enum) or ours != theirs or field.nullable != whole.nullable

    def read(self, item: InputTensor, blob: Blob) -> Array:
        array = self._reader.read(item, blob, "inputs[0]")
        for number, field in self._own:
            field.from_array(array[:, number], f"inputs[0], column {field.name}")
        return array


def _smallest(fields: tuple[Field, ...]) -> float | None:
    lows = [field.minimum for field in fields if field.minimum is not None]
    return min(lows) if len(lows) == len(fields) else None


def _largest(fields: tuple[Field, ...]) -> float | None:
    highs = [field.maximum for field in fields if field.maximum is not None]
    return max(highs) if len(highs) == len(fields) else None


def _missing(field: Field, rows: int) -> Array:
    """What null in every row would be. Raises Refusal unless the input may be left out."""
    if field.required:
        raise Refusal(400, f"inputs: missing input '{field.name}'")
    return field.from_values([None] * rows, field.name)


def _side_by_side(arrays: Sequence[Array]) -> Array:
    joined = np.empty((len(arrays[0]), len(arrays)), arrays[0].dtype)
    for number, array in enumerate(arrays):
        joined[:, number] = array
    return joined
