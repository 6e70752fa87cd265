"""What a request may hold: the table of docs/serving.md, against a real server and against any JSON there is."""

import json
import string
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from decoded import SECRET, decoded
from hypothesis import given
from hypothesis import strategies as st
from serving_process import serving

from millgate_serving import loading, settings, validation
from millgate_serving.app import App
from millgate_serving.loading import Progress
from millgate_serving.metrics import Metrics
from millgate_serving.refusal import Refusal
from millgate_serving.signature import Column, Signature, Tensor
from millgate_serving.validation import Layout

GOOD = {"boolean": True, "integer": 1, "long": 2, "float": 1.5, "double": 2.5, "string": "é\u0000x", "optional": 3.5}

# field, JSON of the value, what the answer must say; "" means accepted
TABLE = [
    ("boolean", "false", ""),
    ("boolean", "1", "expected 'boolean', got 'integer'"),
    ("boolean", '"true"', "expected 'boolean', got 'string'"),
    ("integer", "-2147483648", ""),
    ("integer", "2147483648", "expected 'integer' <= 2147483647"),
    ("integer", "1.0", "expected 'integer', got 'number'"),
    ("integer", "true", "expected 'integer', got 'boolean'"),
    ("long", "9223372036854775807", ""),
    ("long", "9223372036854775808", "expected 'integer' <= 9223372036854775807"),
    ("long", "-9223372036854775809", "expected 'integer' >= -9223372036854775808"),
    ("long", "9" * 40, "expected 'integer' <= 9223372036854775807"),
    ("long", "1e3", "expected 'integer', got 'number'"),
    ("float", "7", ""),
    ("float", "1e39", "expected 'number' <= 3.4028234663852886e+38"),
    ("float", "-1e39", "expected 'number' >= -3.4028234663852886e+38"),
    ("double", "1e39", ""),
    ("double", "1152921504606846976", ""),
    ("double", "1e400", "number out of range"),
    ("double", "-1e400", "number out of range"),
    ("double", "NaN", "the body is not JSON"),
    ("double", "Infinity", "the body is not JSON"),
    ("double", '"1.5"', "expected 'number', got 'string'"),
    ("double", "true", "expected 'number', got 'boolean'"),
    ("double", "null", "expected 'number', got 'null'"),
    ("double", "[1]", "expected 'number', got 'array'"),
    ("string", '""', ""),
    ("string", "5", "expected 'string', got 'integer'"),
    ("string", "null", "expected 'string', got 'null'"),
    ("optional", "null", ""),
    ("optional", '"x"', "expected 'number | null', got 'string'"),
]


@pytest.fixture(scope="module")
def every_type(saved_models, tmp_path_factory):
    with serving(tmp_path_factory.mktemp("types"), MILLGATE_MODEL_PATH=saved_models("every_type")) as server:
        yield server.wait_ready()


def body(field: str, value: str, form: str) -> bytes:
    """GOOD with one value replaced, written by hand because Python writes NaN where JSON has none."""
    fields = {name: json.dumps(good) for name, good in GOOD.items()} | {field: value}
    if form == "rows":
        return f'{{"rows":[{{{",".join(f"{json.dumps(n)}:{v}" for n, v in fields.items())}}}]}}'.encode()
    return f'{{"columns":{{{",".join(f"{json.dumps(n)}:[{v}]" for n, v in fields.items())}}}}}'.encode()


@pytest.mark.parametrize("form", ["rows", "columns"])
@pytest.mark.parametrize(("field", "value", "says"), TABLE)
def test_a_value_is_taken_as_it_is_or_refused_with_its_place(every_type, form, field, value, says):
    answer = every_type.request("POST", "/predict", body(field, value, form))
    if not says:
        assert answer.status == 200, answer.body
        return
    assert answer.status == 400
    place = f"rows[0].{field}" if form == "rows" else f"columns.{field}[0]"
    assert says in answer.error
    assert place in answer.error or "not JSON" in answer.error


def test_accepted_values_reach_the_model_unchanged(every_type):
    outputs = every_type.predict({"rows": [GOOD]}).json
    values = {"boolean_out": outputs["predictions"], **outputs["outputs"]}
    assert {name.removesuffix("_out"): column[0] for name, column in values.items()} == GOOD


def test_an_optional_field_may_be_left_out_in_rows_and_in_columns(every_type):
    row = {name: value for name, value in GOOD.items() if name != "optional"}
    for request in ({"rows": [row]}, {"columns": {name: [value] for name, value in row.items()}}):
        answer = every_type.predict(request)
        assert answer.status == 200
        assert answer.json["outputs"]["optional_out"] == [None]  # NaN has no other form in JSON


ROW_FAULTS = [
    ({"rows": [{}]}, "rows[0]: missing field 'boolean'"),
    ({"rows": [{n: v for n, v in GOOD.items() if n != "float"}]}, "rows[0]: missing field 'float'"),
    ({"columns": {n: [v] for n, v in GOOD.items()} | {"optional": None}}, "columns.optional: expected 'array'"),
    ({"rows": [GOOD, GOOD | {"extra": 1}]}, "rows[1]: unknown field 'extra'; allowed: boolean, integer"),
    ({"rows": [GOOD, 5]}, "rows[1]: expected 'object', got 'integer'"),
    ({"rows": GOOD}, "rows: expected 'array', got 'object'"),
    ({"columns": {n: [v] for n, v in GOOD.items()} | {"long": [1, 2]}}, "columns.boolean: all columns must have"),
    ({"columns": GOOD}, "columns.boolean: expected 'array', got 'boolean'"),
    ({"columns": {n: [] for n in GOOD}}, "at least one row"),
]


