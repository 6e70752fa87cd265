"""What a model demands beyond its signature: read from its own file, checked once, then kept in every request."""

import json

import numpy as np
import pytest
from decoded import SECRET
from hypothesis import given
from hypothesis import strategies as st
from serving_process import preflight, serving

from millgate_serving import constraints, validation
from millgate_serving.constraints import Constraints, InputRules
from millgate_serving.failure import Reason, ServingError
from millgate_serving.fields import fields
from millgate_serving.refusal import Refusal
from millgate_serving.signature import Column, Signature, Tensor
from millgate_serving.validation import Layout

COLUMNS = (
    Column("amount", "double", required=True),
    Column("items", "integer", required=True),
    Column("country", "string", required=True),
    Column("note", "string", required=False),
    Column("rate", "float", required=False),
    Column("level", "long", required=True),
    Column("raw", "binary", required=True),
)
SIGNATURE = Signature(COLUMNS, (), "")
TEXT = np.dtype(object)
DTYPES = (np.dtype("f8"), np.dtype("i4"), TEXT, TEXT, np.dtype("f4"), np.dtype("i8"), TEXT)
LAYOUT = Layout(DTYPES, missing_text=True)
RULES = {
    "amount": {"minimum": 0.5, "maximum": 100, "nullable": True},
    "items": {"minimum": 1},
    "country": {"enum": ["DE", "FR"]},
    "note": {"maxLength": 3, "nullable": False},
    "rate": {"enum": [0.1, 0.2, 1]},
    "level": {"enum": [1, 2, 3]},
    "raw": {"maxLength": 2},
}
GOOD = {"amount": 1.5, "items": 1, "country": "DE", "note": "abc", "rate": 0.1, "level": 3, "raw": "aGk="}


