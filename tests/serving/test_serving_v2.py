"""The Open Inference Protocol v2 of a running server: what the specification says, and the one form of every error."""

import json
from itertools import product

import pytest
from decoded import SECRET
from serving_process import serving

ROW = {"a": 1.0, "b": -2.0, "c": 0.5, "d": 3.0}
INFER = "/v2/models/fraud/infer"
GOOD = {"boolean": True, "integer": 1, "long": 2, "float": 1.5, "double": 2.5, "string": "é", "optional": 3.5}
DATATYPES = {
    "boolean": "BOOL",
    "integer": "INT32",
    "long": "INT64",
    "float": "FP32",
    "double": "FP64",
    "string": "BYTES",
    "optional": "FP64",
}


def tensor(name, data, shape=None, datatype="FP64", **more):
    return {"name": name, "shape": shape or [1], "datatype": datatype, "data": data, **more}


def columns(rows):
    return [tensor(name, [row[name] for row in rows], [len(rows)]) for name in ROW]


def infer(server, document, path=INFER, **headers):
    return server.request("POST", path, json.dumps(document).encode(), **headers)


def outputs(answer):
    """By name, flat."""
    assert answer.status == 200, answer.body
    return {output["name"]: output["data"] for output in answer.json["outputs"]}


@pytest.fixture(scope="module")
def matrix(saved_models, tmp_path_factory):
    with serving(tmp_path_factory.mktemp("tensor"), MILLGATE_MODEL_PATH=saved_models("tensor")) as server:
        yield server.wait_ready()


# Paths

PAGES = [
    ("/v2", {"name": "millgate-serving", "extensions": ["binary_tensor_data"]}),
    ("/v2/health/live", {"live": True}),
    ("/v2/health/ready", {"ready": True}),
    ("/v2/models/fraud/ready", {"name": "fraud", "ready": True}),
    ("/v2/models/fraud/versions/8/ready", {"name": "fraud", "ready": True}),
]


@pytest.mark.parametrize(("path", "holds"), PAGES, ids=[path for path, _ in PAGES])
def test_health_and_the_servers_own_description_answer_get_and_head(numbers, path, holds):
    got, head = numbers.request("GET", path), numbers.request("HEAD", path)
    assert (got.status, head.status) == (200, 200)
    assert got.json.items() >= holds.items()
    assert not head.body


@pytest.mark.parametrize("path", ["/v2/models/fraud", "/v2/models/fraud/versions/8"])
def test_the_models_description_has_every_input_and_output_with_its_datatype_and_shape(every_type, path):
    document = every_type.request("GET", path).json
    assert (document["name"], document["versions"], document["platform"]) == ("fraud", ["8"], "onnx_onnxv1")
    assert {item["name"]: (item["datatype"], item["shape"]) for item in document["inputs"]} == {
        name: (datatype, [-1]) for name, datatype in DATATYPES.items()
    }


def test_outputs_are_described_as_the_model_answers_its_own_example(numbers):
    described = numbers.request("GET", "/v2/models/fraud").json["outputs"]
    assert described == [
        {"name": "label", "datatype": "INT64", "shape": [-1]},
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]},
    ]


@pytest.mark.parametrize("path", [INFER, "/v2/models/fraud/versions/8/infer"])
def test_a_prediction_names_model_and_version_and_is_the_one_of_predict(numbers, path):
    rows = [ROW, ROW | {"a": -5.0}]
    answer = infer(numbers, {"inputs": columns(rows)}, path)
    assert (answer.json["model_name"], answer.json["model_version"]) == ("fraud", "8")
    assert answer.json.keys() == {"model_name", "model_version", "outputs"}, "an id that was not sent was invented"
    predicted = numbers.predict({"rows": rows}).json
    assert outputs(answer)["label"] == predicted["predictions"]
    flat = [share for row in predicted["outputs"]["probabilities"] for share in row]
    assert outputs(answer)["probabilities"] == flat
    assert [output["shape"] for output in answer.json["outputs"]] == [[2], [2, 2]]


NO_SUCH = [
    ("GET", "/v2/models/other", 404),
    ("GET", "/v2/models/other/ready", 404),
    ("GET", "/v2/models/fraud/versions/7", 404),
    ("GET", "/v2/models/fraud/versions/7/ready", 404),
    ("POST", "/v2/models/other/infer", 404),
    ("POST", "/v2/models/fraud/versions/7/infer", 404),
    ("GET", "/v2/", 404),
    ("GET", "/v2/repository/index", 404),
    ("GET", INFER, 405),
    ("POST", "/v2", 405),
    ("POST", "/v2/models/fraud", 405),
]


