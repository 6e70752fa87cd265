"""What is fuzzed: any bytes, read by every codec for models of every kind, answered by a model that echoes.

Run by `e2e.hunts.fuzz` in an environment of its own, where atheris instruments the server's modules. A body must become
arrays that the model may be given, or a refusal; whatever else happens ends the run as a crash.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import atheris

with atheris.instrument_imports(include=["millgate_serving"]):
    from millgate_serving import fields, validation
    from millgate_serving.constraints import NONE, Constraints, InputRules
    from millgate_serving.engine import Outputs
    from millgate_serving.loading import ReadyModel
    from millgate_serving.measured import Measured
    from millgate_serving.mlmodel import MlModel
    from millgate_serving.predict_json import PredictJson
    from millgate_serving.predicting import Codec
    from millgate_serving.refusal import Refusal
    from millgate_serving.signature import Column, Signature, Tensor
    from millgate_serving.v2 import V2
    from millgate_serving.validation import Arrays, Layout

import numpy as np

REFUSALS = {400, 413, 415}
LONGEST_MESSAGE = 1000
HEAD = 3
SECRET = "4111-1111-1111-1111"


@dataclass(frozen=True)
class Echo:
    """Answers what it is asked."""

    layout: Layout
    outputs: tuple[str, ...]

    def run(self, arrays: Arrays) -> Outputs:
        return list(zip(self.outputs, arrays, strict=True))


def _ready(inputs: tuple[Column | Tensor, ...], layout: Layout, rules: Constraints = NONE) -> ReadyModel:
    signature = Signature(inputs, (), "")
    echo = Echo(layout, tuple(f"out{n}" for n in range(1 if layout.matrix else len(inputs))))
    return ReadyModel(
        MlModel(Path(), {}, signature, None, "", ""),
        "onnx",
        "",
        validation.decoder(signature, layout, rules),
        echo,
        Measured("none"),
        rules,
        fields.fields(signature, layout, rules),
    )


def _dtypes(*names: str) -> tuple[np.dtype[Any], ...]:
    return tuple(np.dtype(name) for name in names)


_COLUMNS = (
    Column("a", "double", required=False),
    Column("b", "integer", required=True),
    Column("c", "string", required=True),
    Column("d", "boolean", required=True),
    Column("e", "datetime", required=False),
    Column("f", "binary", required=False),
)
_RULES = Constraints(
    inputs={"a": InputRules(minimum=0), "c": InputRules(enum=("x", "yy")), "f": InputRules(max_length=4)},
    extra_fields="ignore",
)
_KINDS = _dtypes("f4", "i4", "O", "?", "datetime64[ns]", "O")
_NUMBERS = (Column("a", "double", required=True), Column("b", "double", required=False))
_TENSORS = (Tensor("a", "int64", (-1, 2)), Tensor("b", "uint64", (-1, -1)), Tensor("c", "str", (-1,)))
MODELS = [
    _ready(_COLUMNS, Layout(_KINDS, missing_text=True)),
    _ready(_COLUMNS, Layout(_KINDS, missing_text=True), _RULES),
    _ready(_NUMBERS, Layout(_dtypes("f4", "f4"), matrix=True)),
    _ready((Tensor("", "float32", (-1, 2, -1)),), Layout(_dtypes("f4"))),
    _ready(_TENSORS, Layout(_dtypes("i8", "u8", "O"))),
]
CODECS: list[tuple[ReadyModel, Codec]] = [
    pair
    for ready in MODELS
    for pair in ((ready, PredictJson(ready.decode, "fraud", "8")), (ready, V2(ready, "fraud", "8")))
]


class BrokenError(Exception):
    """A decoder has let through, or told, what it must not."""


def _must(holds: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not holds:
        raise BrokenError(what)


def one_input(data: bytes) -> None:
    """The first byte chooses the codec, the second and third how much of a body is JSON (0: all of it)."""
    if len(data) < HEAD:
        return
    ready, codec = CODECS[data[0] % len(CODECS)]
    length, body = data[1] | data[2] << 8, data[HEAD:]
    headers = {b"inference-header-content-length": b"%d" % length} if length else {}
    try:
        call = codec.decode(body, headers)
    except Refusal as refusal:
        _must(refusal.status in REFUSALS, "a refusal is a 4xx")
        _must(len(refusal.message) < LONGEST_MESSAGE, "a refusal is short")
        # The name of an unknown field is told, and a mutation may have made one of the secret.
        is_name = "unknown field '" in refusal.message
        _must(is_name or SECRET not in refusal.message, "a refusal repeats no value")
        return
    for array, dtype in zip(call.arrays, ready.engine.layout.dtypes, strict=False):
        _must(array.dtype == dtype, "an array has the type that the engine wants")
        _must(len(array) == call.rows, "all arrays have one length")
        _must(array.dtype.kind != "f" or not np.isinf(array).any(), "no number is infinite")
    codec.encode(ready.predict(call.arrays), call, "id")


# Mutations of libFuzzer break JSON nearly always; every second one changes its meaning instead.

VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1,
    1.5,
    1e39,
    2**31,
    2**63,
    2**64,
    "",
    "x",
    "yy",
    SECRET,
    "aGk=",
    [],
    {},
    [1],
)
NAMES = ("a", "b", "c", "d", "e", "f", "input", "out0", "rows", "columns", "name", "shape", "datatype", "data", "id")
TYPES = ("FP64", "FP32", "FP16", "INT8", "INT32", "INT64", "UINT64", "BOOL", "BYTES")


def mutated(data: bytes, max_size: int, seed: int) -> bytes:
    random = Random(seed)  # noqa: S311 - not a secret
    length = int.from_bytes(data[1:HEAD], "little")
    end = HEAD + length if length else len(data)
    if len(data) > HEAD and random.random() < 0.5:
        try:
            document = _changed(json.loads(data[HEAD:end]), random)
            text = json.dumps(document).encode()[:0xFFFF]
            return (data[:1] + (len(text) if length else 0).to_bytes(2, "little") + text + data[end:])[:max_size]
        except (ValueError, RecursionError):
            pass
    found: bytes = atheris.Mutate(data, max_size)
    return found


def _changed(node: Any, random: Random) -> Any:
    """One place of a document replaced, doubled, left out, or given another name."""
    if not node or not isinstance(node, list | dict) or random.random() < 0.2:
        return random.choice((*VALUES, random.choice(TYPES), random.choice(NAMES), [node, node]))
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    key, what = random.choice(keys), random.random()
    changed: Any = node.copy()
    if what < 0.1:
        del changed[key]
    elif what < 0.2 and isinstance(node, dict):
        changed[random.choice(NAMES)] = node[key]
    elif what < 0.2:
        changed.append(node[key])
    else:
        changed[key] = _changed(node[key], random)
    return changed


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input, custom_mutator=mutated)
    atheris.Fuzz()
