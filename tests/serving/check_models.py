"""Small models whose faults are known to the row, and the rows that show them: what checks have to tell apart."""

import json
import warnings
from pathlib import Path

import mlflow
import numpy as np
import onnx
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types.schema import ColSpec, Schema
from onnx import TensorProto, helper, numpy_helper

NAMES = ("age", "amount", "rate", "group")
WEIGHTS = (1.0, -1.0, 0.5, 0.0)
SHARES = (0.4, 0.3, 0.24, 0.06)  # of the groups 0 to 3


def linear(
    weights: tuple[float, ...] = WEIGHTS, *, last_group: float = 0.0, work: int = 0, ballast_bytes: int = 0
) -> onnx.ModelProto:
    """`predictions` is 1 where the weighted sum is positive, `score` is the sum.

    `last_group`: what is added where the last column is 3. `work`: matrices of 256 x 256 that a row is sent through.
    `ballast_bytes`: numbers that the model holds to no use.
    """
    constants = {
        "weights": np.array(weights, np.float32).reshape(-1, 1),
        "zero": np.zeros((1,), np.float32),
        "last": np.array([len(weights) - 1], np.int64),
        "limit": np.array([2.5], np.float32),
        "bias": np.array([last_group], np.float32),
        "wide": np.zeros((1, 256), np.float32),
        "matrix": np.eye(256, dtype=np.float32),
        "narrow": np.zeros((256, 1), np.float32),
        "ballast": np.random.default_rng(1).random(2 + ballast_bytes // 4, np.float32),
        "pages": np.arange(0, 1 + ballast_bytes // 4, 1024, np.int64),
    }
    nodes = [
        helper.make_node("MatMul", ["X", "weights"], ["sum"]),
        helper.make_node("Gather", ["X", "last"], ["group"], axis=1),
        helper.make_node("Greater", ["group", "limit"], ["in_group"]),
        helper.make_node("Cast", ["in_group"], ["indicator"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["indicator", "bias"], ["added"]),
        helper.make_node("MatMul", ["sum", "wide"], ["h0"]),
        *(helper.make_node("MatMul", [f"h{step}", "matrix"], [f"h{step + 1}"]) for step in range(work)),
        helper.make_node("MatMul", [f"h{work}", "narrow"], ["worked"]),
        # One number of each page, by the input: what constants pick is picked when the model is loaded, and what is
        # never touched is never read from the file.
        helper.make_node("Cast", ["in_group"], ["place"], to=TensorProto.INT64),
        helper.make_node("Add", ["pages", "place"], ["places"]),
        helper.make_node("Gather", ["ballast", "places"], ["touched"], axis=0),
        helper.make_node("ReduceMin", ["touched"], ["picked"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["picked", "zero"], ["nothing"]),
        helper.make_node("Sum", ["sum", "added", "worked", "nothing"], ["score"]),
        helper.make_node("Greater", ["score", "zero"], ["positive"]),
        helper.make_node("Cast", ["positive"], ["predictions"], to=TensorProto.INT64),
    ]
    return _model(nodes, [("predictions", TensorProto.INT64), ("score", TensorProto.FLOAT)], len(weights), constants)


def picky() -> onnx.ModelProto:
    """Raises where `group`, the last column, is beyond 0 to 3: its embedding has four entries."""
    constants = {"last": np.array([3], np.int64), "table": np.zeros((4,), np.float32)}
    nodes = [
        helper.make_node("Gather", ["X", "last"], ["group"], axis=1),
        helper.make_node("Cast", ["group"], ["place"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "place"], ["score"], axis=0),
        helper.make_node("Cast", ["score"], ["predictions"], to=TensorProto.INT64),
    ]
    return _model(nodes, [("predictions", TensorProto.INT64), ("score", TensorProto.FLOAT)], len(NAMES), constants)


def root() -> onnx.ModelProto:
    """The square root of the first column: NaN where that is negative."""
    constants = {"place": np.array([0], np.int64)}
    nodes = [
        helper.make_node("Gather", ["X", "place"], ["value"], axis=1),
        helper.make_node("Sqrt", ["value"], ["predictions"]),
    ]
    return _model(nodes, [("predictions", TensorProto.FLOAT)], len(NAMES), constants)


def regression(factor: float = 1.0) -> onnx.ModelProto:
    """The weighted sum itself, times `factor`."""
    constants = {"weights": factor * np.array(WEIGHTS, np.float32).reshape(-1, 1)}
    nodes = [helper.make_node("MatMul", ["X", "weights"], ["predictions"])]
    return _model(nodes, [("predictions", TensorProto.FLOAT)], len(NAMES), constants)


def words() -> onnx.ModelProto:
    """'yes' where the first column is positive, else 'no'."""
    constants = {"place": np.array([0], np.int64), "zero": np.zeros((1,), np.float32)}
    constants |= {"yes": np.array(["yes"], object), "no": np.array(["no"], object)}
    nodes = [
        helper.make_node("Gather", ["X", "place"], ["value"], axis=1),
        helper.make_node("Greater", ["value", "zero"], ["positive"]),
        helper.make_node("Where", ["positive", "yes", "no"], ["predictions"]),
    ]
    return _model(nodes, [("predictions", TensorProto.STRING)], len(NAMES), constants)


def _model(nodes: list, outputs: list[tuple[str, int]], width: int, constants: dict[str, np.ndarray]):
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info(name, kind, [None, 1]) for name, kind in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def save(folder: Path, graph: onnx.ModelProto, inputs: list[ColSpec] | None = None, output: str = "long") -> Path:
    """As MLflow writes it, with one row of ones as input example."""
    columns = inputs or [ColSpec("double", name) for name in NAMES]
    signature = ModelSignature(Schema(columns), Schema([ColSpec(output, "predictions")]))
    example = pd.DataFrame({column.name: np.ones(1, column.type.to_numpy()) for column in columns})
    with warnings.catch_warnings(action="ignore"):
        mlflow.onnx.save_model(graph, folder, signature=signature, input_example=example, pip_requirements=[])
    return folder


def rows(count: int, seed: int = 3) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(random.normal(size=(count, len(NAMES))), columns=list(NAMES))
    frame["group"] = random.choice(len(SHARES), count, p=SHARES).astype(float)
    return frame


def truth(frame: pd.DataFrame) -> np.ndarray:
    """What a model with the usual weights answers."""
    return (frame[list(NAMES)].to_numpy(np.float32) @ np.array(WEIGHTS, np.float32) > 0).astype(int)


def labelled(count: int) -> pd.DataFrame:
    """With labels of a noisy world: every twentieth one is not what the usual model says, so its accuracy is 95 %."""
    frame = rows(count)
    labels = truth(frame)
    labels[::20] = 1 - labels[::20]
    return frame.assign(label=labels)


def golden(folder: Path, *cases: dict) -> Path:
    path = folder / "golden.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"format": 1, "cases": cases}))
    return path
