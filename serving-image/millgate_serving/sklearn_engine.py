"""scikit-learn models through MLflow's own flavour: correct and slow to start, for what cannot be turned into ONNX."""

from collections.abc import Callable
from typing import Any

import numpy as np

from millgate_serving.engine import Outputs
from millgate_serving.failure import Reason, ServingError
from millgate_serving.mlmodel import MlModel
from millgate_serving.signature import Signature
from millgate_serving.validation import Arrays, Layout

_DTYPES = {
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


class SklearnEngine:
    """Columns become a DataFrame in the order of the signature, a tensor stays an array."""

    def __init__(self, predict: Callable[[Any], Any], signature: Signature) -> None:
        from pandas import DataFrame  # type: ignore[import-untyped]  # noqa: PLC0415 - only in the full image

        self.outputs = ("predictions",)
        self._predict = predict
        self._frame = DataFrame
        self._names = [column.name for column in signature.columns]
        dtypes = tuple(_DTYPES.get(item.type) or np.dtype(item.type) for item in signature.inputs)
        alike = bool(self._names) and len(set(dtypes)) == 1 and dtypes[0].kind != "M"
        self.layout = Layout(dtypes, matrix=alike, missing_text=True)

    def run(self, arrays: Arrays) -> Outputs:
        return [(self.outputs[0], np.asarray(self._predict(self._data(arrays))))]

    def _data(self, arrays: Arrays) -> Any:
        """A copy: many pipelines fill gaps in place, and what was asked is counted after the answer."""
        if not self._names:
            return arrays[0].copy()
        if self.layout.matrix:
            return self._frame(arrays[0], columns=self._names, copy=True)
        return self._frame(dict(zip(self._names, arrays, strict=True)), copy=True)


def load(model: MlModel) -> SklearnEngine:
    """Runs code from the model's files: the caller has made sure that this is allowed."""
    try:
        from mlflow.sklearn import load_model  # noqa: PLC0415 - two seconds and 80 MiB, only where it is needed
    except ImportError as error:
        message = f"this image serves ONNX only ({error.name} is missing): use the full image for scikit-learn"
        raise ServingError(Reason.FLAVOUR_NOT_INSTALLED, message) from error
    if len(model.signature.tensors) > 1:
        raise ServingError(Reason.SIGNATURE_MISMATCH, "a scikit-learn model takes one tensor")
    name = str(model.flavours.get("python_function", {}).get("predict_fn", "predict"))
    try:
        predict = getattr(load_model(str(model.directory)), name)
    except Exception as error:
        raise ServingError(Reason.LOAD_FAILED, f"MLflow cannot load the model: {type(error).__name__}") from error
    return SklearnEngine(predict, model.signature)
