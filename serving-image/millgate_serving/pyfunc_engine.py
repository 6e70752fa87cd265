"""Any other model that MLflow can load as a `python_function`: asked as MLflow asks it, whatever stands behind it."""

from typing import Any

import numpy as np

from millgate_serving.engine import Outputs, not_installed
from millgate_serving.failure import Reason, ServingError
from millgate_serving.frames import Frames
from millgate_serving.mlmodel import MlModel
from millgate_serving.validation import Arrays


class PyfuncEngine:
    """Its outputs are those that the signature names; without names there is one, the prediction."""

    def __init__(self, loaded: Any, model: MlModel) -> None:
        names = tuple(name for name, _ in model.signature.outputs)
        self.outputs = names if names and all(names) else ("predictions",)
        self._loaded = loaded
        self._frames = Frames(model.signature)
        self.layout = self._frames.layout

    def run(self, arrays: Arrays) -> Outputs:
        answer = self._loaded.predict(self._frames.of(arrays))
        parts = _parts(answer)
        if len(parts) == len(self.outputs) == 1:
            return [(self.outputs[0], parts[0][1])]
        by_name = dict(parts)
        if set(by_name) != set(self.outputs):
            found = ", ".join(by_name) or "one without a name"
            wanted = ", ".join(self.outputs)
            raise ServingError(
                Reason.SIGNATURE_MISMATCH, f"the signature names the outputs {wanted}; the model answers {found}"
            )
        return [(name, by_name[name]) for name in self.outputs]


def load(model: MlModel) -> PyfuncEngine:
    """Runs code from the model's files: the caller has made sure that this is allowed."""
    try:
        from mlflow.pyfunc import load_model  # noqa: PLC0415 - two seconds and 80 MiB, only where it is needed
    except ImportError as error:
        raise not_installed("models of Python code", error) from error
    try:
        loaded = load_model(str(model.directory))
    except ModuleNotFoundError as error:
        raise ServingError(
            Reason.FLAVOUR_NOT_INSTALLED,
            f"the model needs the Python module '{error.name}', which this image does not hold: build an image FROM "
            "this one that does, and name it in spec.server.image",
        ) from error
    except Exception as error:
        raise ServingError(Reason.LOAD_FAILED, f"MLflow cannot load the model: {type(error).__name__}") from error
    return PyfuncEngine(loaded, model)


def _parts(answer: Any) -> list[tuple[str, Any]]:
    """What MLflow's flavours answer with: a DataFrame, a mapping, or one array, Series or list without a name."""
    if isinstance(answer, dict):
        return [(str(name), np.asarray(values)) for name, values in answer.items()]
    columns = getattr(answer, "columns", None)
    if columns is not None:
        return [(str(name), answer[name].to_numpy()) for name in columns]
    if isinstance(answer, list):
        return [("", answer)]
    return [("", np.asarray(answer))]
