"""Every check passes a good model, fails a bad one, and blames nobody for what it cannot tell."""

import json
import shutil

import pytest
from serving_process import COMMAND, environment

# The verdict as the operator reads it


@pytest.mark.parametrize(("candidate", "verdict"), [("good", "Pass"), ("three_points_worse", "Fail")])
def test_a_verdict_is_the_last_line_the_termination_log_and_the_exit_code(
    checked_models, held_out, tmp_path, candidate, verdict
):
    done = _process(checked_models, tmp_path, candidate, "accuracy", {"data": str(held_out)})
    assert done.returncode == {"Pass": 0, "Fail": 1}[verdict], done.stdout
    last = done.stdout.splitlines()[-1]
    assert last == (tmp_path / "termination-log").read_bytes()
    document = json.loads(last)
    assert document["check"] == "accuracy"
    assert document["verdict"] == verdict
    assert (document["candidate"], document["stable"]) == ("fraud/9", "fraud/8")
    assert len(document["message"]) <= 500
    assert document["decidedBy"] in document["figures"]
    assert ("reason" in document) == (verdict == "Fail")


def test_what_cannot_be_told_ends_with_75_and_says_why(checked_models, tmp_path):
    done = _process(checked_models, tmp_path, "good", "accuracy", {"data": "/nowhere.csv"})
    assert done.returncode == 75
    assert json.loads(done.stdout.splitlines()[-1])["reason"] == "NoData"
    assert _process(checked_models, tmp_path, "good", "beauty", {}).returncode == 75


def _process(models, tmp_path, candidate, check, options):
    import subprocess  # noqa: PLC0415

    variables = {
        "MILLGATE_MODEL_VERSION": "9",
        "MILLGATE_MODEL_PATH": models(candidate),
        "MILLGATE_STABLE_MODEL_NAME": "fraud",
        "MILLGATE_STABLE_MODEL_VERSION": "8",
        "MILLGATE_STABLE_MODEL_PATH": models("good"),
        "MILLGATE_CHECK_OPTIONS": json.dumps(options),
    }
    return subprocess.run(
        [COMMAND, "check", check], env=environment(tmp_path, **variables), capture_output=True, timeout=180, check=False
    )


