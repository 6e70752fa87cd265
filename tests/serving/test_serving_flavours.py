"""Models beside ONNX and scikit-learn: each answers what MLflow answers, and code runs only where it is allowed."""

import json

import flavour_models
import mlflow
import numpy as np
import pytest
import yaml
from flavour_models import FRAME
from serving_process import preflight, serving

from millgate_serving import engine, mlmodel, validation
from millgate_serving.failure import Reason, ServingError

ROWS = FRAME.head(40)


def answered(folder, rows, **how):
    model = mlmodel.read(folder)
    loaded = engine.load(model, **({"allow_code_execution": False} | how))
    arrays = validation.decoder(model.signature, loaded.engine.layout)(json.dumps({"rows": rows}).encode())
    return loaded, dict(loaded.engine.run(arrays))


@pytest.mark.parametrize("kind", ["booster", "linear", "regressor", "classifier"])
def test_xgboost_answers_as_mlflow_does_and_runs_no_code(kind, tmp_path):
    folder = flavour_models.save_xgboost(kind, tmp_path / "model")
    loaded, outputs = answered(folder, ROWS.to_dict("records"), threads=2)
    assert loaded.flavour == "xgboost"
    wanted = mlflow.xgboost.load_model(str(folder))
    wanted = flavour_models.xgboost_answer(wanted, ROWS)
    found = outputs["predictions"]
    assert found.dtype.kind == wanted.dtype.kind
    assert np.allclose(found, wanted, rtol=1e-6)


def test_lightgbm_answers_as_mlflow_does_and_runs_no_code(tmp_path):
    folder = flavour_models.save_lightgbm("booster", tmp_path / "model")
    loaded, outputs = answered(folder, ROWS.to_dict("records"))
    assert loaded.flavour == "lightgbm"
    assert np.array_equal(outputs["predictions"], mlflow.pyfunc.load_model(str(folder)).predict(ROWS))


def test_lightgbm_estimators_are_pickles_and_go_the_way_of_code(tmp_path):
    folder = flavour_models.save_lightgbm("estimator", tmp_path / "model")
    with pytest.raises(ServingError) as refused:
        engine.load(mlmodel.read(folder), allow_code_execution=False)
    assert refused.value.reason is Reason.CODE_EXECUTION_NOT_ALLOWED
    loaded, outputs = answered(folder, ROWS.to_dict("records"), allow_code_execution=True)
    assert loaded.flavour == "python_function"
    assert outputs["predictions"].tolist() == mlflow.pyfunc.load_model(str(folder)).predict(ROWS).tolist()


def test_a_pyfunc_with_a_table_answers_each_of_its_outputs_by_name(tmp_path):
    folder = flavour_models.save_pyfunc("table", tmp_path / "model")
    _, outputs = answered(folder, [{"a": 1.5, "b": None}, {"a": 2.0, "b": "x"}], allow_code_execution=True)
    assert {name: values.tolist() for name, values in outputs.items()} == {"doubled": [3.0, 4.0], "word": ["x", "x"]}


def test_a_pyfunc_takes_several_tensors_by_name(tmp_path):
    folder = flavour_models.save_pyfunc("tensors", tmp_path / "model")
    rows = [{"left": [1.0, 2.0], "right": [3.0, 4.0]}]
    _, outputs = answered(folder, rows, allow_code_execution=True)
    assert outputs["sum"].tolist() == [10.0]


def edited(folder, change):
    path = folder / "MLmodel"
    document = yaml.safe_load(path.read_text())
    change(document)
    path.write_text(yaml.safe_dump(document))
    return folder


def test_a_class_of_anybody_in_mlmodel_is_never_imported(tmp_path):
    def hostile(document):
        document["flavors"]["xgboost"]["model_class"] = "subprocess.Popen"

    folder = edited(flavour_models.save_xgboost("booster", tmp_path / "model"), hostile)
    with pytest.raises(ServingError) as refused:
        engine.load(mlmodel.read(folder), allow_code_execution=False)
    assert refused.value.reason is Reason.FLAVOUR_NOT_SUPPORTED


def test_files_that_are_no_model_of_the_flavour_fail_to_load(tmp_path):
    for save, file in ((flavour_models.save_xgboost, "model.ubj"), (flavour_models.save_lightgbm, "model.lgb")):
        folder = save("booster", tmp_path / file)
        (folder / file).write_bytes(b"\x80\x04K\x01.")  # a pickle
        with pytest.raises(ServingError) as refused:
            engine.load(mlmodel.read(folder), allow_code_execution=False)
        assert refused.value.reason is Reason.LOAD_FAILED


def test_a_signature_that_does_not_fit_the_features_is_refused(tmp_path):
    def fewer(document):
        document["signature"]["inputs"] = json.dumps(json.loads(document["signature"]["inputs"])[:3])

    for save in (flavour_models.save_xgboost, flavour_models.save_lightgbm):
        folder = edited(save("booster", tmp_path / save.__name__), fewer)
        with pytest.raises(ServingError) as refused:
            engine.load(mlmodel.read(folder), allow_code_execution=False)
        assert refused.value.reason is Reason.SIGNATURE_MISMATCH
        assert "3 columns, the model 4 features" in refused.value.message


def test_a_missing_module_is_named_with_what_to_do(tmp_path):
    def elsewhere(document):
        document["flavors"]["python_function"]["loader_module"] = "a_library_of_their_own"

    folder = edited(flavour_models.save_pyfunc("table", tmp_path / "model"), elsewhere)
    with pytest.raises(ServingError) as refused:
        engine.load(mlmodel.read(folder), allow_code_execution=True)
    assert refused.value.reason is Reason.FLAVOUR_NOT_INSTALLED
    assert "a_library_of_their_own" in refused.value.message
    assert "spec.server.image" in refused.value.message


def test_boosted_trees_are_served_without_any_permission(tmp_path):
    folder = flavour_models.save_xgboost("booster", tmp_path / "model")
    with serving(tmp_path, MILLGATE_MODEL_PATH=folder) as server:
        server.wait_ready()
        assert server.request("GET", "/version").json["flavour"] == "xgboost"
        rows = ROWS.to_dict("records")
        assert len(server.predict({"rows": rows}).json["predictions"]) == len(rows)
        assert server.predict({"rows": [rows[0] | {"a": "1"}]}).status == 400


def test_a_refused_format_says_how_it_would_be_allowed(tmp_path):
    folder = flavour_models.save_pyfunc("table", tmp_path / "model")
    code, result = preflight(tmp_path, MILLGATE_MODEL_PATH=folder)
    assert (code, result["error"]["reason"]) == (1, "CodeExecutionNotAllowed")
    for words in ("python_function", "register it as ONNX", "allowCodeExecution", "MILLGATE_ALLOW_CODE_EXECUTION"):
        assert words in result["error"]["message"]
