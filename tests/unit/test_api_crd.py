"""The generated files are those of the types, and the CRD has the form that the Kubernetes API conventions ask for."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from millgate.api import crd as crd_module
from millgate.api.crd import crd, generated_files, main
from millgate.api.names import NAME_MAX_LENGTH, gate_job_name, preflight_job_name, workload_name
from millgate.api.schema import nodes
from millgate.api.spec import ModelDeploymentSpec
from millgate.api.status import GateStatus

REPOSITORY = Path(__file__).resolve().parents[2]
VERSION = crd()["spec"]["versions"][0]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]
NODES = [(path, node) for path, node in nodes(SCHEMA) if path not in {"", "metadata"}]
HASH = "r123456789"


@pytest.mark.parametrize("path", generated_files(), ids=str)
def test_no_generated_file_is_stale(path: Path) -> None:
    assert (REPOSITORY / path).read_text("utf-8") == generated_files()[path], "run `python -m millgate.api.crd`"


def test_the_crd_stays_far_below_the_262144_bytes_that_client_side_apply_takes() -> None:
    assert len(generated_files()[Path("crds/modeldeployments.millgate.dev.yaml")].encode()) < 100_000


@pytest.mark.parametrize("word", ["$ref", "$defs", "anyOf", "allOf", "oneOf", "title", "const", "nullable"])
def test_the_schema_is_structural(word: str) -> None:
    def holds(value: Any) -> bool:
        if isinstance(value, dict):
            return word in value or any(holds(item) for item in value.values())
        return isinstance(value, list) and any(holds(item) for item in value)

    assert not holds(SCHEMA)


def test_every_field_is_described_and_typed() -> None:
    assert [path for path, node in NODES if not node.get("description") and not path.endswith(("[]", "<key>"))] == []
    assert [path for path, node in NODES if "type" not in node] == []


def test_numbers_are_whole_and_have_a_width() -> None:
    assert {node["type"] for _, node in NODES} == {"object", "array", "string", "integer", "boolean"}
    assert {node.get("format") for _, node in NODES if node["type"] == "integer"} == {"int32", "int64"}
    assert SCHEMA["properties"]["status"]["properties"]["observedGeneration"]["format"] == "int64"


def test_lists_of_things_with_names_merge_by_name() -> None:
    keys = {path: node["x-kubernetes-list-map-keys"] for path, node in NODES if "x-kubernetes-list-map-keys" in node}
    assert keys["spec.rollout.steps"] == keys["spec.rollout.gates"] == keys["spec.rollout.steps[].gates"] == ["name"]
    assert keys["spec.server.env"] == ["name"]
    assert keys["status.conditions"] == ["type"]


def test_enums_are_camel_case() -> None:
    words = [word for path, node in NODES if path.startswith("spec") for word in node.get("enum", ())]
    assert words
    assert [word for word in words if not word[0].isupper()] == []


def test_rules_speak_as_kubernetes_does() -> None:
    messages = [rule["message"] for _, node in nodes(SCHEMA) for rule in node.get("x-kubernetes-validations", ())]
    assert all(any(word in message for word in ("must", "may not")) for message in messages)
    assert not any("should" in message for message in messages)


def test_there_is_no_namespace_in_any_reference() -> None:
    """A CR reaches nothing outside of its own namespace (facts/conventions.md 5.2, rule 3)."""
    assert [path for path, _ in NODES if "namespace" in path.lower()] == []


def test_only_what_the_user_may_leave_to_us_has_a_default() -> None:
    defaults = {path: node["default"] for path, node in NODES if "default" in node}
    assert "spec.replicas" not in defaults
    assert {path: value for path, value in defaults.items() if path.startswith("status")} == {
        "status": {"observedGeneration": -1}
    }


def test_defaults_of_the_schema_are_those_that_the_operator_reads() -> None:
    smallest = {"model": {"name": "fraud", "version": "8"}}
    defaults = {
        name: field["default"]
        for name, field in SCHEMA["properties"]["spec"]["properties"].items()
        if "default" in field
    }
    assert ModelDeploymentSpec.model_validate(smallest | defaults) == ModelDeploymentSpec.model_validate(smallest)


def test_the_columns_are_those_of_the_design() -> None:
    shown = [column["name"].upper() for column in VERSION["additionalPrinterColumns"] if not column.get("priority")]
    assert shown == ["READY", "STATUS", "STABLE", "CANDIDATE", "WEIGHT", "STEP", "AGE"]


@given(
    gate=st.from_regex(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?", fullmatch=True),
    attempt=st.integers(1, 9_999),
    visit=st.integers(0, 2**53),
)
def test_the_longest_name_leaves_room_for_every_child(gate: str, attempt: int, visit: int) -> None:
    name = "f" * NAME_MAX_LENGTH
    children = [
        workload_name(name, HASH),
        preflight_job_name(name, HASH, attempt),
        gate_job_name(name, HASH, gate, gate, visit),
    ]
    assert max(map(len, children)) <= 63
    assert len(set(children)) == len(children)


def test_gates_steps_and_visits_have_jobs_of_their_own() -> None:
    names = {gate_job_name("f", HASH, gate, step, visit) for gate in "ab" for step in "ab" for visit in (1, 2)}
    assert len(names) == 8


def test_a_long_message_is_cut_so_that_status_can_be_written() -> None:
    gate = GateStatus(name="g", step="s", verdict="Fail", reason="OutOfBounds", message="x" * 5000)
    assert len(gate.message) == 1024
    assert gate.message.endswith("…")
    limits = {node["maxLength"] for path, node in NODES if path.startswith("status") and path.endswith("message")}
    assert limits == {1024}


def test_check_tells_stale_files_and_writing_mends_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([]) == 2, "not in a checkout"
    (tmp_path / "crds").mkdir()
    assert main(["--check"]) == 1
    assert "is stale" in capsys.readouterr().out
    assert main([]) == 0
    assert main(["--check"]) == 0
    written = yaml.safe_load((tmp_path / "crds/modeldeployments.millgate.dev.yaml").read_text("utf-8"))
    assert written == crd_module.crd()


@pytest.mark.parametrize("path", sorted((REPOSITORY / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_every_example_is_read_by_the_operator(path: Path) -> None:
    for obj in yaml.safe_load_all(path.read_text("utf-8")):
        assert ModelDeploymentSpec.model_validate(obj["spec"])


def test_the_smallest_example_has_eight_lines() -> None:
    assert len((REPOSITORY / "examples/smallest.yaml").read_text("utf-8").splitlines()) == 8