def test_versions_are_fetched_from_the_registry_and_verified(registered, tmp_path):
    """Two versions of one model; and a stable one whose bytes have changed is no reference."""
    from millgate_serving.checks.command import judged  # noqa: PLC0415

    version = {name: str(value) for name, value in registered("numbers").items()}
    stable = {name.replace("MILLGATE_MODEL", "MILLGATE_STABLE_MODEL"): value for name, value in version.items()}
    variables = version | stable | {"MILLGATE_MODEL_DIR": str(tmp_path), "MILLGATE_REGISTRY_RETRY_SECONDS": "1"}
    assert judged("schema", variables).verdict == "Pass"
    assert (tmp_path / "artefact/MLmodel").exists()
    assert (tmp_path / "stable/artefact/MLmodel").exists()
    other = "sha256:" + "0" * 64
    changed = judged("schema", variables | {"MILLGATE_STABLE_MODEL_DIGEST": other})
    assert (changed.verdict, changed.reason) == ("Unknown", "StableUnavailable")
    changed = judged("schema", variables | {"MILLGATE_MODEL_DIGEST": other})
    assert (changed.verdict, changed.reason) == ("Fail", "ArtifactChanged")
    away = judged(
        "schema", variables | {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1", "MILLGATE_MODEL_DIR": str(tmp_path / "new")}
    )
    assert (away.verdict, away.reason) == ("Unknown", "RegistryUnreachable")


@pytest.mark.parametrize(
    ("check", "options", "named"),
    [
        ("accuracy", {"margin": -1}, "margin"),
        ("accuracy", {"margin": "much"}, "margin"),
        ("accuracy", {"margins": 0.1}, "margins"),
        ("accuracy", {"metric": "F1"}, "metric"),
        ("accuracy", {"minSamples": 5}, "minSamples"),
        ("fairness", {"data": "x.csv"}, "segmentBy"),
        ("latency", {"quantile": "nan"}, "quantile"),
        ("memory", {"repeats": 0}, "repeats"),
        ("schema", {"data": "x"}, "data"),
    ],
)
def test_a_wrong_option_is_named_and_blames_nobody(ask, check, options, named):
    verdict = ask(check, "good", "good", **options)
    assert (verdict.verdict, verdict.reason) == ("Unknown", "OptionsInvalid")
    assert named in verdict.message


@pytest.mark.parametrize("check", ["schema", "accuracy", "latency", "memory"])
def test_without_a_stable_version_a_comparing_check_cannot_tell(ask, held_out, check):
    options = {"data": held_out} if check == "accuracy" else {}
    verdict = ask(check, "good", **options)
    assert (verdict.verdict, verdict.reason) == ("Unknown", "NoStable")


# smoke


ROW = {"age": 1.0, "amount": 0.5, "rate": 0.0, "group": 0.0}


@pytest.mark.parametrize(
    ("case", "verdict"),
    [
        ({"rows": [ROW], "predictions": [1], "outputs": {"score": [0.5]}}, "Pass"),
        ({"rows": [ROW], "predictions": [1], "outputs": {"score": [0.50004]}}, "Pass"),
        ({"rows": [ROW], "predictions": [0]}, "Fail"),
        ({"rows": [ROW, ROW], "outputs": {"score": [0.5, 0.51]}}, "Fail"),
        ({"rows": [ROW], "outputs": {"probability": [0.5]}}, "Fail"),
        ({"rows": [ROW]}, "Unknown"),
        ({"rows": [ROW], "predictions": [1, 1]}, "Unknown"),
        ({"rows": [ROW | {"colour": 1}], "predictions": [1]}, "Unknown"),
    ],
)
def test_golden_requests_are_answered_as_they_should(ask, tmp_path, case, verdict):
    import check_models  # noqa: PLC0415

    found = ask("smoke", "good", data=check_models.golden(tmp_path, case))
    assert found.verdict == verdict, found
    assert found.reason == {"Pass": "", "Fail": "PredictionDiffers", "Unknown": "DataInvalid"}[verdict]


def test_golden_requests_of_the_artefact_are_found_there(ask, checked_models, tmp_path):
    import check_models  # noqa: PLC0415

    model = tmp_path / "model"
    shutil.copytree(checked_models("good"), model)
    check_models.golden(model / "millgate/checks", {"rows": [ROW], "predictions": [0], "name": "the usual one"})
    found = ask("smoke", model)
    assert found.verdict == "Fail"
    assert "the usual one" in found.message
    assert "0 was expected" in found.message


def test_without_golden_requests_the_input_example_is_asked(ask):
    found = ask("smoke", "good")
    assert (found.verdict, found.figures["cases"]) == ("Pass", 0)


# schema


@pytest.mark.parametrize(
    ("candidate", "named"), [("renamed", "'group' is gone"), ("retyped", "was double and is long"), ("root", "score")]
)
def test_a_changed_schema_is_told_by_the_name_of_what_changed(ask, candidate, named):
    found = ask("schema", candidate, "good")
    assert (found.verdict, found.reason) == ("Fail", "SchemaIncompatible")
    assert named in found.message


@pytest.mark.parametrize("candidate", ["better", "wider"])
def test_a_schema_may_stay_or_get_an_optional_input(ask, candidate):
    assert ask("schema", candidate, "good").verdict == "Pass"


def test_a_narrower_range_is_found_by_asking_stables_own_example(ask, checked_models, tmp_path):
    narrow, stable = tmp_path / "narrow", tmp_path / "stable"
    shutil.copytree(checked_models("good"), narrow)
    shutil.copytree(checked_models("good"), stable)
    example = stable / "serving_input_example.json"
    example.write_text(json.dumps({"inputs": {"age": [90], "amount": [1], "rate": [1], "group": [1]}}))
    (narrow / "millgate").mkdir()
    (narrow / "millgate/constraints.json").write_text(json.dumps({"inputs": {"age": {"maximum": 80}}}))
    assert ask("schema", narrow, "good").verdict == "Pass"
    found = ask("schema", narrow, stable)
    assert found.reason == "SchemaIncompatible"
    assert "age" in found.message
