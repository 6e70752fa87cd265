"""The first predictions, before any client's: a server is ready when its model has answered a real request."""

import math
import time
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from millgate_serving import example, probes, profile
from millgate_serving.engine import Engine, Outputs
from millgate_serving.failure import Reason, ServingError
from millgate_serving.logs import described, log
from millgate_serving.measured import Answered
from millgate_serving.mlmodel import MlModel
from millgate_serving.refusal import Refusal
from millgate_serving.validation import Decode

_GENERATED_ROWS: Final = 64
_SETTLED_RUNS: Final = 20
_SETTLED_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class WarmedUp:
    """The request that was answered; `by_example` says whether it was the model's own. `seconds` is for one call."""

    answered: Answered
    by_example: bool
    seconds: float


def warm_up(model: MlModel, decode: Decode, engine: Engine) -> WarmedUp:
    """Raises ServingError InputExampleFailed: with an example that must be answered, without one some row must."""
    by_example = model.example is not None
    if model.example is not None:
        answered = _answer_example(example.request_body(model.example), decode, engine)
    else:
        answered = _answer_generated(model, decode, engine)
    return WarmedUp(answered, by_example, _settled(engine, answered))


def _answer_example(body: bytes, decode: Decode, engine: Engine) -> Answered:
    try:
        return _answer(body, decode, engine)
    except ServingError:
        raise
    except Refusal as error:
        message = f"the model's own input example does not fit its signature: {error.message}"
        raise ServingError(Reason.INPUT_EXAMPLE_FAILED, message) from error
    except Exception as error:
        log("input example failed", level="error", **described(error))
        message = f"the model raised {type(error).__name__} on its own input example"
        raise ServingError(Reason.INPUT_EXAMPLE_FAILED, message) from error


def _answer_generated(model: MlModel, decode: Decode, engine: Engine) -> Answered:
    """A model may well raise on a row that was made up, so one that it answers is enough."""
    profiled = profile.read(model.directory)
    features = profiled.features if profiled else ()
    failure: Exception | None = None
    for row in probes.generated(model.signature, [], features, _GENERATED_ROWS):
        try:
            return _answer(msgspec.json.encode({"rows": [row]}), decode, engine)
        except ServingError:
            raise
        except Exception as error:  # noqa: BLE001 - a model may raise anything, and has rules that rows may break
            failure = error
    if failure is not None:
        log("generated rows failed", level="error", **described(failure))
    raise ServingError(
        Reason.INPUT_EXAMPLE_FAILED,
        f"the model has no input example and answered none of {_GENERATED_ROWS} rows made from its signature, so "
        "nothing shows that it works: log it with input_example=…",
    )


def _answer(body: bytes, decode: Decode, engine: Engine) -> Answered:
    arrays = decode(body)
    outputs = engine.run(arrays)
    _check_sendable(outputs)
    return Answered(arrays, outputs)


def _check_sendable(outputs: Outputs) -> None:
    """A model whose answer has no form in JSON would fail each request."""
    for name, values in outputs:
        try:
            msgspec.json.encode(values.tolist() if isinstance(values, np.ndarray) else values)
        except (TypeError, ValueError) as error:
            message = f"the model's answer '{name[:64]}' has no form in JSON"
            raise ServingError(Reason.INPUT_EXAMPLE_FAILED, message) from error


def _settled(engine: Engine, answered: Answered) -> float:
    """The first calls of a library allocate and compile; no client should wait for that. Seconds of the fastest."""
    started, fastest = time.monotonic(), math.inf
    for _ in range(_SETTLED_RUNS):
        began = time.monotonic()
        engine.run(answered.arrays)
        ended = time.monotonic()
        fastest = min(fastest, ended - began)
        if ended - started > _SETTLED_SECONDS:
            break
    return fastest
