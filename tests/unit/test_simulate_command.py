"""`kubectl millgate simulate` as a person meets it: the table, JSON, pictures, and messages that name the fault."""

import io
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from millgate.cli.main import run
from millgate.cli.simulate_command import command
from millgate.cli.svg import clock, mark_seconds
from millgate.simulate.candidates import CANDIDATES

OBJECT: dict[str, Any] = {
    "apiVersion": "millgate.dev/v1alpha1",
    "kind": "ModelDeployment",
    "metadata": {"name": "fraud"},
    "spec": {"model": {"name": "fraud", "version": "8"}, "replicas": 9, "rollout": {"keepWarmSeconds": 60}},
}
QUICK = ("--runs", "12", "--processes", "1")


@pytest.fixture
def cr(tmp_path: Path) -> Path:
    return written(tmp_path, OBJECT)


def written(folder: Path, *objects: dict[str, Any]) -> Path:
    file = folder / "cr.yaml"
    file.write_text(yaml.safe_dump_all(objects))
    return file


def with_rollout(**rollout: Any) -> dict[str, Any]:
    return {**OBJECT, "spec": {**OBJECT["spec"], "rollout": rollout}}


def simulate(*arguments: str | Path) -> int:
    return run(["simulate", *(str(argument) for argument in arguments)])


def test_a_row_for_each_candidate_and_the_rule_of_thumb_beside_it(cr: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate("-f", cr, *QUICK, "--candidate", "healthy", "--candidate", "50x") == 0
    head, healthy, bad, *_ = capsys.readouterr().out.splitlines()
    assert re.split(r" {2,}", head)[:3] == ["CANDIDATE", "PROMOTED", "ROLLED BACK"]
    assert re.split(r" {2,}", healthy) == ["healthy", *("100 %", "0 %", "0 %", "15m / 15m", "0.0", "0 %", "-", "0.0")]
    assert re.split(r" {2,}", bad)[:5] == ["50x", "0 %", "100 %", "0 %", "16s / 16s"]
    assert re.split(r" {2,}", bad)[6:8] == ["100 %", "4m / 4m"]


def test_all_candidates_are_played_when_none_is_named(cr: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate("-f", cr, "--runs", "1", "--processes", "1", "-o", "json") == 0
    said = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in said["candidates"]] == [candidate.name for candidate in CANDIDATES]


def test_json_holds_all_that_went_in_and_came_out(cr: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate("-f", cr, *QUICK, "--candidate", "5x", "-o", "json", "--rate", "50", "--seed", "4") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["seed"], said["runs"], said["traffic"]["requestsPerSecond"]) == (4, 12, 50.0)
    (bad,) = said["candidates"]
    assert bad["policy"]["rolledBack"] == 1.0
    assert bad["policy"]["gates"] == {"errors": 1.0}
    assert 0 < bad["policy"]["secondsToVerdict"]["median"] <= bad["policy"]["secondsToVerdict"]["p90"]


def test_progress_is_told_on_stderr_only(
    cr: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millgate.cli.ticker._SECONDS_BETWEEN_LINES", 0.0)
    assert simulate("-f", cr, *QUICK, "--candidate", "50x") == 0
    told = capsys.readouterr()
    assert "12 of 12 rollouts played" in told.err
    assert "played (" not in told.out


def test_the_object_may_come_from_stdin(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(yaml.safe_dump(OBJECT)))
    assert simulate("-f", "-", *QUICK, "--candidate", "50x") == 0
    assert "50x" in capsys.readouterr().out


def test_what_is_not_played_and_what_differs_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    query = {"promql": 'max(memory{namespace="$(namespace)"})', "max": "1"}
    steps = [
        {"name": "tenth", "weightPercent": 10, "minSeconds": 60, "gates": [{"name": "owner", "type": "Approval"}]},
        {"name": "all", "weightPercent": 100},
    ]
    gates = [
        {"name": "errors", "type": "Compare", "compare": {"preset": "Errors"}},
        {"name": "memory", "type": "Query", "query": query},
        {"name": "inputs", "type": "Compare", "compare": {"preset": "Features"}},
    ]
    cr = with_rollout(steps=steps, gates=gates, keepWarmSeconds=0)
    cr["spec"] = {**cr["spec"], "replicas": 4}
    assert simulate("-f", written(tmp_path, cr), *QUICK, "--candidate", "healthy") == 0
    said = capsys.readouterr().out
    assert "Step tenth gives 20 % where 10 % is asked for: 1 of 5 pods are the candidate's." in said
    assert "Taken to pass, since nothing is known of their answers: memory, inputs." in said
    assert "Approved at once: owner." in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": [{"name": "a", "weightPercent": 110}]}, "spec.rollout.steps[0].weightPercent: Input should be less"),
        ({"gates": [{"name": "e", "type": "Compare"}]}, "spec.rollout.gates[0]: `compare` must be specified when"),
        ({"keepWarm": 1}, "spec.rollout.keepWarm: Extra inputs are not permitted"),
    ],
)
def test_a_wrong_field_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], message: str
) -> None:
    assert simulate("-f", written(tmp_path, with_rollout(**change))) == 1
    assert message in capsys.readouterr().err


