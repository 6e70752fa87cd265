"""What a model is to the rest of the server: a layout for its input and a function from arrays to named outputs."""

from dataclasses import dataclass
from typing import Any, Protocol

from millgate_serving.failure import Reason, ServingError
from millgate_serving.mlmodel import MlModel
from millgate_serving.validation import Arrays, Layout

Outputs = list[tuple[str, Any]]
"""Names with arrays or lists, one entry a row; the first is the prediction."""


class Engine(Protocol):
    @property
    def layout(self) -> Layout: ...

    @property
    def outputs(self) -> tuple[str, ...]:
        """Their names, in the order of an answer."""

    def run(self, arrays: Arrays) -> Outputs:
        """Whatever the model raises goes through."""


@dataclass(frozen=True, slots=True)
class Loaded:
    flavour: str
    engine: Engine


def load(model: MlModel, *, allow_code_execution: bool) -> Loaded:
    """ONNX where the model has it, because it is data; else scikit-learn, whose files run code when they are loaded.

    Raises FlavourNotSupported, FlavourNotInstalled, CodeExecutionNotAllowed, SignatureMismatch, LoadFailed and others.
    """
    if "onnx" in model.flavours:
        from millgate_serving import onnx_engine  # noqa: PLC0415 - each engine costs time and memory of its own

        return Loaded("onnx", onnx_engine.load(model))
    if "sklearn" in model.flavours:
        if not allow_code_execution:
            raise ServingError(
                Reason.CODE_EXECUTION_NOT_ALLOWED,
                "loading a scikit-learn model runs code from its files, which the operator's configuration does not "
                "allow: register it as ONNX, or allow it (MILLGATE_ALLOW_CODE_EXECUTION=true)",
            )
        from millgate_serving import sklearn_engine  # noqa: PLC0415

        return Loaded("sklearn", sklearn_engine.load(model))
    raise ServingError(
        Reason.FLAVOUR_NOT_SUPPORTED,
        f"the model has the flavours {', '.join(sorted(model.flavours))}; supported: onnx, sklearn",
    )