def read(tmp_path, document: object) -> Constraints:
    path = tmp_path / constraints.FILE
    path.parent.mkdir(exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    rules = constraints.read(tmp_path)
    constraints.check(rules, SIGNATURE, ("label", "probabilities"))
    fields(SIGNATURE, LAYOUT, rules)
    return rules


def test_a_model_without_the_file_demands_nothing(tmp_path):
    assert constraints.read(tmp_path) == constraints.NONE


# What the file may hold

FAULTS = [
    ("{", "the body is not JSON"),
    ([], "expected 'object', got 'array'"),
    ({"input": {}}, "unknown field 'input'; allowed: inputs, outputs, extraFields, segments"),
    ({"inputs": {"amount": {"min": 1}}}, "inputs.amount: unknown field 'min'; allowed: minimum, maximum, enum"),
    (
        {"inputs": {"amount": {"minimum": "1"}}},
        "inputs.amount.minimum: expected 'integer | number | null', got 'string'",
    ),
    ({"inputs": {"ammount": {}}}, "inputs.ammount: the model's signature has no such input; it has amount, items"),
    ({"inputs": {"amount": {"minimum": 2, "maximum": 1}}}, "inputs.amount.minimum: it is larger than the maximum"),
    ({"inputs": {"items": {"minimum": 0.5}}}, "inputs.items.minimum: a whole number is needed"),
    ({"inputs": {"country": {"minimum": 1}}}, "inputs.country.minimum: string has no range"),
    ({"inputs": {"amount": {"maxLength": 1}}}, "inputs.amount.maxLength: double has no length"),
    ({"inputs": {"country": {"enum": []}}}, "inputs.country.enum: expected 'array' of length >= 1"),
    ({"inputs": {"country": {"enum": ["DE", 1]}}}, "inputs.country.enum: the values must be of the type string"),
    ({"inputs": {"level": {"enum": [1.5]}}}, "inputs.level.enum: the values must be of the type long"),
    ({"inputs": {"raw": {"enum": ["x"]}}}, "inputs.raw.enum: binary cannot be enumerated"),
    ({"inputs": {"rate": {"enum": [1], "minimum": 1}}}, "inputs.rate.enum: what is enumerated needs no range"),
    ({"inputs": {"items": {"nullable": True}}}, "inputs.items.nullable: integer has no value for missing"),
    ({"outputs": {"score": {}}}, "outputs.score: the model has no such output; it has predictions, probabilities"),
    ({"outputs": {"predictions": {"minimum": 1, "maximum": 0}}}, "outputs.predictions.minimum"),
    (
        {"outputs": {"predictions": {"outputs.predictions.tolerance: expected 'number' >= 0.0": -1}}},
        "outputs.predictions.tolerance: expected 'number' >= 0.0",
    ),
    ({"extraFields": "drop"}, "extraFields: must be one of refuse, ignore"),
    ({"segments": ["amount"]}, "segments: 'amount' is no column of the type boolean, integer, long, string"),
    ({"segments": ["city"]}, "segments: 'city' is no column"),
]


@pytest.mark.parametrize(("document", "says"), FAULTS)
def test_rules_that_cannot_be_kept_name_the_file_and_the_field(tmp_path, document, says):
    with pytest.raises(ServingError) as raised:
        read(tmp_path, document)
    assert raised.value.reason is Reason.CONSTRAINTS_INVALID
    assert raised.value.message.startswith("millgate/constraints.json: ")
    assert says in raised.value.message


def test_a_file_of_a_gigabyte_is_not_read(tmp_path):
    with pytest.raises(ServingError, match="larger than 1 MiB"):
        read(tmp_path, json.dumps({"segments": ["x" * (1 << 20)]}))


def test_null_for_a_text_needs_an_engine_that_knows_missing_texts():
    rules = Constraints(inputs={"country": InputRules(nullable=True)})
    with pytest.raises(ServingError, match=r"inputs\.country\.nullable: this model's engine has no value"):
        fields(SIGNATURE, Layout(DTYPES), rules)


# Written by training code


def test_training_code_writes_what_the_server_reads_and_hears_of_faults_at_once(saved_models, tmp_path):
    import shutil  # noqa: PLC0415

    folder = tmp_path / "model"
    shutil.copytree(saved_models("mixed"), folder)
    written = constraints.write(
        folder, inputs={"items": {"minimum": 0}}, outputs={"x": {"sumsTo": 1}}, segments=["country"]
    )
    assert constraints.read(folder) == written
    assert written.outputs["x"].sums_to == 1
    for wrong in ({"inputs": {"amount": {"minimun": 0}}}, {"segments": ["amount"]}, {"extra_fields": "drop"}):
        with pytest.raises(ValueError, match=r"^millgate/constraints\.json: (inputs\.amount|segments|extraFields)"):
            constraints.write(folder, **wrong)
    assert constraints.read(folder) == written
    with pytest.raises(ValueError, match=r"^model: "):
        constraints.write("models:/fraud/1")


def test_rules_are_files_of_a_logged_model(registry, tmp_path):
    import mlflow  # noqa: PLC0415
    import serving_models  # noqa: PLC0415

    mlflow.set_tracking_uri(registry.url)
    info = mlflow.onnx.log_model(**serving_models.mixed(), name="ruled", pip_requirements=[])
    written = constraints.write(info.model_uri, inputs={"country": {"enum": ["DE", "FR"]}})
    mlflow.artifacts.download_artifacts(info.model_uri, dst_path=str(tmp_path))
    assert constraints.read(tmp_path) == written


# What a request may hold then

VALUES = [
    ("amount", 0.5, ""),
    ("amount", 100, ""),
    ("amount", 0.499, "expected 'number | null' >= 0.5"),
    ("amount", 101, "<= 100"),
    ("amount", None, ""),
    ("items", 0, "expected 'integer' >= 1"),
    ("items", 2**31, "expected 'integer' <= 2147483647"),
    ("country", "FR", ""),
    ("country", SECRET, "must be one of DE, FR"),
    ("country", None, "expected 'string', got 'null'"),
    ("note", "", ""),
    ("note", "abcd", "expected 'string' of length <= 3"),
    ("note", None, "expected 'string', got 'null'"),
    ("rate", 0.2, ""),
    ("rate", None, ""),
    ("rate", 0.3, "must be one of 0.1, 0.2, 1"),
    ("level", 1, ""),
    ("level", 4, "must be one of 1, 2, 3"),
    ("raw", "aGk=", ""),
    ("raw", "aGkh", "of length <= 2"),
]


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    return read(tmp_path_factory.mktemp("rules"), {"inputs": RULES})


@pytest.mark.parametrize(("field", "value", "says"), VALUES)
@pytest.mark.parametrize("form", ["rows", "columns"])
def test_a_value_keeps_the_rules_of_the_model_or_is_refused_with_its_place(rules, form, field, value, says):
    row = GOOD | {field: value}
    document = {"rows": [GOOD, row]} if form == "rows" else {"columns": {n: [GOOD[n], row[n]] for n in row}}
    decode = validation.decoder(SIGNATURE, LAYOUT, rules)
    if not says:
        assert len(decode(json.dumps(document).encode())) == len(COLUMNS)
        return
    with pytest.raises(Refusal) as refused:
        decode(json.dumps(document).encode())
    assert refused.value.status == 400
    assert says.replace(" | null", "") in refused.value.message.replace(" | null", "")
    assert field in refused.value.message
    assert "[1]" in refused.value.message
    assert SECRET not in refused.value.message


@pytest.mark.parametrize("field", ["note", "amount", "country"])
def test_what_must_have_a_value_must_not_be_left_out(rules, field):
    row = {name: value for name, value in GOOD.items() if name != field}
    with pytest.raises(Refusal, match=f"missing field '{field}'"):
        validation.decoder(SIGNATURE, LAYOUT, rules)(json.dumps({"rows": [row]}).encode())


def test_extra_fields_are_dropped_where_the_model_says_so():
    decode = validation.decoder(SIGNATURE, LAYOUT, Constraints(extra_fields="ignore"))
    extra = GOOD | {"extra": {"deep": [1e300, None]}}
    assert [list(a) for a in decode(json.dumps({"rows": [extra]}).encode())] == [
        list(a) for a in decode(json.dumps({"columns": {n: [v] for n, v in GOOD.items()} | {"x": 1}}).encode())
    ]
    with pytest.raises(Refusal, match="unknown field 'lines'; allowed: rows, columns"):
        decode(json.dumps({"rows": [GOOD], "lines": 1}).encode())


def test_an_enumeration_in_a_matrix_and_in_a_tensor_is_kept_too():
    columns = (Column("a", "double", required=True), Column("b", "double", required=False))
    one_of = Constraints(inputs={"b": InputRules(enum=(0.1, 2))})
    decode = validation.decoder(Signature(columns, (), ""), Layout((np.dtype("f4"),) * 2, matrix=True), one_of)
    assert decode(b'{"rows":[{"a":7,"b":0.1},{"a":7,"b":2},{"a":7}]}')[0].shape == (3, 2)
    with pytest.raises(Refusal, match=r"b\[1\]: must be one of 0\.1, 2"):
        decode(b'{"rows":[{"a":7,"b":0.1},{"a":7,"b":0.2}]}')
    tensor = Signature((Tensor("", "float32", (-1, 2)),), (), "")
    rules = Constraints(inputs={"input": InputRules(minimum=0, nullable=True)})
    decode = validation.decoder(tensor, Layout((np.dtype("f4"),)), rules)
    assert np.isnan(decode(b'{"rows":[[0,null]]}')[0][0, 1])
    with pytest.raises(Refusal, match=r"rows\[0\]\[1\]: expected 'number"):
        decode(b'{"rows":[[0,-1]]}')


# Arrays, as binary tensors bring them, are held to the same rules

NUMBERS = st.floats(-3, 3) | st.sampled_from([float("nan"), float("inf"), -float("inf"), 1e39, -1e39, 0.5, 2.0])


@given(
    values=st.lists(NUMBERS, min_size=1, max_size=4),
    low=st.none() | st.just(0.5),
    high=st.none() | st.just(2.0),
    nullable=st.booleans(),
    dtype=st.sampled_from(["f4", "f8"]),
)
def test_an_array_is_accepted_exactly_where_json_is(values, low, high, nullable, dtype):
    """NaN is to an array what null is to JSON; infinity has no form there."""
    columns = Signature((Column("a", "double", required=True),), (), "")
    rules = Constraints(inputs={"a": InputRules(minimum=low, maximum=high, nullable=nullable)})
    (field,) = fields(columns, Layout((np.dtype(dtype),)), rules)
    as_json = [None if value != value else value for value in values]  # noqa: PLR0124 - NaN is not itself
    decode = validation.decoder(columns, Layout((np.dtype(dtype),)), rules)
    body = json.dumps({"columns": {"a": as_json}}).encode()
    results = []
    for made in (lambda: decode(body)[0], lambda: field.from_array(np.array(values), "a")):
        try:
            results.append(made())
        except Refusal as refusal:
            results.append(refusal.status)
    from_json, from_array = results
    if isinstance(from_json, int) or isinstance(from_array, int):
        assert isinstance(from_json, int) is isinstance(from_array, int)
    else:
        np.testing.assert_array_equal(from_json, from_array)
        assert from_json.dtype == from_array.dtype == np.dtype(dtype)


ARRAYS = [
    ("items", np.array([1, 0]), r"x\[1\]: expected integer >= 1"),
    ("country", np.array(["DE", SECRET], object), r"x\[1\]: must be one of DE, FR"),
    ("note", np.array(["abc", "abcd"], object), r"x\[1\]: expected at most 3 characters"),
    ("rate", np.array([0.1, 0.3], "f4"), r"x\[1\]: must be one of 0\.1, 0\.2, 1"),
    ("amount", np.array([[1.0, np.inf]]), r"x\[0\]\[1\]: expected a finite number"),
    ("level", np.array([3, 9]), r"x\[1\]: must be one of 1, 2, 3"),
]


@pytest.mark.parametrize(("name", "array", "says"), ARRAYS)
def test_the_first_bad_value_of_an_array_is_named_and_not_shown(rules, name, array, says):
    field = next(field for field in fields(SIGNATURE, LAYOUT, rules) if field.name == name)
    with pytest.raises(Refusal, match=says) as refused:
        field.from_array(array, "x")
    assert SECRET not in refused.value.message


# A whole server


@pytest.fixture
def ruled(saved_models, tmp_path):
    import shutil  # noqa: PLC0415

    folder = tmp_path / "model"
    shutil.copytree(saved_models("mixed"), folder)
    (folder / "millgate").mkdir()

    def write(document: object):
        (folder / constraints.FILE).write_text(json.dumps(document))
        return folder

    return write


def test_a_server_keeps_the_rules_in_both_protocols_and_tells_them_in_its_document(ruled, tmp_path):
    model = ruled({"inputs": {"country": {"enum": ["DE", "FR"]}, "items": {"minimum": 0, "maximum": 9}}})
    with serving(tmp_path, MILLGATE_MODEL_PATH=model) as server:
        server.wait_ready()
        row = {"amount": 1.5, "items": 2, "country": "US"}
        assert server.predict({"rows": [row]}).error == "rows[0].country: must be one of DE, FR"
        assert server.predict({"rows": [row | {"country": "DE"}]}).status == 200
        tensors = [
            {"name": "amount", "datatype": "FP64", "shape": [1], "data": [1.5]},
            {"name": "items", "datatype": "INT64", "shape": [1], "data": [10]},
            {"name": "country", "datatype": "BYTES", "shape": [1], "data": ["DE"]},
        ]
        refused = server.request("POST", "/v2/models/fraud/infer", json.dumps({"inputs": tensors}).encode())
        assert (refused.status, refused.error) == (400, "inputs[1].data[0]: expected 'integer' <= 9")
        schemas = server.request("GET", "/openapi.json").json["components"]["schemas"]
        assert schemas["Row"]["properties"]["country"] == {"type": "string", "enum": ["DE", "FR"]}
        assert schemas["Row"]["properties"]["items"]["maximum"] == 9


def test_an_example_that_breaks_the_rules_and_rules_for_nobody_fail_the_preflight(ruled, tmp_path):
    for document, reason in [
        ({"inputs": {"amount": {"minimum": 1000}}}, "InputExampleFailed"),
        ({"inputs": {"city": {}}}, "ConstraintsInvalid"),
    ]:
        code, result = preflight(tmp_path, MILLGATE_MODEL_PATH=ruled(document))
        assert (code, result["error"]["reason"]) == (1, reason)
