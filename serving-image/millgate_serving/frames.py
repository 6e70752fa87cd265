"""Arrays as what Python libraries of models are asked with: a DataFrame of named columns, an array, or named arrays."""

from typing import Any, Final

import numpy as np

from millgate_serving.signature import Signature
from millgate_serving.validation import Arrays, Layout

_DTYPES: Final = {
    "boolean": np.dtype(np.bool_),
    "integer": np.dtype(np.int32),
    "long": np.dtype(np.int64),
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
    "string": np.dtype(object),
    "binary": np.dtype(object),
    "datetime": np.dtype("datetime64[ns]"),
    "str": np.dtype(object),
}


class Frames:
    """Columns become a DataFrame in the order of the signature, a tensor stays an array, several go by their names."""

    def __init__(self, signature: Signature) -> None:
        from pandas import DataFrame  # type: ignore[import-untyped]  # noqa: PLC0415 - only in the full image

        self._frame = DataFrame
        self._columns = bool(signature.columns)
        self._names = [item.name for item in signature.inputs]
        dtypes = tuple(_DTYPES.get(item.type) or np.dtype(item.type) for item in signature.inputs)
        alike = self._columns and len(set(dtypes)) == 1 and dtypes[0].kind != "M"
        self.layout = Layout(dtypes, matrix=alike, missing_text=True)

    def of(self, arrays: Arrays) -> Any:
        """A copy: many pipelines fill gaps in place, and what was asked is counted after the answer."""
        if not self._columns:
            copies = [array.copy() for array in arrays]
            return copies[0] if len(copies) == 1 else dict(zip(self._names, copies, strict=True))
        if self.layout.matrix:
            return self._frame(arrays[0], columns=self._names, copy=True)
        return self._frame(dict(zip(self._names, arrays, strict=True)), copy=True)