@pytest.mark.parametrize(("method", "path", "status"), NO_SUCH, ids=[f"{m} {p}" for m, p, _ in NO_SUCH])
def test_other_models_versions_and_methods_are_refused_in_the_one_form(numbers, method, path, status):
    answer = numbers.request(method, path, b"{}" if method == "POST" else None)
    assert answer.status == status
    assert answer.error
    assert ("allow" in answer.headers) is (status == 405)


def test_a_server_that_has_no_model_yet_is_live_and_not_ready(tmp_path):
    with serving(tmp_path, MLFLOW_TRACKING_URI="http://127.0.0.1:9") as server:
        assert server.request("GET", "/v2").status == 200
        assert server.request("GET", "/v2/health/live").status == 200
        for path in ("/v2/health/ready", "/v2/models/fraud/ready", "/v2/models/fraud"):
            assert server.request("GET", path).status == 503
            assert server.request("GET", path).error
        assert infer(server, {"inputs": columns([ROW])}).status == 503


# Requests


@pytest.mark.parametrize("given", ["mine", "", 'quotes " and \\ é'])
def test_an_id_comes_back_as_it_was_given(numbers, given):
    assert infer(numbers, {"id": given, "inputs": columns([ROW])}).json["id"] == given


FORMS = {
    "flat": columns,
    "one column of a matrix": lambda rows: [tensor(n, [r[n] for r in rows], [len(rows), 1]) for n in ROW],
    "nested": lambda rows: [tensor(n, [[r[n]] for r in rows], [len(rows), 1]) for n in ROW],
    "other order": lambda rows: columns(rows)[::-1],
    "single precision": lambda rows: [item | {"datatype": "FP32"} for item in columns(rows)],
    "one tensor, flat": lambda rows: [tensor("input", [v for r in rows for v in r.values()], [len(rows), 4])],
    "one tensor, nested": lambda rows: [tensor("input", [list(r.values()) for r in rows], [len(rows), 4])],
}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_numbers_in_any_form_get_the_same_answer(numbers, form):
    rows = [ROW, ROW | {"a": -5.0}, ROW | {"d": 0.25}]
    answered = outputs(infer(numbers, {"inputs": FORMS[form](rows)}))
    assert answered == outputs(infer(numbers, {"inputs": columns(rows)}))


def test_values_of_every_type_reach_the_model_unchanged(every_type):
    inputs = [tensor(name, [value], datatype=DATATYPES[name]) for name, value in GOOD.items()]
    answered = outputs(infer(every_type, {"inputs": inputs}))
    assert {name.removesuffix("_out"): data[0] for name, data in answered.items()} == GOOD


@pytest.mark.parametrize("left_out", [True, False])
def test_an_optional_input_may_be_null_or_left_out(every_type, left_out):
    inputs = [tensor(name, [value], datatype=DATATYPES[name]) for name, value in GOOD.items() if name != "optional"]
    inputs += [] if left_out else [tensor("optional", [None])]
    assert outputs(infer(every_type, {"inputs": inputs}))["optional_out"] == [None]


def test_the_models_own_name_may_be_repeated_in_the_body_as_kserve_does(numbers):
    request = {"inputs": columns([ROW]), "model_name": "fraud", "model_version": "8"}
    assert infer(numbers, request).status == 200


def test_only_the_outputs_that_are_asked_for_are_answered_in_their_order(numbers):
    request = {"inputs": columns([ROW]), "outputs": [{"name": "probabilities"}, {"name": "label"}]}
    assert list(outputs(infer(numbers, request))) == ["probabilities", "label"]
    assert list(outputs(infer(numbers, request | {"outputs": [{"name": "label"}]}))) == ["label"]
    assert list(outputs(infer(numbers, request | {"outputs": []}))) == ["label", "probabilities"]


def test_parameters_that_other_servers_know_are_left_to_them(numbers):
    inputs = [item | {"parameters": {"content_type": "np"}} for item in columns([ROW])]
    more = {"parameters": {"priority": 1, "timeout": 5, "content_type": "pd"}}
    assert infer(numbers, {"inputs": inputs} | more).status == 200


