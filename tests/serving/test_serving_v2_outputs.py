"""Whatever a model answers has a form as tensors, in JSON and in binary, and is described by the one that it has."""

import json
import struct

import numpy as np
import pytest

from millgate_serving.signature import Signature
from millgate_serving.v2_outputs import OutputWriter, tensors

MOMENTS = np.array(["2026-01-02T03:04:05", "NaT"], "datetime64[s]")
SPARSE = np.array([np.int64(7), None], object)
TABLE = [
    ("doubles", np.array([0.5, np.nan]), "FP64", [2], [0.5, None]),
    ("half precision", np.array([[0.5], [1.5]], np.float16), "FP32", [2, 1], [0.5, 1.5]),
    ("booleans", np.array([True, False]), "BOOL", [2], [True, False]),
    ("small integers", np.array([[1, 2]], np.uint8), "UINT8", [1, 2], [1, 2]),
    ("texts", np.array(["a", "é"]), "BYTES", [2], ["a", "é"]),
    ("objects", np.array(["a", b"b", 3], object), "BYTES", [3], ["a", "b", "3"]),
    ("numpy's scalars as objects", SPARSE, "BYTES", [2], ["7", "null"]),
    ("moments", MOMENTS, "BYTES", [2], ["2026-01-02T03:04:05", "NaT"]),
    ("a list of numbers", [0.5, 1], "FP64", [2], [0.5, 1.0]),
    ("a list of lists", [[1, 2], [3, 4]], "INT64", [2, 2], [1, 2, 3, 4]),
    ("a list of texts", ["a", "b"], "BYTES", [2], ["a", "b"]),
    ("lists of different lengths", [[1], [1, 2]], "BYTES", [2], ["[1]", "[1,2]"]),
    ("maps", [{"0": 0.25, "1": np.float32(0.75)}], "BYTES", [1], ['{"0":0.25,"1":0.75}']),
]


def written(values, *, binary):
    content, headers = OutputWriter(("y",), "fraud", "8").write([("y", values)], ((0, binary),), None)
    length = int(dict(headers).get(b"inference-header-content-length", len(content)))
    (output,) = json.loads(content[:length])["outputs"]
    return output, content[length:]


@pytest.mark.parametrize(("values", "datatype", "shape", "data"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE])
def test_an_output_in_json_is_flat_and_in_the_datatype_of_the_model(values, datatype, shape, data):
    output, _ = written(values, binary=False)
    assert output == {"name": "y", "datatype": datatype, "shape": shape, "data": data}


@pytest.mark.parametrize(("values", "datatype", "shape", "data"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE])
def test_an_output_in_binary_holds_the_same(values, datatype, shape, data):
    output, blob = written(values, binary=True)
    assert output["shape"] == shape
    assert output["parameters"] == {"binary_data_size": len(blob)}
    if datatype != "BYTES":
        np.testing.assert_array_equal(np.frombuffer(blob, np.asarray(values).dtype), np.ravel(values))
        return
    assert output["datatype"] == "BYTES"
    texts = []
    while blob:
        (length,) = struct.unpack("<I", blob[:4])
        texts.append(blob[4 : 4 + length].decode())
        blob = blob[4 + length :]
    assert texts == data


@pytest.mark.parametrize("binary", [True, False])
def test_the_metadata_say_what_is_answered(binary):
    for _, values, *_ in TABLE:
        (described,) = tensors(("y",), [("y", values)], Signature((), (), ""))
        output, _ = written(values, binary=binary)
        half = described.datatype == "FP16" and not binary
        assert output["datatype"] == ("FP32" if half else described.datatype)
        assert output["shape"][1:] == list(described.shape[1:])


DECLARED = [
    ("double", "FP64", (-1,)),
    ("float32[-1,2]", "FP32", (-1, 2)),
    ("string", "BYTES", (-1,)),
    ("int64[-1]", "INT64", (-1,)),
]


@pytest.mark.parametrize(("kind", "datatype", "shape"), DECLARED)
def test_before_an_answer_is_known_the_signature_tells_what_will_be(kind, datatype, shape):
    (described,) = tensors(("y",), None, Signature((), (("", kind),), ""))
    assert (described.name, described.datatype, described.shape) == ("y", datatype, shape)


def test_a_signature_with_other_outputs_than_the_model_tells_nothing():
    assert tensors(("y", "z"), None, Signature((), (("", "double"),), "")) == []
