"""scikit-learn models as ONNX: only where the same requests get the same answers, and the same bytes in every pod."""

import json

import flavour_models
import mlflow
import numpy as np
import pytest
from serving_process import preflight, serving

from millgate_serving import convert, engine, mlmodel, validation
from millgate_serving.converting import Converter
from millgate_serving.parity import Different

CONVERTED = [
    ("forest", "float matrix"),
    ("boosting", "double matrix"),
    ("scaled", "double matrix"),
    ("scaled_moments", "double matrix"),
    ("probabilities", "double matrix"),
    ("words", "double matrix"),
    ("forgiving", "double columns"),
    ("strict", "double columns"),
    ("sklearn_tensor", "double tensor"),
]


@pytest.fixture(scope="session")
def flavoured(tmp_path_factory):
    root, made = tmp_path_factory.mktemp("flavoured"), {}

    def folder(name: str):
        if name not in made:
            made[name] = flavour_models.save_sklearn(getattr(flavour_models, name)(), root / name)
        return made[name]

    return folder


@pytest.mark.parametrize(("name", "inputs"), CONVERTED)
def test_a_model_that_stays_the_same_is_served_as_onnx(flavoured, name, inputs):
    model = mlmodel.read(flavoured(name))
    what, content, found = convert.converted(model)
    assert (what, found.rows >= 2005) == (inputs, True)
    loaded = engine.load(model, allow_code_execution=True, convert=lambda _: (None, content)).engine
    rows = [flavour_models.MIXED.iloc[n].to_dict() for n in range(50)] if name in {"forgiving", "strict"} else None
    frame = flavour_models.FRAME[50:100].assign(a=1.7e9 + np.arange(50) * 7.0)
    rows = rows or (frame.to_numpy().tolist() if name == "sklearn_tensor" else frame.to_dict("records"))
    arrays = validation.decoder(model.signature, loaded.layout)(json.dumps({"rows": rows}).encode())
    (answer,) = loaded.run(arrays)
    wanted = mlflow.pyfunc.load_model(str(flavoured(name))).predict(
        np.array(rows) if name == "sklearn_tensor" else flavour_models.pd.DataFrame(rows)
    )
    if wanted.dtype.kind == "f":
        assert np.allclose(answer[1], wanted, rtol=1e-5, atol=1e-6)
    else:
        assert answer[1].tolist() == wanted.tolist()


def test_the_bytes_of_a_conversion_are_the_same_each_time(flavoured):
    model = mlmodel.read(flavoured("forgiving"))
    assert convert.converted(model)[1] == convert.converted(model)[1]


def test_what_has_no_form_in_onnx_is_told_for_each_way_that_was_tried(flavoured):
    with pytest.raises(Different) as refused:
        convert.converted(mlmodel.read(flavoured("histogram")))
    assert "double matrix: skl2onnx raised ValueError" in str(refused.value)
    assert "float matrix" in str(refused.value)


def test_float32_takes_the_place_of_a_declared_double_only_where_the_model_does_not_care(flavoured):
    with pytest.raises(Different) as refused:
        convert.converted(mlmodel.read(flavoured("vectors_of_moments")))
    assert "float matrix: rounding to float32 changes the model" in str(refused.value)


ALLOWED = {"MILLGATE_ALLOW_CODE_EXECUTION": "true", "MILLGATE_CONVERSION_SECONDS": 300}


def test_a_converted_model_is_proved_named_and_kept_and_the_server_runs_none_of_its_code(registry, tmp_path):
    """Given a scikit-learn version, then its pods answer from the ONNX file whose digest the preflight reported."""
    mlflow.set_tracking_uri(registry.url)
    mlflow.set_experiment("conversion")
    info = mlflow.sklearn.log_model(
        **flavour_models.scaled(), name="model", pip_requirements=[], serialization_format="cloudpickle"
    )
    version = {"MLFLOW_TRACKING_URI": registry.url, "MILLGATE_MODEL_SOURCE": f"models:/{info.model_id}", **ALLOWED}

    code, result = preflight(tmp_path, **version)
    assert code == 0
    conversion = result["conversion"]
    assert conversion["servedAs"] == "onnx"
    assert conversion["rows"] == 2006
    assert conversion["largestDifference"] <= 1e-6

    with serving(tmp_path, MILLGATE_MODEL_DIGEST=result["digest"], **version) as server:
        server.wait_ready()
        assert "converted" not in [event["event"] for event in server.events]  # found in the volume
        row = {"a": 5.0, "b": 5.0, "c": 0.0, "d": 0.0}
        answer = server.predict({"rows": [row]}).json
        assert answer["predictions"] == [1]
        assert "outputs" not in answer  # the form of an answer does not tell how it was made
        loaded = open(f"/proc/{server.process.pid}/maps").read()  # noqa: PTH123, SIM115
        assert "sklearn" not in loaded
        assert server.request("GET", "/version").json["conversion"] == conversion["sha256"]

    # A damaged file is made again, with the same bytes.
    kept = tmp_path / "models/converted/model.onnx"
    good = kept.read_bytes()
    kept.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    code, again = preflight(tmp_path, MILLGATE_MODEL_DIGEST=result["digest"], **version)
    assert (code, again["conversion"]) == (0, conversion)
    assert kept.read_bytes() == good


def test_a_model_that_cannot_be_converted_is_served_by_its_own_flavour_with_the_reason(flavoured, tmp_path):
    code, result = preflight(tmp_path, MILLGATE_MODEL_PATH=flavoured("histogram"), **ALLOWED)
    assert code == 0
    assert result["conversion"]["servedAs"] == "sklearn"
    assert "skl2onnx raised ValueError" in result["conversion"]["reason"]
    assert result["inputExample"] == "Answered"


def test_a_pod_with_little_memory_is_not_ended_by_a_conversion(flavoured, tmp_path, monkeypatch):
    monkeypatch.setattr("millgate_serving.cgroup.memory_bytes", lambda: 256 << 20)
    found, content = Converter("sha256:0", tmp_path, 60).convert(flavoured("scaled"))
    assert content == b""
    assert "memory limit" in found.refused
    assert "there are 256" in found.refused


def test_a_conversion_that_takes_too_long_or_is_switched_off_says_so(flavoured, tmp_path):
    for seconds, reason in ((0, "switched off"), (0.01, "longer than 0.01 s")):
        found, content = Converter("sha256:0", tmp_path, seconds).convert(flavoured("scaled"))
        assert (content, reason in found.refused) == (b"", True)
