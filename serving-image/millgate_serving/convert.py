"""The process that turns a scikit-learn model into ONNX: it runs the model's code, so the server need not.

Started by `converting` as `python -m millgate_serving.convert ARTEFACT DIGEST FOLDER`; its result is a file.
"""

import os
import sys
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from millgate_serving import conversion, example, mlmodel, onnx_engine, parity, probes, profile, sklearn_engine
from millgate_serving.conversion import Conversion
from millgate_serving.engine import Outputs
from millgate_serving.failure import ServingError
from millgate_serving.mlmodel import MlModel
from millgate_serving.parity import Asked, Different, Parity
from millgate_serving.probes import Probe
from millgate_serving.signature import Signature, Tensor
from millgate_serving.sklearn_engine import SklearnEngine
from millgate_serving.validation import Arrays

_GENERATED_ROWS: Final = 2000
_MESSAGE_CHARACTERS: Final = 400
_REASON_CHARACTERS: Final = 120
_NARROWED_SHARE: Final = 0.1  # of the tolerance: float32 all the way is wrong by more on some row that was not asked
_OUTPUTS: Final = {"predict": 0, "predict_proba": 1}  # where a converted classifier has that method's answer
_WIDE: Final = "double"
_NUMBERS: Final = frozenset({"float", "double", "integer", "long"})

Types = list[tuple[str, Any]]
"""Names of inputs with skl2onnx's types of them."""


def main(artefact: Path, digest: str, folder: Path) -> None:
    warnings.simplefilter("ignore")
    makers = conversion.makers()
    try:
        what, content, found = converted(mlmodel.read(artefact))
    except (Different, ServingError) as error:
        conversion.write(folder, Conversion(digest, makers, refused=str(error)[:_MESSAGE_CHARACTERS]))
        return
    difference = float(f"{found.largest_difference:.3g}")
    result = Conversion(digest, makers, conversion.digest_of(content), what, found.rows, difference)
    conversion.write(folder, result, content)


def converted(model: MlModel) -> tuple[str, bytes, Parity]:
    """The first way of feeding the model with which it converts and stays what it was. Raises Different."""
    method = sklearn_engine.method(model)
    if method not in _OUTPUTS:
        raise Different(f"'{method}' has no form in ONNX")
    trained = _Trained(model.signature, sklearn_engine.estimator(model), method, _probes(model))
    reasons = []
    for what, types in _ways(model.signature):
        wide = what.startswith(_WIDE)
        narrowed = not wide and _holds_doubles(model.signature)
        try:
            if narrowed:
                _check_rounding(trained)
            made = _to_onnx(trained.estimator, types, wide=wide)
            found = _proved(trained, made, _NARROWED_SHARE if narrowed else 1.0)
            return what, _only(made, _OUTPUTS[method]), found
        except (Different, ServingError) as error:
            reasons.append(f"{what}: {error}"[:_REASON_CHARACTERS])
        except Exception as error:  # noqa: BLE001 - a converter raises what it likes, with pages of text
            reasons.append(f"{what}: skl2onnx raised {type(error).__name__}")
    raise Different("; ".join(reasons) or "the types of its signature have no form in ONNX")


@dataclass(frozen=True, slots=True)
class _Trained:
    """What is to be converted, and what it is asked for the proof."""

    signature: Signature
    estimator: Any
    method: str
    asked: list[Probe]

    def engine(self, method: str) -> Asked:
        return Asked(SklearnEngine(getattr(self.estimator, method), self.signature), self.signature)


def _proved(trained: _Trained, made: Any, share: float) -> Parity:
    """Labels alone prove little: of thousands of rows few are near a border. Probabilities differ at once, and in each.

    `share`: of the tolerance for what is not a probability. Raises Different.
    """
    methods = [trained.method]
    if trained.method == "predict" and hasattr(trained.estimator, "predict_proba") and len(made.graph.output) > 1:
        methods.append("predict_proba")
    found = []
    for name in methods:
        converted = Asked(onnx_engine.of(_only(made, _OUTPUTS[name]), trained.signature), trained.signature)
        part = 1.0 if name == "predict_proba" else share
        found.append(parity.compare(trained.engine(name), converted, trained.asked, part))
    return Parity(found[0].rows, max(each.largest_difference for each in found))


class _Rounded(SklearnEngine):
    """The model itself, asked with numbers as float32 holds them."""

    def run(self, arrays: Arrays) -> Outputs:
        return super().run([a.astype(np.float32).astype(a.dtype) if a.dtype == np.float64 else a for a in arrays])


