"""The layout of models that take one matrix of numbers, as boosted trees do."""

from typing import Any, Final

import numpy as np

from millgate_serving.failure import Reason, ServingError
from millgate_serving.signature import Signature
from millgate_serving.validation import Layout

_NUMBERS: Final = frozenset({"boolean", "integer", "long", "float", "double"})
_TENSORS: Final = frozenset({"float32", "float64"})
_MATRIX_DIMENSIONS: Final = 2


def layout(signature: Signature, features: int, dtype: np.dtype[Any]) -> Layout:
    """For a model of so many features. Raises ServingError SignatureMismatch."""
    for column in signature.columns:
        if column.type not in _NUMBERS:
            raise mismatch(f"column '{column.name}' is {column.type}, the model takes numbers")
    if signature.columns:
        given = len(signature.columns)
    elif len(signature.tensors) > 1 or len(signature.tensors[0].shape) != _MATRIX_DIMENSIONS:
        raise mismatch("the model takes one tensor of two dimensions")
    elif signature.tensors[0].type not in _TENSORS:
        tensor = signature.tensors[0]
        raise mismatch(f"tensor '{tensor.name}' is {tensor.type}; the model takes {', '.join(sorted(_TENSORS))}")
    else:
        given = signature.tensors[0].shape[1]
    if given not in {features, -1}:
        raise mismatch(f"it has {given} columns, the model {features} features")
    return Layout((dtype,) * len(signature.inputs), matrix=bool(signature.columns))


def mismatch(message: str) -> ServingError:
    return ServingError(Reason.SIGNATURE_MISMATCH, f"the signature does not fit the model: {message}")
