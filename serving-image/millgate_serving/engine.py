"""What a model is to the rest of the server: a layout for its input and a function from arrays to named outputs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from millgate_serving.conversion import Conversion
from millgate_serving.failure import Reason, ServingError
from millgate_serving.mlmodel import MlModel
from millgate_serving.validation import Arrays, Layout

Outputs = list[tuple[str, Any]]
"""Names with arrays or lists, one entry a row; the first is the prediction."""
Convert = Callable[[Path], tuple[Conversion, bytes]]


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
    """`conversion` where the flavour is one that is turned into ONNX if that is the same."""

    flavour: str
    engine: Engine
    conversion: Conversion | None = None


def load(model: MlModel, *, allow_code_execution: bool, threads: int = 1, convert: Convert | None = None) -> Loaded:
    """The first flavour that is data, else the one that runs code from the model's files when it is loaded.

    Raises FlavourNotSupported, FlavourNotInstalled, CodeExecutionNotAllowed, SignatureMismatch, LoadFailed and others.
    """
    # Each engine costs time and memory of its own, so it is imported when it is needed.
    if "onnx" in model.flavours:
        from millgate_serving import onnx_engine  # noqa: PLC0415

        return Loaded("onnx", onnx_engine.load(model, threads))
    if "xgboost" in model.flavours:
        from millgate_serving import xgboost_engine  # noqa: PLC0415

        return Loaded("xgboost", xgboost_engine.load(model, threads))
    if "lightgbm" in model.flavours:
        from millgate_serving import lightgbm_engine  # noqa: PLC0415

        if lightgbm_engine.is_data(model):
            return Loaded("lightgbm", lightgbm_engine.load(model, threads))
    if not {"sklearn", "python_function"} & set(model.flavours):
        raise ServingError(
            Reason.FLAVOUR_NOT_SUPPORTED,
            f"the model has the flavours {', '.join(sorted(model.flavours))}; supported: onnx, xgboost, lightgbm, "
            "sklearn, python_function",
        )
    if not allow_code_execution:
        raise _not_allowed("sklearn" if "sklearn" in model.flavours else "python_function")
    return _of_code(model, threads, convert)


def _of_code(model: MlModel, threads: int, convert: Convert | None) -> Loaded:
    if "sklearn" not in model.flavours:
        from millgate_serving import pyfunc_engine  # noqa: PLC0415

        return Loaded("python_function", pyfunc_engine.load(model))
    result = None
    if convert is not None:
        result, content = convert(model.directory)
        if content:
            from millgate_serving import onnx_engine  # noqa: PLC0415

            return Loaded("sklearn", onnx_engine.of(content, model.signature, threads), result)
    from millgate_serving import sklearn_engine  # noqa: PLC0415

    return Loaded("sklearn", sklearn_engine.load(model), result)


def _not_allowed(flavour: str) -> ServingError:
    return ServingError(
        Reason.CODE_EXECUTION_NOT_ALLOWED,
        f"loading a model of the flavour {flavour} runs code from its files, which the operator's configuration does "
        "not allow: register it as ONNX, or allow it (allowCodeExecution there, MILLGATE_ALLOW_CODE_EXECUTION=true "
        "in a pod)",
    )


def not_installed(what: str, error: ImportError) -> ServingError:
    """For a flavour whose library this image does not hold."""
    message = f"this image does not serve {what} ({error.name} is missing): use the full image, or register it as ONNX"
    return ServingError(Reason.FLAVOUR_NOT_INSTALLED, message)
