"""The demo's second model again, as it is and with each fault that a check must find, and rows to find it by.

Every fault is made in the graph, so that its size is known to the row. As a program it registers them in MLflow.
"""

import argparse
import hashlib
import json
import logging
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from e2e.demo import models
from e2e.demo.registry import MODEL, TAG, await_server

Json = dict[str, Any]
Rows = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

BASE = "v2.onnx"  # stable of the tests is the demo's second model
GOOD, NARROWER, LOWER, UNFAIR, SLOWER, LARGER = "good", "narrower", "lower", "unfair", "slower", "larger"
FEWER_PIXELS = 32
WRONG_SHARE = 0.03  # of the rows: what `LOWER` answers wrongly, and stable rightly
WRONG_IN_SEGMENT = 4  # one row in so many of the worst segment, for `UNFAIR`
WORK = 1024  # the side of a square matrix that is multiplied with itself for each request: several milliseconds
TABLE_BYTES = 160 << 20  # a server of the base needs about half of it
GOLDEN = 5
PRESSURES = ("light", "medium", "firm", "heavy")  # how hard a writer presses: a quarter of the rows each


@dataclass(frozen=True)
class Checked:
    """A version: its graph, and how many pixels of a row it takes."""

    name: str
    title: str
    graph: onnx.ModelProto
    pixels: int = 64


@dataclass(frozen=True)
class World:
    """Rows that no version has learned from, the truth, and what the base answers."""

    rows: Rows
    labels: Labels
    answers: Labels

    @property
    def ink(self) -> Labels:
        """The sum of a row's grey levels: what faults and segments go by, since a graph can see it."""
        sums: Labels = self.rows.sum(axis=1).astype(np.int64)
        return sums

    @property
    def segments(self) -> list[str]:
        quarters = np.searchsorted(self.quarters, self.ink, side="right")
        return [PRESSURES[quarter] for quarter in quarters]

    @property
    def quarters(self) -> Labels:
        found: Labels = np.quantile(self.ink, (0.25, 0.5, 0.75)).astype(np.int64)
        return found

    def lost(self, wrong: npt.NDArray[np.bool_]) -> float:
        """By how much the accuracy falls, as a share, when these rows are answered with the next label."""
        right = self.answers == self.labels
        gained = ~right & (((self.answers + 1) % 10) == self.labels)
        return float((right & wrong).mean() - (gained & wrong).mean())


def seen(folder: Path) -> World:
    """`folder`: the demo's trained models."""
    replayed = json.loads((folder / models.REPLAY).read_text())
    rows = np.array([row["row"] for row in replayed], np.float32)
    session = onnxruntime.InferenceSession(str(folder / BASE))
    return World(rows, np.array([row["label"] for row in replayed], np.int64), session.run(None, {"X": rows})[0])


def made(folder: Path) -> tuple[Checked, ...]:
    world = seen(folder)
    base = onnx.load(folder / BASE)
    divisor, remainder = _a_few(world)
    return (
        Checked(GOOD, "the same answers", _copy(base, "trained again on the same rows")),
        Checked(NARROWER, "the lower half of the pixels is not read any longer", _narrower(base), FEWER_PIXELS),
        Checked(LOWER, "three rows in a hundred are wrong", _wrong(base, divisor, remainder)),
        Checked(UNFAIR, "one row in four of writers who press lightly is read wrongly", _unfair(base, world)),
        Checked(SLOWER, "a layer that does nothing but work", _slower(base)),
        Checked(LARGER, "a table that a row has one entry of", _larger(base)),
    )


def _a_few(world: World) -> tuple[int, int]:
    """Rows are chosen by the remainder of their ink: the divisor and the remainder that cost about three points."""
    choices = [(divisor, remainder) for divisor in range(20, 45) for remainder in range(divisor)]
    return min(choices, key=lambda choice: abs(world.lost(world.ink % choice[0] == choice[1]) - WRONG_SHARE))


# Graphs