def test_a_tensor_without_a_name_is_called_input_and_its_lists_of_maps_are_texts(matrix):
    described = matrix.request("GET", "/v2/models/fraud").json
    assert described["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 4]}]
    nested = [[1, 2, 3, 4], [0.5, -2, 3, 4]]
    answer = infer(matrix, {"inputs": [tensor("input", nested, [2, 4], "FP32")]})
    label, maps = answer.json["outputs"]
    assert label["data"] == matrix.predict({"rows": nested}).json["predictions"]
    assert (maps["datatype"], maps["shape"]) == ("BYTES", [2])
    assert json.loads(maps["data"][0]).keys() == {"0", "1"}


CONTENT_TYPES = ["application/json", "Application/JSON; charset=UTF-8", "application/octet-stream"]


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_what_decides_is_the_body_and_not_the_content_type(numbers, content_type):
    assert infer(numbers, {"inputs": columns([ROW])}, content_type=content_type).status == 200


def test_a_client_that_sends_no_content_type_is_answered(numbers):
    connection = numbers.connect()
    connection.request("POST", INFER, json.dumps({"inputs": columns([ROW])}).encode())
    assert connection.getresponse().status == 200
    connection.close()


# Errors


def changed(which="a", **changes):
    """A good request in which one input is changed; None takes the field away."""
    inputs = [dict(item) for item in columns([ROW])]
    for item in inputs:
        if item["name"] == which:
            item.update(changes)
            for field in [field for field, value in changes.items() if value is None]:
                del item[field]
    return {"inputs": inputs}


ERRORS = [
    ([], "expected 'object'"),
    ({}, "missing field 'inputs'"),
    ({"inputs": []}, "inputs: expected 'array' of length >= 1"),
    ({"inputs": {}}, "inputs: expected 'array'"),
    ({"inputs": [5]}, "inputs[0]: expected 'object'"),
    ({"inputs": columns([ROW]), "id": 5}, "id: expected 'string'"),
    ({"inputs": columns([ROW]), "rows": []}, "unknown field 'rows'; allowed: id, model_name, model_version"),
    ({"inputs": columns([ROW]), "model_name": "other"}, "model_name: must be fraud, or left out"),
    ({"inputs": columns([ROW]), "model_version": "7"}, "model_version: must be 8, or left out"),
    ({"inputs": columns([ROW])[:3]}, "inputs: missing input 'd'"),
    ({"inputs": columns([ROW]) + columns([ROW])[:1]}, "inputs[4].name: each input may be given once"),
    ({"inputs": columns([ROW]), "outputs": [{"name": SECRET}]}, "outputs[0].name: must be one of label, probabilities"),
    ({"inputs": columns([ROW]), "outputs": [{"name": "label"}] * 2}, "outputs[1].name: each output may be asked"),
    (
        {"inputs": columns([ROW]), "outputs": [{"name": "label", "x": 1}]},
        "outputs[0]: unknown field 'x'; allowed: name",
    ),
    (
        {"inputs": columns([ROW]), "outputs": [{"name": "label", "parameters": {"classification": 3}}]},
        "outputs[0].parameters.classification: this server has no such extension",
    ),
    ({"inputs": columns([ROW]), "parameters": {"sequence_id": 4}}, "parameters.sequence_id"),
    (changed(name=None), "inputs[0]: missing field 'name'"),
    (changed(name=SECRET), "inputs[0].name: must be one of a, b, c, d"),
    (changed(shape=None), "inputs[0]: missing field 'shape'"),
    (changed(datatype=None), "inputs[0]: missing field 'datatype'"),
    (changed(data=None), "inputs[0]: missing field 'data'"),
    (changed(extra=SECRET), "inputs[0]: unknown field 'extra'; allowed: name, shape, datatype, parameters, data"),
    (changed(shape=[-1]), "inputs[0].shape[0]: expected 'integer' >= 0"),
    (changed(shape=[1.0]), "inputs[0].shape[0]: expected 'integer', got 'number'"),
    (changed(shape=["1"]), "inputs[0].shape[0]: expected 'integer', got 'string'"),
    (changed(shape=[]), "inputs[0].shape: expected 'array' of length >= 1"),
    (changed(shape=1), "inputs[0].shape: expected 'array'"),
    (changed(shape=[1, 2]), "inputs[0].shape: must be [rows] or [rows, 1]"),
    (changed(shape=[2], data=[1.0, 2.0]), "inputs[1].shape: all inputs must have the same number of rows"),
    (changed("b", shape=[2]), "inputs[1].shape: all inputs must have the same number of rows"),
    (changed(shape=[0], data=[]), "at least one row"),
    (changed(datatype="FP128"), "inputs[0].datatype: a must be one of FP64, "),
    (changed(datatype="BOOL", data=[True]), "inputs[0].datatype: a must be one of FP64, "),
    (changed(datatype="BYTES", data=["1.5"]), "inputs[0].datatype: a must be one of FP64, "),
    (changed(datatype="FP16"), "inputs[0].data: FP16 has no form in JSON"),
    (changed(datatype="INT8", data=[300]), "inputs[0].data[0]: expected 'integer' <= 127"),
    (changed(datatype="INT64", data=[1.5]), "inputs[0].data[0]: expected 'integer', got 'number'"),
    (changed(data=["1.5"]), "inputs[0].data[0]: expected 'number', got 'string'"),
    (changed(data=[True]), "inputs[0].data[0]: expected 'number', got 'boolean'"),
    (changed(data=[[[1.0]]]), "inputs[0].data: must be flat, or nested as the shape is"),
    (changed(data=[[1.0]]), "inputs[0].data: must be flat, or nested as the shape is"),
    (changed(data=[1e39]), "inputs[0].data[0]: expected 'number' <= 3.4028234663852886e+38"),
    (changed(data=[1.0, 2.0]), "inputs[0].data: the shape needs 1 values, there are 2"),
    (changed(data=[]), "inputs[0].data: the shape needs 1 values, there are 0"),
    (changed(data=1.0), "inputs[0].data: expected 'array', got 'number'"),
    (changed(data=SECRET), "inputs[0].data: expected 'array', got 'string'"),
    (changed(data={"a": SECRET}), "inputs[0].data: expected 'array', got 'object'"),
    (changed(parameters=[SECRET]), "inputs[0].parameters: expected 'object | null', got 'array'"),
    (changed(parameters={"shared_memory_region": "x"}), "inputs[0].parameters.shared_memory_region"),
    (changed(data=None, parameters={"binary_data_size": 8}), "needs the header Inference-Header-Content-Length"),
]


@pytest.mark.parametrize(("request_", "says"), ERRORS, ids=[f"{n} {says[:50]}" for n, (_, says) in enumerate(ERRORS)])
def test_every_error_names_the_field_and_what_is_allowed_and_repeats_no_value(numbers, request_, says):
    answer = infer(numbers, request_)
    assert (answer.status, says in answer.error) == (400, True), answer.body
    assert SECRET not in answer.error


LITERALS = ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "null", "[1", "01", '"\\u12"']


