"""Requests of the Open Inference Protocol as data: the same values as on /predict, and any bytes at all."""

import json
import string
from datetime import datetime

import numpy as np
import pytest
from decoded import SECRET, decoded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millgate_serving import validation
from millgate_serving.constraints import NONE, Constraints, InputRules
from millgate_serving.datatypes import BYTES, DTYPES
from millgate_serving.fields import Layout, fields
from millgate_serving.refusal import Refusal
from millgate_serving.signature import Column, Signature, Tensor
from millgate_serving.v2_inputs import Inputs
from millgate_serving.v2_request import HEADER_LENGTH, read

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
DOUBLE = st.floats(allow_nan=False, allow_infinity=False)
INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
MOMENTS = st.datetimes(datetime(1678, 1, 1), datetime(2261, 12, 31)).map(datetime.isoformat)  # noqa: DTZ001


class Kind:
    """A model's inputs with a strategy for the values of a row of each."""

    def __init__(self, items, dtypes, values, *, matrix=False, missing_text=False, rules=NONE, ignore_extra=False):
        self.items, self.values = items, values
        signature = Signature(tuple(items), (), "")
        layout = Layout(tuple(np.dtype(kind) for kind in dtypes), matrix=matrix, missing_text=missing_text)
        self.fields = fields(signature, layout, rules)
        self.predict = validation.decoder(signature, layout, rules)
        self.inputs = Inputs(self.fields, columns=bool(signature.columns), matrix=matrix, ignore_extra=ignore_extra)
        self.names = [field.name for field in self.fields]

    def rows(self):
        return st.lists(st.tuples(*self.values), min_size=1, max_size=4)

    def v2(self, content, headers):
        request, blobs = read(content, headers)
        return self.inputs.read(request.inputs, blobs)[0]


def column(name, kind, *, required=True):
    return Column(name, kind, required=required)


KINDS = {
    "numbers side by side": Kind(
        [column("a", "double"), column("b", "double", required=False)],
        ["f4", "f4"],
        [FLOAT32, st.none() | FLOAT32],
        matrix=True,
    ),
    "columns apart": Kind(
        [column("n", "integer"), column("l", "long"), column("f", "boolean"), column("t", "string")],
        ["i4", "i8", "?", "O"],
        [INT32, INT64, st.booleans(), st.text()],
    ),
    "texts that may be missing": Kind(
        [column("t", "string", required=False), column("at", "datetime", required=False)],
        ["O", "M8[ns]"],
        [st.none() | st.text(), st.none() | MOMENTS],
        missing_text=True,
    ),
    "one tensor": Kind([Tensor("", "float64", (-1, 2, 2))], ["f8"], [st.just(0.0)]),
    "tensors by name": Kind(
        [Tensor("x", "int64", (-1, 2)), Tensor("y", "float32", (-1, 1))],
        ["i8", "f4"],
        [st.lists(INT64, min_size=2, max_size=2), st.lists(FLOAT32, min_size=1, max_size=1)],
    ),
    "rules": Kind(
        [column("a", "double"), column("b", "double")],
        ["f4", "f4"],
        [st.floats(0, 1, width=32), st.sampled_from([1.0, 2.5])],
        matrix=True,
        rules=Constraints({"a": InputRules(minimum=0, maximum=1), "b": InputRules(enum=(1.0, 2.5))}),
    ),
}
COLUMNS = [name for name, kind in KINDS.items() if name != "one tensor"]


def as_json(kind, rows, *, flat):
    inputs = []
    for place, (name, values) in enumerate(zip(kind.names, zip(*rows, strict=True), strict=True)):
        tensor = kind.inputs.tensors[place]
        shape = [len(rows), *tensor.shape[1:]]
        data = [value for row in values for value in row] if flat and len(shape) > 1 else list(values)
        inputs.append({"name": name, "shape": shape, "datatype": tensor.datatype, "data": data})
    return json.dumps({"inputs": inputs}).encode(), {}


def as_binary(kind, rows):
    inputs, blobs = [], []
    for place, (name, values) in enumerate(zip(kind.names, zip(*rows, strict=True), strict=True)):
        tensor = kind.inputs.tensors[place]
        if tensor.datatype == BYTES:
            texts = [value.encode() for value in values]
            blob = b"".join(len(text).to_bytes(4, "little") + text for text in texts)
        else:
            numbers = [np.nan if value is None else value for value in values]
            blob = np.array(numbers, DTYPES[tensor.datatype]).tobytes()
        shape = [len(rows), *tensor.shape[1:]]
        parameters = {"binary_data_size": len(blob)}
        inputs.append({"name": name, "shape": shape, "datatype": tensor.datatype, "parameters": parameters})
        blobs.append(blob)
    head = json.dumps({"inputs": inputs}).encode()
    return b"".join([head, *blobs]), {HEADER_LENGTH: str(len(head)).encode()}


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", COLUMNS)
@PATIENT
@given(data=st.data())
def test_what_predict_accepts_is_accepted_in_every_form_and_is_the_same(kind, data):
    model = KINDS[kind]
    rows = data.draw(model.rows())
    named = [dict(zip(model.names, row, strict=True)) for row in rows]
    expected = model.predict(json.dumps({"rows": named}).encode())
    assert_same(model.v2(*as_json(model, rows, flat=True)), expected)
    assert_same(model.v2(*as_json(model, rows, flat=False)), expected)
    if not any(value is None for row in rows for value in row) or kind == "numbers side by side":
        assert_same(model.v2(*as_binary(model, rows)), expected)


