"""Columns that are numbers of one type, read all at once: as one tensor, or as one each in the usual form."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Final

import msgspec
import numpy as np
from msgspec import Meta

from millgate_serving.datatypes import DTYPES
from millgate_serving.fields import Field, list_of
from millgate_serving.refusal import Refusal
from millgate_serving.v2_request import InputTensor
from millgate_serving.v2_tensors import Array, Blob, TensorReader

NAME: Final = "input"


class Matrix:
    """Columns of one type as one tensor; a column that has rules of its own is checked by them."""

    def __init__(self, fields: tuple[Field, ...]) -> None:
        low, high = _smallest(fields), _largest(fields)
        nullable = any(field.nullable for field in fields)
        number: Any = float if fields[0].is_float else int
        element = number if low is None and high is None else Annotated[number, Meta(ge=low, le=high)]
        self._whole = replace(
            fields[0],
            name=NAME,
            shape=(len(fields),),
            nullable=nullable,
            minimum=low,
            maximum=high,
            enum=(),
            element=element | None if nullable else element,
        )
        self._reader = TensorReader(self._whole, is_column=False)
        self._places = {field.name: place for place, field in enumerate(fields)}
        self._decode = msgspec.json.Decoder(list_of(list_of(self._whole.element))).decode
        self._own = [(place, field) for place, field in enumerate(fields) if self._is_stricter(field)]

    def _is_stricter(self, field: Field) -> bool:
        whole = self._whole
        ours, theirs = (field.minimum, field.maximum), (whole.minimum, whole.maximum)
        return bool(field.enum) or ours != theirs or field.nullable != whole.nullable

    def read(self, item: InputTensor, blob: Blob) -> Array:
        """One tensor of all columns. Raises Refusal."""
        return self._checked(self._reader.read(item, blob, "inputs[0]"))

    def read_columns(self, items: Sequence[InputTensor], blobs: dict[int, memoryview], rows: int) -> Array | None:
        """Tensors of one column each, where each comes once, flat and in the signature's datatype: a twentieth of the
        work for twenty columns. None where they do not, or where there is a fault: then each is read for itself.
        """
        parts = self._parts(items, blobs, rows)
        if parts is None:
            return None
        try:
            array = self._from_blobs(parts, rows) if blobs else self._from_json(parts)
            return None if array.shape != (len(parts), rows) else self._checked(np.ascontiguousarray(array.T))
        except (ValueError, msgspec.DecodeError, Refusal):  # UnicodeDecodeError is a ValueError
            return None

    def _parts(self, items: Sequence[InputTensor], blobs: dict[int, memoryview], rows: int) -> list[Any] | None:
        """The data in the order of the signature."""
        if len(items) != len(self._places):
            return None
        datatype, shapes = self._reader.tensor.datatype, ([rows], [rows, 1])
        parts: list[Any] = [None] * len(items)
        for index, item in enumerate(items):
            place = self._places.get(item.name)
            if place is None or item.datatype != datatype or item.shape not in shapes:
                return None
            parts[place] = blobs.get(index) if blobs else item.data
        return None if any(part is None for part in parts) else parts

    def _from_json(self, parts: list[Any]) -> Array:
        """Each part is one complete JSON value."""
        return np.array(self._decode(b"[" + b",".join(parts) + b"]"), self._whole.dtype)

    def _from_blobs(self, parts: list[Any], rows: int) -> Array:
        dtype = DTYPES[self._reader.tensor.datatype]
        if any(len(part) != rows * dtype.itemsize for part in parts):
            raise ValueError("a tensor of another length than its shape says")
        return self._whole.from_array(np.frombuffer(b"".join(parts), dtype).reshape(-1, rows), "")

    def _checked(self, array: Array) -> Array:
        for number, field in self._own:
            field.from_array(array[:, number], f"inputs[0], column {field.name}")
        return array


def _smallest(fields: tuple[Field, ...]) -> float | None:
    lows = [field.minimum for field in fields if field.minimum is not None]
    return min(lows) if len(lows) == len(fields) else None


def _largest(fields: tuple[Field, ...]) -> float | None:
    highs = [field.maximum for field in fields if field.maximum is not None]
    return max(highs) if len(highs) == len(fields) else None