@pytest.mark.parametrize(("request_", "says"), ROW_FAULTS)
def test_a_row_has_exactly_the_fields_of_the_signature(every_type, request_, says):
    answer = every_type.predict(request_)
    assert answer.status == 400
    assert says in answer.error


def test_a_long_list_of_allowed_fields_and_a_long_unknown_name_are_cut_short():
    columns = tuple(Column(f"c{n}", "double", required=True) for n in range(500))
    decode = decoder(columns, np.float64)
    with pytest.raises(Refusal) as refused:
        decode(json.dumps({"rows": [{"x" * 5000: 1}]}).encode())
    assert len(refused.value.message) < 400
    assert refused.value.message.endswith("and 480 more")


# Any JSON at all


def decoder(inputs, *dtypes):
    signature = Signature(tuple(inputs), (), "")
    kinds = tuple(np.dtype(kind) for kind in dtypes) * (len(inputs) if len(dtypes) == 1 else 1)
    return validation.decoder(signature, Layout(kinds, matrix=len(dtypes) == 1 and isinstance(inputs[0], Column)))


DECODERS = {
    "columns": decoder([Column("a", "float", required=False), Column("b", "integer", required=True)], "f4", "i4"),
    "matrix": decoder([Column("a", "double", required=True), Column("b", "double", required=False)], "f4"),
    "text": decoder([Column("a", "string", required=True), Column("b", "boolean", required=True)], "O", "?"),
    "texts": decoder([Tensor("", "str", (-1, -1))], "O"),
    "tensor": decoder([Tensor("", "float32", (-1, 2, -1))], "f4"),
    "named tensors": decoder([Tensor("a", "int64", (-1, 2)), Tensor("b", "uint64", (-1, -1))], "i8", "u8"),
}
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(string.printable) | st.just(SECRET)
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=6)
ROWS = st.lists(st.fixed_dictionaries({"a": VALUES, "b": VALUES}) | VALUES, max_size=3)
REQUESTS = (
    st.fixed_dictionaries({"rows": ROWS})
    | st.fixed_dictionaries({"columns": st.fixed_dictionaries({"a": VALUES, "b": VALUES})})
    | st.dictionaries(st.sampled_from(["rows", "columns", "x"]), VALUES)
    | VALUES
)


@pytest.mark.parametrize("kind", DECODERS)
@given(document=REQUESTS)
def test_any_json_becomes_arrays_or_a_refusal_that_does_not_repeat_it(kind, document):
    check(DECODERS[kind], json.dumps(document).encode())


@pytest.mark.parametrize("kind", DECODERS)
@given(content=st.binary(max_size=60) | st.text('[]{}",:0rows', max_size=30).map(str.encode))
def test_any_bytes_become_arrays_or_a_refusal(kind, content):
    check(DECODERS[kind], content)


def check(decode, content: bytes) -> None:
    arrays = decoded(decode, content)
    assert all(isinstance(item, str | bool) for array in arrays if array.dtype.kind == "O" for item in array.flat)


RAGGED = [("texts", b'{"rows": [["x"], ["x", "y"]]}'), ("tensor", b'{"rows": [[[1], [2]], [[1, 3], [2, 4]]]}')]


@pytest.mark.parametrize(("kind", "content"), RAGGED)
def test_rows_of_different_shapes_are_refused(kind, content):
    with pytest.raises(Refusal, match="same shape"):
        DECODERS[kind](content)


def test_a_deeply_nested_body_is_refused_and_not_a_crash():
    for decode in DECODERS.values():
        with pytest.raises(Refusal):
            decode(b'{"rows":' + b"[" * 100_000)


async def test_a_defect_of_a_decoder_is_never_a_server_error(saved_models):
    """Client input must not raise the error rate that gates judge, even where we have overlooked a case."""
    configured = settings.read({"MILLGATE_MODEL_NAME": "x", "MILLGATE_MODEL_PATH": str(saved_models("numbers"))})
    app, sent = App(configured, Metrics(configured)), []

    def defective(_body):
        raise ZeroDivisionError

    app.serve(replace(loading.load(configured, Progress()), decode=defective), load_seconds=1)

    async def receive():
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "path": "/predict",
        "method": "POST",
        "headers": [],
        "state": {"closes_at": float("inf"), "crowded": False},
    }
    await app(scope, receive, send)
    assert sent[0]["status"] == 400


def test_dates_and_bytes_are_read_for_models_that_take_them():
    columns = [Column("at", "datetime", required=True), Column("raw", "binary", required=False)]
    layout = Layout((np.dtype("datetime64[ns]"), np.dtype(object)), missing_text=True)
    decode = validation.decoder(Signature(tuple(columns), (), ""), layout)
    at, raw = decode(b'{"rows":[{"at":"2026-01-02T03:04:05+01:00","raw":"aGk="},{"at":"2026-01-02T03:04:05"}]}')
    assert [str(moment)[:19] for moment in at] == ["2026-01-02T02:04:05", "2026-01-02T03:04:05"]
    assert list(raw) == [b"hi", None]
    refuse = partial(pytest.raises, Refusal)
    with refuse(match="at"):
        decode(b'{"rows":[{"at":"yesterday"}]}')
    with refuse(match="raw"):
        decode(b'{"rows":[{"at":"2026-01-02T03:04:05","raw":"?"}]}')
    with refuse(match="at"):
        decode(b'{"rows":[{"at":"9999-12-31T23:59:59-12:00"}]}')
    with refuse(match="from 1678 to 2261"):
        decode(b'{"rows":[{"at":"1600-01-01T00:00:00"}]}')