@PATIENT
@given(rows=st.lists(st.lists(DOUBLE, min_size=4, max_size=4), min_size=1, max_size=3))
def test_a_tensor_has_the_same_elements_in_the_same_places_flat_and_nested(rows):
    model = KINDS["one tensor"]
    nested = [[row[:2], row[2:]] for row in rows]
    expected = model.predict(json.dumps({"rows": nested}).encode())
    item = {"name": "input", "shape": [len(rows), 2, 2], "datatype": "FP64"}
    for data in (nested, [value for row in rows for value in row]):
        assert_same(model.v2(json.dumps({"inputs": [item | {"data": data}]}).encode(), {}), expected)


SCALARS = st.none() | st.booleans() | st.integers() | DOUBLE | st.text(string.printable) | st.just(SECRET)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=4)
NAMES = sorted({name for kind in KINDS.values() for name in kind.names} | {"input", SECRET})
TENSORS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(NAMES) | VALUES,
        "shape": st.lists(st.sampled_from([0, 1, 2, 2**31, -1]), max_size=3) | VALUES,
        "datatype": st.sampled_from([*DTYPES, BYTES, SECRET]) | VALUES,
        "data": VALUES,
    },
    optional={"parameters": st.dictionaries(st.sampled_from(["binary_data_size", "x"]), VALUES) | VALUES},
)
REQUESTS = (
    st.fixed_dictionaries({"inputs": st.lists(TENSORS, max_size=3)}, optional={"id": VALUES, "outputs": VALUES})
    | st.dictionaries(st.sampled_from(["inputs", "id", "x"]), VALUES)
    | VALUES
)


@pytest.mark.parametrize("kind", KINDS)
@PATIENT
@given(document=REQUESTS, blob=st.binary(max_size=40), length=st.none() | st.integers(-1, 200))
def test_any_json_with_or_without_bytes_behind_it_becomes_arrays_or_a_refusal_that_does_not_repeat_it(
    kind, document, blob, length
):
    head = json.dumps(document).encode()
    decoded(KINDS[kind].v2, head, {})
    decoded(KINDS[kind].v2, head + blob, {HEADER_LENGTH: str(len(head) if length is None else length).encode()})


@pytest.mark.parametrize("kind", KINDS)
@PATIENT
@given(content=st.binary(max_size=60) | st.text('[]{}",:0inputs', max_size=30).map(str.encode))
def test_any_bytes_become_arrays_or_a_refusal(kind, content):
    decoded(KINDS[kind].v2, content, {})


def test_deep_nesting_is_refused_and_not_a_crash():
    for kind in KINDS.values():
        for data in ("[" * 100_000, "[" * 500 + "]" * 500):
            content = f'{{"inputs":[{{"name":"{kind.names[0]}","shape":[1],"datatype":"FP64","data":{data}}}]}}'
            with pytest.raises(Refusal):
                kind.v2(content.encode(), {})


def test_rules_of_one_column_hold_where_all_columns_come_as_one_tensor():
    kind = KINDS["rules"]

    def matrix(values):
        return json.dumps({"inputs": [{"name": "input", "shape": [1, 2], "datatype": "FP64", "data": values}]}).encode()

    assert kind.v2(matrix([0.5, 2.5]), {})[0].tolist() == [[0.5, 2.5]]
    with pytest.raises(Refusal, match="column a"):
        kind.v2(matrix([1.5, 2.5]), {})
    with pytest.raises(Refusal, match="column b"):
        kind.v2(matrix([0.5, 2.0]), {})


def test_bytes_are_base64_in_json_and_themselves_in_binary():
    kind = Kind([column("raw", "binary")], ["O"], [st.binary()], missing_text=True)
    item = {"name": "raw", "shape": [1], "datatype": "BYTES"}
    assert kind.v2(json.dumps({"inputs": [item | {"data": ["aGk="]}]}).encode(), {})[0].tolist() == [b"hi"]
    head = json.dumps({"inputs": [item | {"parameters": {"binary_data_size": 6}}]}).encode()
    headers = {HEADER_LENGTH: str(len(head)).encode()}
    assert kind.v2(head + b"\x02\x00\x00\x00\xff\x00", headers)[0].tolist() == [b"\xff\x00"]


def test_numbers_behind_json_of_any_length_are_aligned_for_native_code():
    kind, values = KINDS["one tensor"], np.arange(4.0)
    for spaces in range(8):
        item = {"name": "input", "shape": [1, 2, 2], "datatype": "FP64", "parameters": {"binary_data_size": 32}}
        head = json.dumps({"inputs": [item]}).encode() + b" " * spaces
        (array,) = kind.v2(head + values.tobytes(), {HEADER_LENGTH: str(len(head)).encode()})
        assert array.flags.aligned
        assert array.ravel().tolist() == values.tolist()


def test_an_input_that_is_not_read_need_not_have_as_many_rows():
    kind = Kind([column("a", "double")], ["f8"], [DOUBLE], ignore_extra=True)
    extra = {"name": "x", "shape": [3, 3], "datatype": "FP128", "data": []}
    known = {"name": "a", "shape": [1], "datatype": "FP64", "data": [1.5]}
    for inputs in ([extra, known], [known, extra]):
        assert kind.v2(json.dumps({"inputs": inputs}).encode(), {})[0].tolist() == [1.5]