def _check_rounding(trained: _Trained) -> None:
    """Where float32 takes the place of a declared float64 the model itself must not care. Raises Different.

    Scores may be tiny and decide all the same: the tolerance shrinks with the range of what the model says.
    """
    names = ("predict_proba", "decision_function", "predict")
    told = next(name for name in names if hasattr(trained.estimator, name))
    rounded = _Rounded(getattr(trained.estimator, told), trained.signature)
    longest = max(trained.asked, key=lambda probe: len(probe.rows))
    answer = trained.engine(told).answer(longest.rows)
    says = np.asarray(answer[0][1]) if answer else np.zeros(1)
    share = min(1.0, float(np.ptp(says))) if says.dtype.kind == "f" else 1.0
    try:
        parity.compare(trained.engine(told), Asked(rounded, trained.signature), trained.asked, share)
    except Different as error:
        raise Different(f"rounding to float32 changes the model: {error}") from error


def _to_onnx(estimator: Any, types: Types, *, wide: bool) -> Any:
    """The same model each time: the graph's name, which would be random, is given."""
    from skl2onnx import to_onnx  # noqa: PLC0415 - seconds, and only where a model can be converted at all

    options = {"zipmap": False} if hasattr(estimator, "predict_proba") else None
    made = to_onnx(estimator, initial_types=types, name="model", options=options)
    if wide:
        _narrow_for_trees(made.graph)
    return made


def _narrow_for_trees(graph: Any) -> None:
    """scikit-learn asks trees in float32 and compares with thresholds in float64, whatever came before them.

    A tree of ONNX that is given float64 must be given the rounded number too; and it answers in float32, which skl2onnx
    forgets of regressors.
    """
    from onnx import TensorProto, helper  # noqa: PLC0415 - likewise

    trees = [node for node in graph.node if node.op_type.startswith("TreeEnsemble")]
    for number, tree in enumerate(trees):
        at, narrow, wide = list(graph.node).index(tree), f"narrow_{number}", f"wide_{number}"
        given, tree.input[0] = tree.input[0], wide
        graph.node.insert(at, helper.make_node("Cast", [narrow], [wide], to=TensorProto.DOUBLE))
        graph.node.insert(at, helper.make_node("Cast", [given], [narrow], to=TensorProto.FLOAT))
        if tree.op_type == "TreeEnsembleRegressor":
            answer, tree.output[0] = tree.output[0], f"answer_{number}"
            graph.node.insert(at + 3, helper.make_node("Cast", [f"answer_{number}"], [answer], to=TensorProto.DOUBLE))


def _only(made: Any, output: int) -> bytes:
    """With one output: what leads to no other one is left out when the model is loaded."""
    alone = type(made)()
    alone.CopyFrom(made)
    wanted = made.graph.output[output]
    del alone.graph.output[:]
    alone.graph.output.append(wanted)
    content: bytes = alone.SerializeToString(deterministic=True)
    return content


def _ways(signature: Signature) -> Iterator[tuple[str, Types]]:
    """Wide numbers before narrow ones, as float32 loses what a double says; all columns in one matrix before apart."""
    from skl2onnx.common import data_types  # noqa: PLC0415 - likewise

    types = {name: getattr(data_types, f"{word}TensorType") for name, word in _WORDS.items()}
    declared = [item.type for item in signature.inputs]
    if any(kind not in types for kind in declared) or len(signature.tensors) > 1:
        return
    for width in (_WIDE, "float") if _holds_doubles(signature) else ("float",):
        number = types[width]
        if signature.tensors:
            tensor = signature.tensors[0]
            kind = number if tensor.type.startswith("float") else types[tensor.type]
            yield f"{width} tensor", [(tensor.name or "input", kind(_shape(tensor)))]
            continue
        if set(declared) <= _NUMBERS:
            yield f"{width} matrix", [("input", number([None, len(declared)]))]
        kinds = [number if kind in {"float", "double"} else types[kind] for kind in declared]
        names = [item.name for item in signature.inputs]
        yield f"{width} columns", [(name, kind([None, 1])) for name, kind in zip(names, kinds, strict=True)]


def _holds_doubles(signature: Signature) -> bool:
    """Numbers that float32 may have to round."""
    return bool({"double", "float64", "long", "integer"} & {item.type for item in signature.inputs})


_WORDS: Final = {
    "boolean": "Boolean",
    "bool": "Boolean",
    "float": "Float",
    "float32": "Float",
    "double": "Double",
    "float64": "Double",
    "integer": "Int64",
    "long": "Int64",
    "int32": "Int32",
    "int64": "Int64",
    "string": "String",
}


def _shape(tensor: Tensor) -> list[int | None]:
    return [None if length < 0 else length for length in tensor.shape]


def _probes(model: MlModel) -> list[Probe]:
    given = example.rows(model.example) if model.example is not None else []
    described = profile.read(model.directory)
    features = described.features if described else ()
    generated = probes.generated(model.signature, given, features, _GENERATED_ROWS)
    ordinary = given[0] if given else generated[0]
    asked = [Probe(given, "the input example"), Probe(given[:1], "one row of the input example")] if given else []
    return [*asked, Probe(generated, "generated rows"), *probes.special(model.signature, ordinary)]


def _end_with_the_server() -> None:
    """Its end of the pipe is closed when it is gone, however it went."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
    os._exit(0)  # at once: nothing is left to write, and libraries take their time to go
