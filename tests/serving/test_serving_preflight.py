"""What a preflight says about a version in a real registry, and what it refuses to say."""

import json

import pytest
from serving_process import preflight, serving

NUMBERS = {"a": "double", "b": "double", "c": "double", "d": "double"}


def test_a_good_version_passes_with_its_digest_schema_and_timings(registered, tmp_path):
    code, result = preflight(tmp_path, **registered("numbers"))
    assert code == 0
    assert result["digest"].startswith("sha256:")
    assert result["files"] >= 5
    assert result["bytes"] == sum(f.stat().st_size for f in (tmp_path / "models/artefact").rglob("*") if f.is_file())
    assert result["schema"]["inputs"] == NUMBERS
    assert result["inputExample"] == "Answered"
    assert set(result["timings"]) == {"fetchSeconds", "loadSeconds", "predictSeconds"}
    assert result["modelId"].startswith("m-")
    assert "error" not in result


def test_the_manifest_lists_every_file_as_sha256sum_does(registered, tmp_path):
    import hashlib  # noqa: PLC0415

    _, result = preflight(tmp_path, **registered("numbers"))
    manifest = (tmp_path / "models/manifest.sha256").read_text()
    assert result["digest"] == "sha256:" + hashlib.sha256(manifest.encode()).hexdigest()
    for line in manifest.splitlines():
        digest, path = line.split("  ", 1)
        assert hashlib.sha256((tmp_path / "models/artefact" / path).read_bytes()).hexdigest() == digest
    assert manifest.splitlines() == sorted(manifest.splitlines())


def test_every_form_of_source_leads_to_the_same_bytes(registered, registry, tmp_path):
    version = registered("numbers")
    identity = version["MILLGATE_MODEL_SOURCE"].removeprefix("models:/")
    artefact = next(registry.artifacts.rglob(f"{identity}/artifacts")).relative_to(registry.artifacts)
    sources = [
        version["MILLGATE_MODEL_SOURCE"],
        f"models:/numbers/{version['MILLGATE_MODEL_VERSION']}",
        f"mlflow-artifacts:/{artefact}",
        "",
    ]
    digests = set()
    for number, source in enumerate(sources):
        folder = tmp_path / str(number)
        folder.mkdir()
        code, result = preflight(folder, **(version | {"MILLGATE_MODEL_SOURCE": source}))
        assert code == 0, result
        digests.add(result["digest"])
    assert len(digests) == 1


CANNOT_TELL = [
    ({"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}, "RegistryUnreachable"),
    ({"MLFLOW_TRACKING_URI": "http://registry.invalid:5000"}, "RegistryUnreachable"),
    ({"MLFLOW_TRACKING_URI": "ftp://registry"}, "InvalidConfiguration"),
    ({"MLFLOW_TRACKING_URI": ""}, "InvalidConfiguration"),
    ({"MILLGATE_MODEL_DIR": "/proc/nowhere"}, "StorageFailed"),
    ({"MILLGATE_MODEL_DIGEST": "md5:1"}, "InvalidConfiguration"),
]
FAILS = [
    ({"MILLGATE_MODEL_SOURCE": "models:/numbers/99"}, "ModelNotFound"),
    ({"MILLGATE_MODEL_SOURCE": "models:/m-00000000000000000000000000000000"}, "ModelNotFound"),
    ({"MILLGATE_MODEL_SOURCE": "mlflow-artifacts:/9/models/m-0/artifacts"}, "ModelNotFound"),
    ({"MILLGATE_MODEL_SOURCE": "s3://bucket/model"}, "SourceNotSupported"),
    ({"MILLGATE_MODEL_SOURCE": "mlflow-artifacts://elsewhere:80/1"}, "SourceNotSupported"),
    ({"MILLGATE_MODEL_DIGEST": "sha256:" + "0" * 64}, "ArtifactChanged"),
]


@pytest.mark.parametrize(("variables", "reason", "code"), [(*c, 75) for c in CANNOT_TELL] + [(*c, 1) for c in FAILS])
def test_each_fault_has_its_own_reason_and_only_the_models_own_faults_fail_it(
    registered, tmp_path, variables, reason, code
):
    exit_code, result = preflight(tmp_path, **(registered("numbers") | variables))
    assert (result["error"]["reason"], exit_code) == (reason, code), result
    assert result["error"]["message"]


def test_a_registry_that_refuses_the_host_header_is_named(registered, registry, tmp_path):
    """MLflow's server refuses hosts that it was not told of: the usual fault inside a cluster (mlflow #22095)."""
    by_another_name = f"http://0x7f000001:{registry.port}"  # 127.0.0.1, in a form that is not on the server's list
    code, result = preflight(tmp_path, **(registered("numbers") | {"MLFLOW_TRACKING_URI": by_another_name}))
    assert code == 75
    assert result["error"]["reason"] == "RegistryHostRefused"
    assert "--allowed-hosts" in result["error"]["message"]


MODELS = [
    ("mixed_with_broken_example", "InputExampleFailed"),
    ("without_signature", "SignatureMissing"),
]


@pytest.mark.parametrize(("model", "reason"), MODELS)
def test_a_model_that_cannot_serve_fails_with_its_reason(registered, tmp_path, model, reason):
    code, result = preflight(tmp_path, **registered(model))
    assert code == 1
    assert result["error"]["reason"] == reason
    assert "US" not in result["error"]["message"]


def test_code_from_a_model_runs_only_where_it_is_allowed(saved_models, tmp_path):
    code, result = preflight(tmp_path, MILLGATE_MODEL_PATH=saved_models("sleepy"))
    assert code == 1
    assert result["error"]["reason"] == "CodeExecutionNotAllowed"
    assert "MILLGATE_ALLOW_CODE_EXECUTION" in result["error"]["message"]


def test_an_absent_example_is_said_and_is_no_fault(saved_models, tmp_path):
    code, result = preflight(tmp_path, MILLGATE_MODEL_PATH=saved_models("every_type"))
    assert (code, result["inputExample"]) == (0, "Absent")
    assert result["schema"]["inputs"]["optional"] == "double?"


def test_a_result_fits_into_a_termination_message_however_many_columns_there_are():
    from millgate_serving import signature  # noqa: PLC0415

    columns = [{"type": "double", "name": f"feature {n}", "required": True} for n in range(3000)]
    read = signature.read({"inputs": json.dumps(columns), "outputs": None})
    summary = signature.summary(read, 2000)
    assert len(json.dumps(summary)) < 2600
    assert summary["truncated"]
    assert summary["sha256"] == read.sha256


@pytest.mark.parametrize("model", ["numbers", "sleepy"])
def test_no_library_leaves_files_of_its_own_or_an_identity_for_telemetry(saved_models, tmp_path, model):
    """ONNX Runtime's telemetry writes a device id and a queue to disk before it sends: none of it must be there."""
    home = tmp_path / "home"
    home.mkdir()
    places = {"HOME": home, "TMPDIR": home, "XDG_CACHE_HOME": home, "CI": "", "MILLGATE_ALLOW_CODE_EXECUTION": "true"}
    code, _ = preflight(tmp_path, MILLGATE_MODEL_PATH=saved_models(model), **places)
    assert code == 0
    assert list(home.rglob("*")) == []


def test_an_answer_of_the_model_changes_nothing_on_disk(registered, tmp_path):
    """A pod's volume may be read by others: nothing but the artefact and its manifest is left there."""
    preflight(tmp_path, **registered("numbers"))
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["artefact", "manifest.sha256"]
    with serving(tmp_path, **registered("numbers")) as server:
        server.wait_ready()
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["artefact", "manifest.sha256"]
