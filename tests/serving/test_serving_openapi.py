"""/openapi.json says what the server does: held against it by Schemathesis, and by the fields that check requests."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from serving_process import serving

from millgate_serving import openapi
from millgate_serving.constraints import Constraints, InputRules
from millgate_serving.fields import fields
from millgate_serving.openapi import Described
from millgate_serving.signature import Column, Signature, Tensor
from millgate_serving.validation import Layout

HERE = Path(__file__).parent
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


@pytest.fixture(scope="module")
def every_type(saved_models, tmp_path_factory):
    model = saved_models("every_type")
    with serving(tmp_path_factory.mktemp("openapi"), MILLGATE_MODEL_PATH=model, MILLGATE_FEEDBACK_ROWS=100) as server:
        yield server.wait_ready()


def test_no_request_made_from_the_document_is_a_5xx_or_gets_an_answer_that_is_not_in_it(every_type, tmp_path):
    """The first of ten thousand: `python -m e2e.hunts.schema` sends the others."""
    url = f"http://127.0.0.1:{every_type.port}/openapi.json"
    command = [SCHEMATHESIS, "--config-file", HERE / "schemathesis.toml", "run", url, "--checks", "all", "--no-color"]
    few = ["--max-examples", "10", "--phases", "coverage,fuzzing", "--exclude-path-regex", "/versions/", "--seed", "1"]
    hooks = os.environ | {"SCHEMATHESIS_HOOKS": str(HERE / "schema_hooks.py")}
    done = subprocess.run([*command, *few], cwd=tmp_path, env=hooks, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:]
    codes = {int(code) for (name, code), n in every_type.samples().items() if n and name == "millgate_requests_total"}
    assert {200, 400} <= codes
    assert max(codes) < 500


def document(items, layout, rules=Constraints(), **changed):  # noqa: B008 - it is frozen
    signature = Signature(tuple(items), (), "")
    described = {
        "model_name": "fraud",
        "model_version": "8",
        "fields": fields(signature, layout, rules),
        "outputs": ("label", "probabilities"),
        "example": [("label", np.array([1])), ("probabilities", np.array([[0.5, 0.5]]))],
        "rows_only": False,
        "ignore_extra": rules.extra_fields == "ignore",
        "feedback": False,
        "schemes": (),
    }
    return openapi.document(Described(**(described | changed)))


COLUMNS = (Column("a b", "double", required=False), Column("n", "integer", required=True))
LAYOUT = Layout((np.dtype("f4"), np.dtype("i4")))


def test_each_input_has_its_type_its_range_and_whether_it_may_be_missing():
    row = document(COLUMNS, LAYOUT)["components"]["schemas"]["Row"]
    largest = float(np.finfo("f4").max)
    assert row == {
        "type": "object",
        "properties": {
            "a b": {"type": ["number", "null"], "format": "double", "minimum": -largest, "maximum": largest},
            "n": {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1},
        },
        "required": ["n"],
        "additionalProperties": False,
    }


def test_the_rules_of_the_model_are_in_the_document():
    rules = Constraints(
        inputs={"a b": InputRules(enum=(0.5, 1), nullable=True), "n": InputRules(minimum=1)}, extra_fields="ignore"
    )
    row = document(COLUMNS, LAYOUT, rules)["components"]["schemas"]["Row"]
    assert row["properties"]["a b"] == {"type": ["number", "null"], "format": "double", "enum": [0.5, 1, None]}
    assert row["properties"]["n"]["minimum"] == 1
    assert row["additionalProperties"] is True


def test_answers_have_the_types_that_the_model_showed_and_any_where_it_showed_none():
    schemas = document(COLUMNS, LAYOUT)["components"]["schemas"]
    answered = schemas["PredictResponse"]["properties"]
    assert answered["predictions"] == {"type": "array", "items": {"type": "integer"}}
    numbers = {"type": "array", "items": {"type": ["number", "null"]}}
    assert answered["outputs"]["properties"] == {"probabilities": {"type": "array", "items": numbers}}
    unknown = document(COLUMNS, LAYOUT, example=None)["components"]["schemas"]["PredictResponse"]["properties"]
    assert unknown["predictions"] == {"type": "array", "items": {}}


def test_a_model_of_one_unnamed_tensor_takes_rows_only():
    tensor = Tensor("", "float32", (-1, 2, -1))
    schemas = document((tensor,), Layout((np.dtype("f4"),)), rows_only=True)["components"]["schemas"]
    assert "ColumnsRequest" not in schemas
    rows = schemas["RowsRequest"]["properties"]["rows"]
    assert (rows["minItems"], rows["maxItems"]) == (1, 10_000)
    assert (rows["items"]["minItems"], rows["items"]["maxItems"]) == (2, 2)
    assert "maxItems" not in rows["items"]["items"]


def test_predictions_ask_for_credentials_where_the_server_does():
    paths = document(COLUMNS, LAYOUT, schemes=("bearer", "key"), feedback=True)["paths"]
    asking = {
        path for path, operations in paths.items() for operation in operations.values() if "security" in operation
    }
    assert asking == {"/predict", "/feedback", "/v2/models/fraud/infer", "/v2/models/fraud/versions/8/infer"}
    assert not any("security" in json.dumps(operations) for operations in document(COLUMNS, LAYOUT)["paths"].values())


def test_every_path_that_the_server_names_is_in_the_document_and_the_other_way_round(every_type):
    named = set(every_type.request("GET", "/nothing").error.partition("there are ")[2].split(", "))
    described = set(every_type.request("GET", "/openapi.json").json["paths"])
    assert described - named <= {"/feedback"}
    assert named <= described


def test_there_is_no_document_while_there_is_no_model(tmp_path):
    with serving(tmp_path, MLFLOW_TRACKING_URI="http://127.0.0.1:1") as server:
        assert server.request("GET", "/openapi.json").status == 503
