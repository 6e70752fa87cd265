"""One input tensor of the Open Inference Protocol in every form that it may have: JSON flat or nested, and binary."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from millgate_serving import datatypes
from millgate_serving.datatypes import BYTES, DTYPES
from millgate_serving.fields import Field, list_of
from millgate_serving.refusal import Refusal
from millgate_serving.v2_request import InputTensor
from millgate_serving.wording import not_understood, one_of

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
        array = np.frombuffer(blob, dtype)
        # Behind JSON of any length the numbers lie anywhere, and native code may count on their alignment.
        return self._field.from_array(array if array.flags.aligned else array.copy(), place)

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
