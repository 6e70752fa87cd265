"""Promise *what-you-tested-runs*: other bytes than those of the preflight are never served."""

import http.client
import shutil

import pytest
from serving_process import Server, preflight, serving

ROW = {"a": 1.0, "b": -2.0, "c": 0.5, "d": 3}


def flip_one_byte(path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def readiness_until_the_end(server: Server) -> set[int]:
    """Every answer of /readyz between the start and the end of the process."""
    seen = set()
    while server.process.poll() is None:
        try:
            seen.add(server.request("GET", "/readyz").status)
        except (OSError, http.client.HTTPException):
            continue
    return seen


def test_the_checked_bytes_are_served_and_named(registered, tmp_path):
    _, result = preflight(tmp_path, **registered("numbers"))
    with serving(tmp_path, MILLGATE_MODEL_DIGEST=result["digest"], **registered("numbers")) as server:
        server.wait_ready()
        assert server.request("GET", "/version").json["digest"] == result["digest"]
        assert server.predict({"rows": [ROW]}).status == 200


def test_one_flipped_byte_in_the_registry_and_no_pod_becomes_ready(registered, registry, tmp_path):
    """Given a checked version, when its artefact is overwritten in place, then a new pod ends with ArtifactChanged."""
    version = registered("numbers", of_my_own=True)
    _, result = preflight(tmp_path, **version)
    identity = version["MILLGATE_MODEL_SOURCE"].removeprefix("models:/")
    flip_one_byte(next(registry.artifacts.rglob(f"{identity}/artifacts/model.onnx")))

    pod = tmp_path / "pod"
    pod.mkdir()
    known = {"MILLGATE_MODEL_DIGEST": result["digest"], "MILLGATE_MODEL_FINGERPRINT": result["fingerprint"]}
    with serving(pod, **known, **version) as server:
        assert server.port
        assert readiness_until_the_end(server) <= {503}
        assert server.exit_code() == 1
        error = server.termination_log()["error"]
    assert error["reason"] == "ArtifactChanged"
    assert "model.onnx differs" in error["message"]
    assert result["digest"] in error["message"]
    assert server.termination_log()["digest"] in error["message"]


def test_a_restarted_container_serves_its_verified_files_while_the_registry_is_away(registered, tmp_path):
    _, result = preflight(tmp_path, **registered("numbers"))
    away = registered("numbers") | {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}
    with serving(tmp_path, MILLGATE_MODEL_DIGEST=result["digest"], **away) as server:
        server.wait_ready()
        assert server.predict({"rows": [ROW]}).status == 200


def test_files_that_changed_on_the_pods_own_disk_are_fetched_again(registered, tmp_path):
    _, result = preflight(tmp_path, **registered("numbers"))
    flip_one_byte(tmp_path / "models/artefact/model.onnx")
    with serving(tmp_path, MILLGATE_MODEL_DIGEST=result["digest"], **registered("numbers")) as server:
        server.wait_ready()
        assert server.request("GET", "/version").json["digest"] == result["digest"]


def test_a_model_that_is_part_of_the_image_is_verified_too(saved_models, tmp_path):
    baked_in = {"MILLGATE_MODEL_PATH": saved_models("numbers")}
    code, result = preflight(tmp_path, **baked_in)
    assert code == 0
    with serving(tmp_path, MILLGATE_MODEL_DIGEST=result["digest"], **baked_in) as server:
        server.wait_ready()
    with serving(tmp_path, MILLGATE_MODEL_DIGEST="sha256:" + "1" * 64, **baked_in) as server:
        assert server.exit_code() == 1
        assert server.termination_log()["error"]["reason"] == "ArtifactChanged"


def test_a_file_that_appears_after_the_check_is_a_change(registered, registry, tmp_path):
    version = registered("numbers", of_my_own=True)
    _, result = preflight(tmp_path, **version)
    identity = version["MILLGATE_MODEL_SOURCE"].removeprefix("models:/")
    (next(registry.artifacts.rglob(f"{identity}/artifacts")) / "extra.py").write_text("print('hello')")
    code, again = preflight(tmp_path, MILLGATE_MODEL_DIGEST=result["digest"], **version)
    assert code in {0, 1}
    pod = tmp_path / "pod"
    pod.mkdir()
    code, again = preflight(pod, MILLGATE_MODEL_DIGEST=result["digest"], **version)
    assert (code, again["error"]["reason"]) == (1, "ArtifactChanged")


@pytest.mark.parametrize("file", ["MLmodel", "model.onnx", "serving_input_example.json"])
def test_one_flipped_byte_of_any_file_is_named_and_never_served(saved_models, tmp_path, file):
    """The digest alone cannot tell which file it was; what the preflight reported beside it can."""
    code, result = preflight(tmp_path, MILLGATE_MODEL_PATH=saved_models("numbers"))
    assert code == 0
    damaged = tmp_path / "damaged"
    shutil.copytree(saved_models("numbers"), damaged)
    flip_one_byte(damaged / file)
    known = {"MILLGATE_MODEL_DIGEST": result["digest"], "MILLGATE_MODEL_FINGERPRINT": result["fingerprint"]}
    with serving(tmp_path, MILLGATE_MODEL_PATH=damaged, **known) as server:
        assert readiness_until_the_end(server) <= {503}
        assert server.exit_code() == 1
        assert f"{file} differs" in server.termination_log()["error"]["message"]


def test_ready_means_that_a_request_was_answered_also_without_an_example(saved_models, tmp_path):
    """Given no example, a row is made from the signature; a model that answers none of them is never ready."""
    with serving(tmp_path, MILLGATE_MODEL_PATH=saved_models("every_type")) as server:
        server.wait_ready()
    code, result = preflight(tmp_path, MILLGATE_MODEL_PATH=saved_models("every_type"))
    assert (code, result["inputExample"], result["warmUp"]) == (0, "Absent", "Generated")

    with serving(tmp_path, MILLGATE_MODEL_PATH=saved_models("mixed_without_example")) as server:
        assert readiness_until_the_end(server) <= {503}
        assert server.exit_code() == 1
        error = server.termination_log()["error"]
    assert error["reason"] == "InputExampleFailed"
    assert "input_example=" in error["message"]
