"""scikit-learn models through MLflow's own flavour: correct and slow to start, for what cannot be turned into ONNX."""

from collections.abc import Callable
from typing import Any

import numpy as np

from millgate_serving.engine import Outputs, not_installed
from millgate_serving.failure import Reason, ServingError
from millgate_serving.frames import Frames
from millgate_serving.mlmodel import MlModel
from millgate_serving.signature import Signature
from millgate_serving.validation import Arrays


class SklearnEngine:
    """One method of an estimator."""

    def __init__(self, predict: Callable[[Any], Any], signature: Signature) -> None:
        self.outputs = ("predictions",)
        self._predict = predict
        self._frames = Frames(signature)
        self.layout = self._frames.layout

    def run(self, arrays: Arrays) -> Outputs:
        return [(self.outputs[0], np.asarray(self._predict(self._frames.of(arrays))))]


def load(model: MlModel) -> SklearnEngine:
    """Runs code from the model's files: the caller has made sure that this is allowed."""
    return SklearnEngine(getattr(estimator(model), method(model)), model.signature)


def method(model: MlModel) -> str:
    """Which method of the estimator the team chose to be the model's answer."""
    return str(model.flavours.get("python_function", {}).get("predict_fn", "predict"))


def estimator(model: MlModel) -> Any:
    """The object that was trained. Raises FlavourNotInstalled, SignatureMismatch or LoadFailed."""
    try:
        from mlflow.sklearn import load_model  # noqa: PLC0415 - two seconds and 80 MiB, only where it is needed
    except ImportError as error:
        raise not_installed("scikit-learn", error) from error
    if len(model.signature.tensors) > 1:
        raise ServingError(Reason.SIGNATURE_MISMATCH, "a scikit-learn model takes one tensor")
    try:
        found = load_model(str(model.directory))
    except Exception as error:
        raise ServingError(Reason.LOAD_FAILED, f"MLflow cannot load the model: {type(error).__name__}") from error
    if not hasattr(found, method(model)):
        raise ServingError(Reason.LOAD_FAILED, f"the model has no method '{method(model)}'")
    return found
