"""The judge of conversions: it tells any difference that a client could see, and nothing that is rounding."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millgate_serving import probes
from millgate_serving.parity import Asked, Different, compare
from millgate_serving.probes import Probe
from millgate_serving.signature import Column, Signature, Tensor
from millgate_serving.summary import Categorical, Numeric
from millgate_serving.validation import Layout, decoder

SIGNATURE = Signature((Column("x", "double", required=False),), (), "")


class Answers:
    """An engine that answers what a function says of its one column."""

    outputs = ("predictions",)
    layout = Layout((np.dtype(np.float64),), matrix=True)

    def __init__(self, answer):
        self.answer = answer

    def run(self, arrays):
        return [("predictions", self.answer(arrays[0][:, 0]))]


def judge(original, converted, rows=((1.0,), (2.0,))):
    asked = [Probe([{"x": x} for (x,) in rows], "rows")]
    return compare(Asked(Answers(original), SIGNATURE), Asked(Answers(converted), SIGNATURE), asked)


def raising(_):
    raise ValueError("no")


def only_small(x):
    if (x > 1.5).any():
        raise ValueError("too large")
    return x


SAME = [
    (lambda x: x, lambda x: x),
    (lambda x: x, lambda x: x.astype(np.float32)),
    (lambda x: x * np.nan, lambda x: x * np.nan),
    (lambda x: x > 1, lambda x: x > 1),
    (lambda x: np.where(x > 1, "a", "b"), lambda x: np.where(x > 1, "a", "b").astype(object)),
    (only_small, only_small),
]
OTHER = [
    (lambda x: x, lambda x: x + 1e-4, "2 of 2 numbers differ, by 0.0001 at most"),
    (lambda x: x, lambda x: x * np.nan, "2 of 2 numbers differ, by nan"),
    (lambda x: x > 1, lambda x: x > 2, "1 of 2 answers differ"),
    (lambda x: x, lambda x: x.astype(np.int64), "of type int64 instead of float64"),
    (lambda x: x, lambda x: x[:, None], "shape (2, 1) instead of (2,)"),
    (raising, lambda x: x, "refuses it, its ONNX form answers"),
    (only_small, lambda x: x, "refuses it, its ONNX form answers"),
    (lambda x: x, raising, "answers it, its ONNX form does not"),
    (raising, raising, "answered none of the rows"),
]


@pytest.mark.parametrize(("original", "converted"), SAME)
def test_rounding_and_the_form_of_texts_are_no_difference(original, converted):
    assert judge(original, converted).rows >= 1


@pytest.mark.parametrize(("original", "converted", "words"), OTHER)
def test_whatever_a_client_would_notice_is_a_difference(original, converted, words):
    with pytest.raises(Different) as found:
        judge(original, converted)
    assert words in str(found.value)


KINDS = ["boolean", "integer", "long", "float", "double", "string", "binary", "datetime"]
NUMBERS = {"integer", "long", "float", "double"}
DTYPES = {
    "boolean": bool,
    "integer": "int32",
    "long": "int64",
    "float": "float32",
    "double": "float64",
    "string": object,
    "binary": object,
    "datetime": "datetime64[ns]",
}
columns = st.lists(st.tuples(st.sampled_from(KINDS), st.booleans()), min_size=1, max_size=8)


@given(columns, st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=5))
def test_generated_rows_are_requests_that_the_validation_accepts(kinds, edges):
    signature = Signature(tuple(Column(f"c{n}", kind, req) for n, (kind, req) in enumerate(kinds)), (), "")
    layout = Layout(tuple(np.dtype(DTYPES[kind]) for kind, _ in kinds), missing_text=True)
    edges = tuple(sorted(set(edges)))
    described = [
        Numeric(f"c{n}", edges, (0,) * (len(edges) + 1)) for n, (kind, _) in enumerate(kinds) if kind in NUMBERS
    ]
    described += [Categorical(f"c{n}", ("DE",), (1, 0)) for n, (kind, _) in enumerate(kinds) if kind == "string"]
    rows = probes.generated(signature, [], described, 20)
    assert rows == probes.generated(signature, [], described, 20)
    no_missing = [row for row in rows if all(accepted(row[c.name], c) for c in signature.columns)]
    if no_missing:
        arrays = decoder(signature, layout)(msgspec.json.encode({"rows": no_missing}))
        assert len(arrays[0]) == len(no_missing)


def accepted(value, column) -> bool:
    """Integers and booleans have no missing value in the validation."""
    return value is not None or column.type not in {"integer", "long", "boolean"}


TENSORS = [
    (Tensor("", "float64", (-1, 3)), [[0.0, 1.0, 2.0], [1.0, 1.0, 5.0]]),
    (Tensor("", "int64", (-1, 2)), []),
    (Tensor("", "bool", (-1, 2)), []),
    (Tensor("", "str", (-1, -1)), [["a", "b"]]),
    (Tensor("", "uint8", (-1, 2, 2)), [[[0, 255], [3, 4]]]),
]


@pytest.mark.parametrize(("tensor", "example"), TENSORS)
def test_generated_tensors_have_the_shape_and_the_type_of_the_signature(tensor, example):
    signature = Signature((tensor,), (), "")
    dtype = np.dtype(object if tensor.type == "str" else tensor.type)
    rows = probes.generated(signature, example, (), 30)
    (array,) = decoder(signature, Layout((dtype,)))(msgspec.json.encode({"rows": rows}))
    assert array.shape[0] == 30
    assert array.ndim == len(tensor.shape)


def test_a_probe_changes_one_thing_of_an_ordinary_row():
    signature = Signature((Column("n", "double", required=False), Column("t", "string", required=True)), (), "")
    found = probes.special(signature, {"n": 1.0, "t": "DE"})
    assert [(probe.what, probe.rows) for probe in found] == [
        ("no value in 'n'", [{"n": None, "t": "DE"}]),
        ("an unknown text in 't'", [{"n": 1.0, "t": "?"}]),
    ]