@pytest.mark.parametrize("literal", LITERALS)
def test_a_number_that_json_has_not_is_refused(numbers, literal):
    body = json.dumps(changed(data=["HERE"])).replace('"HERE"', literal).encode()
    answer = numbers.request("POST", INFER, body)
    assert answer.status == 400
    assert answer.error


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"inputs":' + b"[" * 50_000, b"null"])
def test_a_body_that_is_no_request_is_refused(numbers, body):
    answer = numbers.request("POST", INFER, body)
    assert answer.status == 400
    assert answer.error


def test_limits_of_rows_and_bytes_are_those_of_predict(numbers):
    rows = infer(numbers, {"inputs": [tensor("input", [0.0] * 40_004, [10_001, 4])]})
    assert (rows.status, rows.error) == (413, "rows: at most 10000 rows a request")
    assert numbers.request("POST", INFER, b" " * (11 << 20)).status == 413


@pytest.mark.parametrize(("header", "value"), [("content_type", "text/csv"), ("content_encoding", "gzip")])
def test_other_content_types_and_compressed_bodies_are_refused(numbers, header, value):
    assert infer(numbers, {"inputs": columns([ROW])}, **{header: value}).status == 415


WRONG_KINDS = {"boolean": 1, "integer": True, "long": "2", "float": "x", "double": None, "string": 5}


@pytest.mark.parametrize(("name", "nested"), list(product(WRONG_KINDS, [False, True])))
def test_a_value_of_another_kind_is_refused_and_never_converted(every_type, name, nested):
    value, shape = WRONG_KINDS[name], [1, 1] if nested else [1]
    inputs = [
        tensor(other, [good], datatype=DATATYPES[other])
        if other != name
        else tensor(name, [[value]] if nested else [value], shape, DATATYPES[name])
        for other, good in GOOD.items()
    ]
    answer = infer(every_type, {"inputs": inputs})
    place = list(GOOD).index(name)
    assert answer.status == 400
    assert answer.error.startswith(f"inputs[{place}].data[0]")
