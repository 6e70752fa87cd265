"""The binary tensor extension: tritonclient unchanged, and bodies that no client should send."""

import json
import struct

import numpy as np
import pytest
import tritonclient.http
from tritonclient.utils import InferenceServerException

ROWS = np.array([[1.0, -2.0, 0.5, 3.0], [-5.0, 0.0, 0.25, 1.0]])
INFER = "/v2/models/fraud/infer"
LENGTH = "Inference-Header-Content-Length"


def client(server):
    return tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.port}")


def given(name, array, *, binary=True, datatype=None):
    datatype = datatype or tritonclient.utils.np_to_triton_dtype(array.dtype)
    tensor = tritonclient.http.InferInput(name, array.shape, datatype)
    return tensor.set_data_from_numpy(array, binary_data=binary)


def by_column(rows, *, binary=True):
    return [given(name, rows[:, place].copy(), binary=binary) for place, name in enumerate("abcd")]


# tritonclient


def test_tritonclient_finds_the_server_and_its_model(numbers):
    asked = client(numbers)
    assert asked.is_server_live()
    assert asked.is_server_ready()
    assert asked.is_model_ready("fraud")
    assert asked.is_model_ready("fraud", "8")
    assert not asked.is_model_ready("other")
    assert asked.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    assert [item["name"] for item in asked.get_model_metadata("fraud", "8")["inputs"]] == list("abcd")


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_tritonclient_gets_the_same_numbers_in_json_and_in_binary(numbers, binary_in, binary_out):
    wanted = [
        tritonclient.http.InferRequestedOutput("probabilities", binary_data=binary_out),
        tritonclient.http.InferRequestedOutput("label", binary_data=binary_out),
    ]
    asked = client(numbers)
    result = asked.infer("fraud", by_column(ROWS, binary=binary_in), outputs=wanted, request_id="mine")
    predicted = numbers.predict({"rows": [dict(zip("abcd", row, strict=True)) for row in ROWS.tolist()]}).json
    assert result.as_numpy("label").tolist() == predicted["predictions"]
    assert result.as_numpy("probabilities").tolist() == predicted["outputs"]["probabilities"]
    assert result.get_response()["id"] == "mine"


def test_without_a_choice_tritonclient_gets_all_outputs_in_binary(numbers):
    result = client(numbers).infer("fraud", [given("input", ROWS)], model_version="8")
    assert [output["parameters"].keys() for output in result.get_response()["outputs"]] == [{"binary_data_size"}] * 2
    assert result.as_numpy("label").dtype == np.int64
    assert result.as_numpy("probabilities").shape == (2, 2)


def test_values_of_every_type_go_through_in_binary_unchanged(every_type):
    arrays = {
        "boolean": np.array([True, False]),
        "integer": np.array([-(2**31), 2**31 - 1], np.int32),
        "long": np.array([-(2**63), 2**63 - 1]),
        "float": np.array([1.5, -3.4028234663852886e38], np.float32),
        "double": np.array([2.5, 1e308]),
        "string": np.array(["é", ""], np.object_),
        "optional": np.array([np.nan, 3.5]),
    }
    datatypes = {"string": "BYTES"}
    inputs = [given(name, array, datatype=datatypes.get(name)) for name, array in arrays.items()]
    result = client(every_type).infer("fraud", inputs)
    for name, array in arrays.items():
        answered = result.as_numpy(f"{name}_out")
        if name == "string":
            assert [value.decode() for value in answered] == ["é", ""]
        else:
            np.testing.assert_array_equal(answered, array)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.int64])
def test_numbers_that_fit_without_loss_are_taken_in_their_own_datatype(numbers, dtype):
    rows = np.array([[1, -2, 0, 3], [5, 0, 2, 1]]) if np.dtype(dtype).kind != "u" else np.array([[1, 2, 0, 3]])
    narrow = client(numbers).infer("fraud", by_column(rows.astype(dtype)))
    wide = client(numbers).infer("fraud", by_column(rows.astype(np.float64)))
    np.testing.assert_array_equal(narrow.as_numpy("probabilities"), wide.as_numpy("probabilities"))


TRITON_REFUSED = [
    ("a", np.array([np.nan]), "inputs[0][0]: expected a number, got NaN"),
    ("a", np.array([np.inf]), "inputs[0][0]: expected a finite number"),
    ("a", np.array([1e39]), "inputs[0][0]: expected number <= 3.4028234663852886e+38"),
    ("a", np.array([True]), "inputs[0].datatype: a must be one of FP64"),
    ("a", np.array([1.0, 2.0]), "all inputs must have the same number of rows"),
    ("x", np.array([1.0]), "inputs[0].name: must be one of a, b, c, d"),
]


@pytest.mark.parametrize(("name", "array", "says"), TRITON_REFUSED, ids=[case[2] for case in TRITON_REFUSED])
def test_a_refusal_reaches_tritonclient_with_its_reason(numbers, name, array, says):
    inputs = [given(name, array), *by_column(ROWS[:1])[1:]]
    with pytest.raises(InferenceServerException) as refused:
        client(numbers).infer("fraud", inputs)
    assert refused.value.status() == "400"
    assert says in refused.value.message()


def test_compressed_requests_are_refused_and_answers_are_never_compressed(numbers):
    asked = client(numbers)
    with pytest.raises(InferenceServerException, match="identity"):
        asked.infer("fraud", by_column(ROWS), request_compression_algorithm="gzip")
    answered = asked.infer("fraud", by_column(ROWS), response_compression_algorithm="gzip")
    assert answered.as_numpy("label").shape == (2,)


# By hand