def test_a_file_without_the_one_object_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate("-f", written(tmp_path, OBJECT, OBJECT)) == 1
    assert "holds 2 objects of kind ModelDeployment where one is needed" in capsys.readouterr().err
    assert simulate("-f", tmp_path / "none.yaml") == 1
    assert "cannot be read" in capsys.readouterr().err
    assert simulate("-f", written(tmp_path, {**OBJECT, "apiVersion": "millgate.dev/v2"})) == 1
    assert "apiVersion: 'millgate.dev/v2'" in capsys.readouterr().err


def test_help_has_an_example_and_the_candidates(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate("--help") == 0
    said = capsys.readouterr().out
    assert "kubectl millgate simulate -f fraud.yaml" in said
    assert all(candidate.says in said for candidate in CANDIDATES)


def test_every_option_and_candidate_is_on_the_page_of_the_command_line() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    section = page.split("## Simulating\n")[1].split("\n## ")[0]
    options = {name for option in command.params for name in option.opts if name != "--no-color"}
    names = {candidate.name for candidate in CANDIDATES}
    assert {f"`{word}`" for word in options | names if f"`{word}`" not in section} <= {"`--output`", "`-o`"}


# ---- pictures


def drawn(file: Path, cr: Path) -> int:
    return simulate("-f", cr, *QUICK, "--candidate", "5x", "--candidate", "healthy", "--plot", file)


def test_the_picture_shows_both_candidates_and_how_their_runs_ended(cr: Path, tmp_path: Path) -> None:
    assert drawn(tmp_path / "one.svg", cr) == 0
    root = ET.parse(tmp_path / "one.svg").getroot()
    words = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"5x", "healthy", "errors", "latency"} <= set(words)
    assert any(re.fullmatch(r"rolled back after (\d+m)?\d+s", word) for word in words)
    assert any(word == "promoted after 15m00s" for word in words)


def test_a_page_holds_the_same_picture(cr: Path, tmp_path: Path) -> None:
    assert drawn(tmp_path / "one.svg", cr) == 0
    assert drawn(tmp_path / "one.html", cr) == 0
    assert (tmp_path / "one.svg").read_text() in (tmp_path / "one.html").read_text()


def test_png_is_the_picture_in_pixels(cr: Path, tmp_path: Path) -> None:
    assert drawn(tmp_path / "one.png", cr) == 0
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")


def test_a_form_that_is_not_known_is_refused_before_anything_is_played(
    cr: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate("-f", cr, "--plot", "one.gif") == 1
    assert "must end in one of .svg, .html, .png" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "apart"), [(16, 5), (61, 10), (900, 300), (2744, 600), (40_000, 7200), (900_000, 172_800)]
)
def test_an_axis_has_few_marks_at_round_times(seconds: float, apart: int) -> None:
    assert mark_seconds(seconds) == apart
    assert seconds / apart <= 7


def test_the_time_on_an_axis_is_short() -> None:
    assert [clock(seconds) for seconds in (0, 45, 75, 600, 5400, 7200)] == ["0", "45s", "1m15", "10m", "1h30", "2h"]
