"""From the tensors of a request to arrays in the order of the signature, checked by the same fields as /predict.

Models with columns take one tensor a column, of shape [rows] or [rows, 1]. Where all columns are numbers of one type
they also take a single tensor `input` of shape [rows, columns], in the order of the signature.
"""

from collections.abc import Sequence

import numpy as np

from millgate_serving.datatypes import BYTES
from millgate_serving.fields import Field
from millgate_serving.refusal import Refusal
from millgate_serving.v2_matrix import NAME, Matrix
from millgate_serving.v2_request import InputTensor
from millgate_serving.v2_tensors import Array, Tensor, TensorReader
from millgate_serving.validation import Arrays, check_count
from millgate_serving.wording import listed, one_of


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
        rows = self._first(items).shape[0]
        check_count(rows)
        if self._matrix is not None and len(items) == 1 and items[0].name == NAME and len(items[0].shape) == 2:
            return [self._matrix.read(items[0], blobs.get(0))], rows
        if self._matrix is not None:
            whole = self._matrix.read_columns(items, blobs, rows)
            if whole is not None:
                return [whole], rows
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

    def _first(self, items: Sequence[InputTensor]) -> InputTensor:
        """The one that counts the rows: what is not read need not have as many."""
        return next((item for item in items if item.name in self._places), items[0])

    def _number(self, name: str, index: int) -> int | None:
        number = self._places.get(name)
        if number is None and not self._ignore_extra:
            raise Refusal(400, f"inputs[{index}].name: {one_of([listed(self._places)])}")
        return number


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