def _copy(base: onnx.ModelProto, doc: str) -> onnx.ModelProto:
    graph = onnx.ModelProto()
    graph.CopyFrom(base)
    graph.doc_string = doc
    return graph


class _Editing:
    """Nodes and constants that are added to a copy of the base."""

    def __init__(self, base: onnx.ModelProto, doc: str) -> None:
        self.model = _copy(base, doc)
        self._graph = self.model.graph

    def constant(self, name: str, value: npt.NDArray[Any]) -> str:
        self._graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self._graph.node.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def takes_over(self, output: str) -> str:
        """The name that the base's output gets; whoever calls this makes a new one of the old name."""
        renamed = f"{output}_of_the_base"
        for node in self._graph.node:
            for index, name in enumerate(node.output):
                if name == output:
                    node.output[index] = renamed
        return renamed

    def ink(self) -> str:
        axis = self.constant("axis", np.array([1], np.int64))
        return self.node("Cast", [self.node("ReduceSum", ["X", axis], "sum", keepdims=0)], "ink", to=TensorProto.INT64)

    def is_remainder(self, ink: str, divisor: int, remainder: int) -> str:
        left = self.node("Mod", [ink, self.constant("divisor", np.array([divisor], np.int64))], "left")
        return self.node("Equal", [left, self.constant("remainder", np.array([remainder], np.int64))], "chosen")

    def next_label_where(self, chosen: str) -> None:
        label = self.takes_over("label")
        one, ten = self.constant("one", np.array([1], np.int64)), self.constant("ten", np.array([10], np.int64))
        following = self.node("Mod", [self.node("Add", [label, one], "above"), ten], "following")
        self.node("Where", [chosen, following, label], "label")

    def idle(self, number: str) -> None:
        """Something of one number a row (or one in all) that changes no answer, but has to be worked out for it."""
        zero = self.constant("zero", np.array([0], np.float32))
        probabilities = self.takes_over("probabilities")
        self.node("Add", [probabilities, self.node("Mul", [number, zero], "naught")], "probabilities")


def _wrong(base: onnx.ModelProto, divisor: int, remainder: int) -> onnx.ModelProto:
    editing = _Editing(base, "some labels are off by one")
    editing.next_label_where(editing.is_remainder(editing.ink(), divisor, remainder))
    return editing.model


def _unfair(base: onnx.ModelProto, world: World) -> onnx.ModelProto:
    editing = _Editing(base, "light writers are read wrongly")
    ink = editing.ink()
    below = editing.node("Less", [ink, editing.constant("light", np.array([world.quarters[0]], np.int64))], "below")
    chosen = editing.is_remainder(ink, WRONG_IN_SEGMENT, 0)
    editing.next_label_where(editing.node("And", [below, chosen], "unlucky"))
    return editing.model


def _slower(base: onnx.ModelProto) -> onnx.ModelProto:
    """The product of two square matrices for each request, one of which depends on it: no optimiser can fold it."""
    editing = _Editing(base, "works for nothing")
    everything = editing.node("ReduceMean", ["X"], "mean", keepdims=0)
    random = np.random.default_rng(0)
    square = random.random((WORK, WORK), np.float32) / WORK
    shifted = editing.node("Add", [editing.constant("square", square), everything], "shifted")
    product = editing.node("MatMul", [shifted, shifted], "product")
    editing.idle(editing.node("ReduceMean", [product], "worked", keepdims=0))
    return editing.model


def _larger(base: onnx.ModelProto) -> onnx.ModelProto:
    editing = _Editing(base, "has outgrown its server")
    entries = TABLE_BYTES // 4 // 64
    table = editing.constant("table", np.random.default_rng(0).random((entries, 64), np.float32))
    place = editing.node("Mod", [editing.ink(), editing.constant("entries", np.array([entries], np.int64))], "place")
    entry = editing.node("Gather", [table, place], "entry", axis=0)
    last = editing.constant("last", np.array([1], np.int64))
    editing.idle(editing.node("ReduceMax", [entry, last], "largest", keepdims=1))
    return editing.model