def body(document, blob=b""):
    head = json.dumps(document).encode()
    return head + blob, {LENGTH: str(len(head))}


def one_tensor(size=32, **changes):
    item = {"name": "input", "shape": [1, 4], "datatype": "FP64", "parameters": {"binary_data_size": size}}
    return {"inputs": [item | changes]}


BLOB = ROWS[0].tobytes()


def test_an_answer_in_binary_begins_with_json_of_the_length_in_its_header(numbers):
    content, headers = body(one_tensor() | {"parameters": {"binary_data_output": True}}, BLOB)
    answer = numbers.request("POST", INFER, content, **headers)
    assert answer.headers["content-type"] == "application/octet-stream"
    length = int(answer.headers[LENGTH.lower()])
    label, probabilities = json.loads(answer.body[:length])["outputs"]
    assert label == {"name": "label", "datatype": "INT64", "shape": [1], "parameters": {"binary_data_size": 8}}
    assert probabilities["parameters"] == {"binary_data_size": 8}
    assert len(answer.body) == length + 16
    assert sum(struct.unpack("<2f", answer.body[length + 8 :])) == pytest.approx(1)


def test_json_and_binary_inputs_may_be_mixed(numbers):
    inputs = [{"name": name, "shape": [1], "datatype": "FP64", "data": [1.0]} for name in "abc"]
    last = {"name": "d", "shape": [1], "datatype": "FP64", "parameters": {"binary_data_size": 8}}
    content, headers = body({"inputs": [*inputs, last]}, BLOB[:8])
    assert numbers.request("POST", INFER, content, **headers).status == 200


REFUSED = [
    (one_tensor(), BLOB[:31], {}, "the inputs' sizes sum to 32, the body has 31 bytes"),
    (one_tensor(), BLOB + b"x", {}, "the inputs' sizes sum to 32, the body has 33 bytes"),
    (one_tensor(24), BLOB[:24], {}, "the shape needs 32 bytes of FP64, there are 24"),
    (one_tensor(shape=[2, 4]), BLOB, {}, "the shape needs 64 bytes of FP64, there are 32"),
    (one_tensor(shape=[1, 5]), BLOB, {}, "inputs[0].shape: must be [-1, 4]"),
    (one_tensor(shape=[2**31 - 1, 4]), BLOB, {}, "at most 10000 rows"),
    (one_tensor(datatype="BYTES"), BLOB, {}, "inputs[0].datatype: input must be one of FP64"),
    (one_tensor(data=[1, 2, 3, 4]), BLOB, {}, "inputs[0]: either data or binary data, not both"),
    (one_tensor(-1), BLOB, {}, "inputs[0].parameters.binary_data_size: expected 'integer' >= 0"),
    (one_tensor("32"), BLOB, {}, "inputs[0].parameters.binary_data_size: expected 'integer'"),
    (one_tensor(parameters=None), BLOB, {}, "the inputs' sizes sum to 0, the body has 32 bytes"),
    (one_tensor(), BLOB, {LENGTH: "99999"}, "Inference-Header-Content-Length must be"),
    (one_tensor(), BLOB, {LENGTH: "-1"}, "Inference-Header-Content-Length must be"),
    (one_tensor(), BLOB, {LENGTH: "1" * 5000}, "Inference-Header-Content-Length must be"),
    (one_tensor(), BLOB, {LENGTH: "0"}, "the body is not JSON"),
    (one_tensor(), BLOB, {LENGTH: "10"}, "the body is not JSON"),
]


@pytest.mark.parametrize(("document", "blob", "changed", "says"), REFUSED, ids=[case[3] for case in REFUSED])
def test_bytes_that_do_not_fit_are_refused(numbers, document, blob, changed, says):
    content, headers = body(document, blob)
    answer = numbers.request("POST", INFER, content, **headers | changed)
    assert answer.status in {400, 413}
    assert says in answer.error


ELEMENTS = [
    (b"", "the shape needs 2 elements"),
    (b"\x01\x00\x00\x00a", "the shape needs 2 elements"),
    (b"\x01\x00\x00\x00a" * 3, "the shape needs 2 elements"),
    (b"\x01\x00\x00\x00a\xff\xff\xff\xffb", "the shape needs 2 elements"),
    (b"\x01\x00\x00\x00a\x01\x00\x00\x00", "the shape needs 2 elements"),
    (b"\x01\x00\x00\x00a\x01\x00\x00\x00\xff", "the elements must be UTF-8"),
]


@pytest.mark.parametrize(("blob", "says"), ELEMENTS, ids=[f"{n} {says}" for n, (_, says) in enumerate(ELEMENTS)])
def test_texts_are_counted_and_must_be_utf_8(every_type, blob, says):
    others = {"boolean": "BOOL", "integer": "INT32", "long": "INT64", "float": "FP32", "double": "FP64"}
    inputs = [
        {"name": name, "shape": [2], "datatype": kind, "data": [True, False] if kind == "BOOL" else [1, 2]}
        for name, kind in others.items()
    ]
    text = {"name": "string", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(blob)}}
    content, headers = body({"inputs": [*inputs, text]}, blob)
    answer = every_type.request("POST", INFER, content, **headers)
    assert (answer.status, says in answer.error) == (400, True), answer.body


def test_a_boolean_is_a_byte_0_or_1(every_type):
    inputs = [{"name": "boolean", "shape": [1], "datatype": "BOOL", "parameters": {"binary_data_size": 1}}]
    content, headers = body({"inputs": inputs}, b"\x02")
    assert "a BOOL must be a byte 0 or 1" in every_type.request("POST", INFER, content, **headers).error
