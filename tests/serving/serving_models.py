"""Small real models, saved by MLflow itself: what users register, with the faults that they register too."""

import warnings
from pathlib import Path

import mlflow
import numpy as np
import onnx
import onnxruntime
import pandas as pd
from mlflow.models import ModelSignature, infer_signature
from mlflow.types.schema import ColSpec, Schema
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

RANDOM = np.random.default_rng(7)
FRAME = pd.DataFrame(RANDOM.normal(size=(200, 4)), columns=list("abcd"))
TARGET = (FRAME["a"] > 0).astype(int).to_numpy()
MIXED = pd.DataFrame(
    {
        "amount": RANDOM.normal(size=200),
        "items": RANDOM.integers(0, 9, 200),
        "country": RANDOM.choice(["DE", "FR"], 200),
    }
)


def numbers() -> dict:
    """Four double columns in front of one float32 matrix: the usual case."""
    model = LogisticRegression().fit(FRAME.to_numpy(), TARGET)
    graph = to_onnx(model, FRAME.to_numpy(np.float32)[:1], options={"zipmap": False})
    return {
        "onnx_model": graph,
        "signature": infer_signature(FRAME, model.predict(FRAME.to_numpy())),
        "input_example": FRAME.head(3),
    }


def tensor() -> dict:
    """One unnamed float32 tensor, and ZipMap's list of maps as second output."""
    values = FRAME.to_numpy(np.float32)
    model = LogisticRegression().fit(values, TARGET)
    return {
        "onnx_model": to_onnx(model, values[:1]),
        "signature": infer_signature(values, model.predict(values)),
        "input_example": values[:3],
    }


def mixed() -> dict:
    """It raises on a country that it was not trained with: the fault that real teams meet."""
    encoder = make_column_transformer(
        (StandardScaler(), ["amount"]), (OneHotEncoder(handle_unknown="error"), ["country"]), ("passthrough", ["items"])
    )
    model = make_pipeline(encoder, LogisticRegression()).fit(MIXED, TARGET)
    graph = to_onnx(model, MIXED[:1], options={"zipmap": False})
    return {
        "onnx_model": graph,
        "signature": infer_signature(MIXED, model.predict(MIXED)),
        "input_example": MIXED.head(3),
    }


def mixed_with_broken_example() -> dict:
    return mixed() | {"input_example": MIXED.head(1).assign(country="US")}


def mixed_without_example() -> dict:
    """Nothing tells which countries it knows."""
    return {name: value for name, value in mixed().items() if name != "input_example"}


def without_signature() -> dict:
    return {"onnx_model": numbers()["onnx_model"]}


TYPES = {
    "boolean": TensorProto.BOOL,
    "integer": TensorProto.INT32,
    "long": TensorProto.INT64,
    "float": TensorProto.FLOAT,
    "double": TensorProto.DOUBLE,
    "string": TensorProto.STRING,
}


def every_type() -> dict:
    """One column of each type that ONNX knows, echoed; and one double that may be missing."""
    columns = TYPES | {"optional": TensorProto.DOUBLE}
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in columns]
    inputs = [helper.make_tensor_value_info(name, kind, [None, 1]) for name, kind in columns.items()]
    outputs = [helper.make_tensor_value_info(f"{name}_out", kind, [None, 1]) for name, kind in columns.items()]
    graph = helper.make_graph(nodes, "echo", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    specs = [ColSpec(type=kind, name=kind) for kind in TYPES]
    specs.append(ColSpec(type="double", name="optional", required=False))
    return {"onnx_model": model, "signature": ModelSignature(Schema(specs), Schema([ColSpec("double", "out")]))}


def rounds() -> dict:
    """As slow as its first column says, a million rounds are about half a second; `share` is answered as it came."""
    loop = helper.make_graph(
        [helper.make_node("Identity", ["go_on"], ["goes_on"]), helper.make_node("Sin", ["x"], ["y"])],
        "round",
        [
            helper.make_tensor_value_info("number", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.DOUBLE, None),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("y", TensorProto.DOUBLE, None),
        ],
    )
    nodes = [
        helper.make_node("ReduceMax", ["rounds"], ["trips"], keepdims=0),
        helper.make_node("Constant", [], ["true"], value=helper.make_tensor("true", TensorProto.BOOL, [], [True])),
        helper.make_node("Loop", ["trips", "true", "share"], ["sine"], body=loop),
        helper.make_node("Identity", ["share"], ["shared"]),
    ]
    columns = {"rounds": TensorProto.INT64, "share": TensorProto.DOUBLE}
    inputs = [helper.make_tensor_value_info(name, kind, [None, 1]) for name, kind in columns.items()]
    outputs = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, [None, 1]) for name in ("shared", "sine")]
    graph = helper.make_graph(nodes, "rounds", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    specs = [ColSpec(type="long", name="rounds"), ColSpec(type="double", name="share")]
    return {"onnx_model": model, "signature": ModelSignature(Schema(specs), Schema([ColSpec("double", "shared")]))}


class Sleepy(ClassifierMixin, BaseEstimator):
    """Sleeps as many seconds as the first column says, and raises on negative ones."""

    def fit(self, frame, target):  # noqa: ARG002
        self.classes_ = [0, 1]
        return self

    def predict(self, frame):
        import time  # noqa: PLC0415 - pickled by value into the server's process

        seconds = float(frame["seconds"].iloc[0])
        if seconds < 0:
            raise ValueError(f"cannot sleep for {seconds} seconds")
        time.sleep(seconds)
        return [1] * len(frame)


def save_sleepy(folder: Path) -> Path:
    import cloudpickle  # noqa: PLC0415
    import serving_models  # noqa: PLC0415 - this module, by value

    cloudpickle.register_pickle_by_value(serving_models)
    example = pd.DataFrame({"seconds": [0.0], "name": ["x"]})
    with warnings.catch_warnings(action="ignore"):
        mlflow.sklearn.save_model(
            Sleepy().fit(None, None),
            folder,
            serialization_format="cloudpickle",
            signature=infer_signature(example, np.array([1])),
            input_example=example,
            pip_requirements=[],
        )
    return folder


def save(arguments: dict, folder: Path) -> Path:
    """As MLflow writes it to disk: what an image with the model baked in holds."""
    with warnings.catch_warnings(action="ignore"):
        mlflow.onnx.save_model(**arguments, path=folder, pip_requirements=[])
    return folder


def register(name: str, arguments: dict) -> str:
    """A new version in the registry of the tracking URI; the version's `source`."""
    with warnings.catch_warnings(action="ignore"):
        info = mlflow.onnx.log_model(**arguments, name="model", registered_model_name=name, pip_requirements=[])
    return f"models:/{info.model_id}"


def expected_label(row: dict) -> int:
    """What ONNX Runtime itself answers for `numbers`."""
    session = onnxruntime.InferenceSession(numbers()["onnx_model"].SerializeToString())
    return int(session.run(None, {"X": np.array([list(row.values())], np.float32)})[0][0])