def _narrower(base: onnx.ModelProto) -> onnx.ModelProto:
    """The other pixels are taken to be blank."""
    graph = _copy(base, "half of the pixels").graph
    given = helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, FEWER_PIXELS])
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == "X":
                node.input[index] = "all"
    pads = numpy_helper.from_array(np.array([0, 0, 0, 64 - FEWER_PIXELS], np.int64), "pads")
    nodes = [helper.make_node("Pad", ["X", "pads"], ["all"]), *graph.node]
    narrower = helper.make_graph(nodes, graph.name, [given], graph.output, [*graph.initializer, pads])
    return helper.make_model(narrower, opset_imports=_opsets(base), ir_version=base.ir_version)


def _opsets(base: onnx.ModelProto) -> list[onnx.OperatorSetIdProto]:
    known = {opset.domain: opset.version for opset in base.opset_import}
    return [helper.make_opsetid(domain, version) for domain, version in known.items()]


# Registering


def held_out(folder: Path, world: World, pixels: int) -> None:
    """What a model ships for its checks: rows with the truth and a segment, and golden requests."""
    checks = folder / "millgate" / "checks"
    checks.mkdir(parents=True)
    lines = [
        {"input": row[:pixels].tolist(), "label": int(label), "pressure": segment}
        for row, label, segment in zip(world.rows, world.labels, world.segments, strict=True)
    ]
    (checks / "evaluation.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    chosen = _golden(world)
    rows = [world.rows[index, :pixels].tolist() for index in chosen]
    case = {"name": "known digits", "rows": rows, "predictions": [int(world.answers[index]) for index in chosen]}
    (checks / "golden.json").write_text(json.dumps({"cases": [case]}))


def _golden(world: World) -> list[int]:
    """One that `LOWER` answers wrongly is among them."""
    divisor, remainder = _a_few(world)
    wrong = np.flatnonzero(world.ink % divisor == remainder)
    return [*range(GOLDEN - 1), int(wrong[0])]


def register(uri: str, folder: Path, mlflow: Any) -> Mapping[str, str]:
    """The registry's version of each, by its name; those that are there already with the same bytes are used again."""
    await_server(uri, deadline_seconds=180)
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient()
    known = {version.tags.get(TAG): version.version for version in client.search_model_versions(f"name='{MODEL}'")}
    world, versions = seen(folder), {}
    source = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    for checked in made(folder):
        digest = hashlib.sha256(checked.graph.SerializeToString(deterministic=True) + source.encode()).hexdigest()
        versions[checked.name] = str(known.get(digest) or _register(mlflow, checked, world, digest))
    return versions


def _register(mlflow: Any, checked: Checked, world: World, digest: str) -> str:
    example = world.rows[:2, : checked.pixels]
    mlflow.set_experiment(MODEL)
    with mlflow.start_run(run_name=checked.title):
        info = mlflow.onnx.log_model(
            checked.graph,
            name="model",
            signature=mlflow.models.infer_signature(example[:1], {"label": example[:1, 0].astype("int64")}),
            input_example=example,
            pip_requirements=[],
            onnx_execution_providers=["CPUExecutionProvider"],
            save_as_external_data=False,
        )
    client = mlflow.MlflowClient()
    with tempfile.TemporaryDirectory() as text:
        held_out(Path(text), world, checked.pixels)
        client.log_model_artifacts(info.model_id, text)
    version = str(mlflow.register_model(info.model_uri, MODEL).version)
    client.set_model_version_tag(MODEL, version, TAG, digest)
    client.update_model_version(MODEL, version, description=checked.title)
    return version


def main() -> None:
    """The address comes by standard input, as for `e2e.demo.registry`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder.absolute()
    os.environ |= {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
    import mlflow  # noqa: PLC0415  after its settings

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    uri = sys.stdin.readline().strip()
    os.chdir(folder)  # MLflow adds the lock file of a project that it is started in to every model
    print(json.dumps(register(uri, folder, mlflow)))


if __name__ == "__main__":
    main()
