"""Small models whose faults are known to the row, with held-out rows beside them: what a check has to tell apart."""

import csv
import json
import warnings
from collections.abc import Callable
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
GROUPS = 4


def linear(weights: tuple[float, ...] = WEIGHTS, *, work: int = 0, ballast_bytes: int = 0) -> onnx.ModelProto:
    """`predictions` is 1 where the weighted sum is positive; `score` is the sum. `work`: matrices of 256 x 256 that a
    row is sent through, `ballast_bytes`: numbers that the model holds and hardly uses.
    """
    constants = {"weights": np.array(weights, np.float32).reshape(-1, 1), "zero": np.zeros((1,), np.float32)}
    nodes = [helper.make_node("MatMul", ["X", "weights"], ["sum"])]
    total = "sum"
    if work:
        constants |= {"wide": np.zeros((1, 256), np.float32), "matrix": np.eye(256, dtype=np.float32)}
        constants |= {"narrow": np.zeros((256, 1), np.float32)}
        nodes.append(helper.make_node("MatMul", ["sum", "wide"], ["h0"]))
        nodes += [helper.make_node("MatMul", [f"h{n}", "matrix"], [f"h{n + 1}"]) for n in range(work)]
        nodes += [helper.make_node("MatMul", [f"h{work}", "narrow"], ["nothing"])]
        nodes += [helper.make_node("Add", ["sum", "nothing"], ["worked"])]
        total = "worked"
    if ballast_bytes:
        constants["ballast"] = np.random.default_rng(1).random((4, ballast_bytes // 16), np.float32)
        constants["last"] = np.array([[0]], np.int64)
        nodes += [helper.make_node("MatMul", ["X", "ballast"], ["filled"])]
        nodes += [helper.make_node("ReduceMin", ["filled"], ["least"], axes=[1], keepdims=1)]
        nodes += [helper.make_node("Mul", ["least", "zero"], ["naught"])]
        nodes += [helper.make_node("Add", [total, "naught"], ["loaded"])]
        del constants["last"]
        total = "loaded"
    nodes += [
        helper.make_node("Identity", [total], ["score"]),
        helper.make_node("Greater", [total, "zero"], ["positive"]),
        helper.make_node("Cast", ["positive"], ["predictions"], to=TensorProto.INT64),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, len(weights)])],
        [
            helper.make_tensor_value_info("predictions", TensorProto.INT64, [None, 1]),
            helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, 1]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def rows(count: int, seed: int = 3) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(random.normal(size=(count, len(NAMES))), columns=list(NAMES))
    frame["group"] = random.integers(0, GROUPS, count).astype(float)
    return frame


def truth(frame: pd.DataFrame) -> np.ndarray:
    return (frame[list(NAMES)].to_numpy(np.float32) @ np.array(WEIGHTS, np.float32) > 0).astype(int)


def save(folder: Path, graph: onnx.ModelProto, names: tuple[str, ...] = NAMES, *, example: bool = True) -> Path:
    signature = ModelSignature(
        Schema([ColSpec("double", name) for name in names]), Schema([ColSpec("long", "predictions")])
    )
    shown = pd.DataFrame([[0.5] * len(names)], columns=list(names)) if example else None
    with warnings.catch_warnings(action="ignore"):
        mlflow.onnx.save_model(graph, folder, signature=signature, input_example=shown, pip_requirements=[])
    return folder


def evaluation(folder: Path, frame: pd.DataFrame, **columns: object) -> None:
    """Rows and what is beside them, as CSV in the artefact."""
    target = folder / "millgate/checks"
    target.mkdir(parents=True, exist_ok=True)
    frame.assign(**columns).to_csv(target / "evaluation.csv", index=False, quoting=csv.QUOTE_MINIMAL)


def golden(folder: Path, *cases: dict) -> None:
    target = folder / "millgate/checks"
    target.mkdir(parents=True, exist_ok=True)
    (target / "golden.json").write_text(json.dumps({"cases": list(cases)}))


def flipped(labels: np.ndarray, chosen: Callable[[int], bool]) -> np.ndarray:
    """The truth as a noisy world has it: the rows that `chosen` names have the other label."""
    return np.array([1 - label if chosen(index) else label for index, label in enumerate(labels)])
