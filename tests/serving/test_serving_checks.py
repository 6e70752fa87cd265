"""Every check passes a good model, fails a bad one, and blames nobody for what it cannot tell."""

import json
import shutil

import pytest
from serving_process import COMMAND, environment

ROWS = 4000


@pytest.fixture(scope="session")
def checked_models(tmp_path_factory):
    """Folders of `check_models`, each made on first use."""
    import check_models as made  # noqa: PLC0415 - imports MLflow: seconds, which pure tests need not pay
    from mlflow.types.schema import ColSpec  # noqa: PLC0415

    columns = [ColSpec("double", name) for name in made.NAMES]
    makers = {
        "good": lambda: (made.linear(),),
        "better": lambda: (made.linear((1.01, -1.0, 0.5, 0.0)),),
        "three_points_worse": lambda: (made.linear((1.0, -1.0, 0.7, 0.0)),),
        "one_point_worse": lambda: (made.linear((1.0, -1.0, 0.58, 0.0)),),
        "bad_segment": lambda: (made.linear(last_group=0.5),),
        "picky": lambda: (made.picky(),),
        "root": lambda: (made.root(), None, "float"),
        "regression": lambda: (made.regression(), None, "float"),
        "regression_off": lambda: (made.regression(1.2), None, "float"),
        "words": lambda: (made.words(), None, "string"),
        "renamed": lambda: (made.linear(), [*columns[:3], ColSpec("double", "segment")]),
        "retyped": lambda: (made.linear(), [*columns[:3], ColSpec("long", "group")]),
        "wider": lambda: (made.linear((*made.WEIGHTS, 0.0)), [*columns, ColSpec("double", "new", required=False)]),
        "slow": lambda: (made.linear(work=3000),),
        "fat": lambda: (made.linear(ballast_bytes=80 << 20),),
    }
    root, saved = tmp_path_factory.mktemp("checked"), {}

    def folder(name):
        if name not in saved:
            saved[name] = made.save(root / name, *makers[name]())
        return saved[name]

    return folder


@pytest.fixture(scope="session")
def held_out(tmp_path_factory):
    """A file of rows with noisy labels."""
    import check_models  # noqa: PLC0415

    path = tmp_path_factory.mktemp("held-out") / "rows.csv"
    check_models.labelled(ROWS).to_csv(path, index=False)
    return path


@pytest.fixture
def ask(checked_models, tmp_path):
    """The verdict of a check; `candidate` and `stable` are names of models, or folders."""
    from millgate_serving.checks.command import judged  # noqa: PLC0415 - imports ONNX Runtime

    def asked(check, candidate, stable=None, **options):
        variables = {
            "MILLGATE_MODEL_NAME": "fraud",
            "MILLGATE_MODEL_VERSION": "9",
            "MILLGATE_MODEL_PATH": _folder(checked_models, candidate),
            "MILLGATE_MODEL_DIR": str(tmp_path),
            "MILLGATE_CHECK_OPTIONS": json.dumps(options, default=str),
        }
        if stable is not None:
            variables |= {
                "MILLGATE_STABLE_MODEL_NAME": "fraud",
                "MILLGATE_STABLE_MODEL_VERSION": "8",
                "MILLGATE_STABLE_MODEL_PATH": _folder(checked_models, stable),
            }
        return judged(check, variables)

    return asked


def _folder(models, name):
    return str(models(name) if isinstance(name, str) else name)


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


# accuracy


@pytest.mark.parametrize(
    ("candidate", "verdict", "reason"),
    [
        ("good", "Pass", ""),
        ("better", "Pass", ""),
        ("three_points_worse", "Fail", "BoundExceeded"),
        ("one_point_worse", "Unknown", "NotConclusive"),
    ],
)
def test_accuracy_is_held_against_stables_on_the_same_rows(ask, held_out, candidate, verdict, reason):
    found = ask("accuracy", candidate, "good", data=held_out)
    assert (found.verdict, found.reason) == (verdict, reason), found
    assert found.figures["rows"] == ROWS
    assert found.figures["stable"] == pytest.approx(0.95, abs=1e-9)


def test_a_wider_margin_lets_a_worse_model_pass_and_numbers_may_be_text(ask, held_out):
    assert ask("accuracy", "three_points_worse", "good", data=held_out, margin="0.05").verdict == "Pass"


@pytest.mark.parametrize(("bound", "verdict"), [(0.9, "Pass"), (0.99, "Fail"), (0.95, "Unknown")])
def test_an_absolute_bound_needs_no_stable_version(ask, held_out, bound, verdict):
    assert ask("accuracy", "good", data=held_out, minAccuracy=bound).verdict == verdict


def test_too_few_rows_tell_nothing(ask, tmp_path):
    import check_models  # noqa: PLC0415

    check_models.labelled(100).to_csv(tmp_path / "few.csv", index=False)
    found = ask("accuracy", "three_points_worse", "good", data=tmp_path / "few.csv")
    assert found.reason == "TooFewSamples"


def test_a_number_can_be_judged_by_a_threshold_or_by_its_error(ask, held_out, tmp_path):
    import check_models  # noqa: PLC0415

    assert ask("accuracy", "good", "good", data=held_out, output="score", threshold=0).figures["stable"] > 0.94
    frame = check_models.rows(600)
    noise = 0.1 * check_models.rows(600, seed=8)["age"]
    labels = frame["age"] - frame["amount"] + 0.5 * frame["rate"] + noise
    frame.assign(label=labels).to_csv(tmp_path / "numbers.csv", index=False)
    found = ask("accuracy", "regression", "regression", data=tmp_path / "numbers.csv")
    assert (found.verdict, found.decided_by, found.figures["ratio"]) == ("Pass", "ratio", 1)
    found = ask("accuracy", "regression_off", "regression", data=tmp_path / "numbers.csv")
    assert (found.verdict, found.reason) == ("Fail", "BoundExceeded")
    assert ask("accuracy", "regression", data=tmp_path / "numbers.csv", maxError=0.2).verdict == "Pass"
    assert ask("accuracy", "regression_off", data=tmp_path / "numbers.csv", maxError=0.1).verdict == "Fail"


def test_texts_are_classes(ask, tmp_path):
    import check_models  # noqa: PLC0415

    frame = check_models.rows(1000)
    frame.assign(label=(frame["age"] > 0).map({True: "yes", False: "no"})).to_csv(tmp_path / "texts.csv", index=False)
    found = ask("accuracy", "words", "words", data=tmp_path / "texts.csv")
    assert (found.verdict, found.figures["candidate"]) == ("Pass", 1)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_rows_may_be_json_lines_or_parquet(ask, tmp_path, suffix):
    import check_models  # noqa: PLC0415

    path, frame = tmp_path / f"rows{suffix}", check_models.labelled(600)
    frame.to_json(path, orient="records", lines=True) if suffix == ".jsonl" else frame.to_parquet(path)
    assert ask("accuracy", "good", "good", data=path).figures["rows"] == 600


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("age,amount,rate,group,truth\n" + "1,1,1,1,1\n" * 600, "row 0 has no 'label'"),
        ("age,amount,rate,group,label\n" + "1,1,1,1,1\n" * 599 + "1,1,1,1,\n", "row 599 has no 'label'"),
        ("age,amount,rate,group,label\n" + "1,1,1,1,maybe\n" * 600, "label of row 0 is not a number"),
        ("age,amount,rate,group,label\n" + "1,1,1,one,1\n" * 600, "group"),
        ("age,amount,rate,group,label\n" + "1,1,1,1,1,1\n" * 600, "row 0: the line has 6 values"),
        ("age,amount,rate,label\n" + "1,1,1,1\n" * 600, "group"),
        ("age,amount,rate,group,label\n", "no row"),
        ("", "no line with the names"),
    ],
)
def test_what_is_wrong_with_the_rows_is_named_and_blames_nobody(ask, tmp_path, content, named):
    (tmp_path / "rows.csv").write_text(content)
    found = ask("accuracy", "good", "good", data=tmp_path / "rows.csv")
    assert (found.verdict, found.reason) == ("Unknown", "DataInvalid")
    assert named in found.message


def test_versions_with_different_inputs_are_asked_the_same_rows(ask, tmp_path):
    import check_models  # noqa: PLC0415

    check_models.labelled(600).assign(new=1.5).to_csv(tmp_path / "rows.csv", index=False)
    assert ask("accuracy", "wider", "good", data=tmp_path / "rows.csv").verdict == "Pass"
    assert ask("accuracy", "good", "wider", data=tmp_path / "rows.csv").verdict == "Pass"


@pytest.mark.parametrize("broken", ["picky", "root"])
def test_a_model_that_raises_or_answers_nan_fails_as_candidate_and_is_no_reference_as_stable(ask, tmp_path, broken):
    import check_models  # noqa: PLC0415

    check_models.labelled(600).assign(group=7.0).to_csv(tmp_path / "rows.csv", index=False)
    found = ask("accuracy", broken, "good", data=tmp_path / "rows.csv")
    assert (found.verdict, found.reason) == ("Fail", "ModelRaised")
    found = ask("accuracy", "good", broken, data=tmp_path / "rows.csv")
    assert (found.verdict, found.reason) == ("Unknown", "StableUnavailable")


# fairness


def test_one_bad_segment_fails_although_the_whole_is_well(ask, held_out):
    assert ask("accuracy", "bad_segment", "good", data=held_out, margin="0.02").verdict == "Pass"
    found = ask("fairness", "bad_segment", "good", data=held_out, segmentBy="group")
    assert (found.verdict, found.reason) == ("Fail", "BoundExceeded")
    assert "where group is '3.0'" in found.message
    assert found.figures["segments"] == 4
    assert ask("fairness", "better", "good", data=held_out, segmentBy="group").verdict == "Pass"


def test_small_segments_are_left_out_and_counted(ask, held_out):
    found = ask("fairness", "bad_segment", "good", data=held_out, segmentBy="group", minSamples=500)
    assert (found.verdict, found.figures["segmentsLeftOut"]) == ("Pass", 1)
    assert "1 segments with fewer than 500 rows were left out" in found.message
    found = ask("fairness", "good", "good", data=held_out, segmentBy="age")
    assert found.reason == "TooFewSamples"


@pytest.mark.parametrize(
    ("rows", "verdict", "reason"), [(4000, "Fail", "BoundExceeded"), (80, "Unknown", "NotConclusive")]
)
def test_the_four_fifths_rule_fails_only_what_chance_does_not_explain(ask, tmp_path, rows, verdict, reason):
    """Of some people 38 % are accepted, of the others 58 %, by the labels and by both versions."""
    import check_models  # noqa: PLC0415

    frame = check_models.labelled(rows)
    labels = check_models.truth(frame)
    accepted, refused = frame.index[labels == 1], frame.index[labels == 0]
    some = frame.index.isin(accepted[: int(0.3 * len(accepted))]) | frame.index.isin(refused[::2])
    frame.assign(some=some, label=labels).to_csv(tmp_path / "rows.csv", index=False)
    found = ask("fairness", "good", "good", data=tmp_path / "rows.csv", segmentBy="some", minSamples=30, margin=0.5)
    assert (found.verdict, found.reason) == (verdict, reason), found
    assert found.decided_by == "selectionRatio"
    assert found.figures["selectionRatio"] < 0.8
    without = {"segmentBy": "some", "minSamples": 30, "margin": 0.5, "minSelectionRatio": 0}
    assert ask("fairness", "good", "good", data=tmp_path / "rows.csv", **without).verdict == "Pass"


def test_fairness_without_stable_holds_what_it_can(ask, held_out):
    assert ask("fairness", "good", data=held_out, segmentBy="group").verdict == "Pass"
    worst = ask("fairness", "bad_segment", data=held_out, segmentBy="group", minAccuracy=0.9)
    assert (worst.verdict, worst.decided_by) == ("Fail", "accuracy")
    assert "'3.0'" in worst.message
    alone = ask("fairness", "good", data=held_out, segmentBy="group", minSelectionRatio=0)
    assert alone.reason == "NoStable"


# latency and memory, of real servers


QUICK = {"durationSeconds": 4, "ratePerSecond": 20, "minSamples": 30, "quantile": 0.5}


def test_a_slow_model_fails_the_benchmark(ask):
    found = ask("latency", "slow", "good", **QUICK, maxRatio=2, maxSeconds=10)
    assert (found.verdict, found.decided_by) == ("Fail", "ratio"), found
    assert found.figures["candidateMedianSeconds"] > found.figures["stableMedianSeconds"]


def test_a_model_as_fast_as_stable_passes_the_benchmark(ask):
    found = ask("latency", "better", "good", **QUICK, maxRatio=100)
    assert found.verdict == "Pass", found
    assert found.figures["requests"] == 40


def test_a_benchmark_too_short_for_its_samples_is_not_begun(ask):
    found = ask("latency", "good", "good", durationSeconds=1, ratePerSecond=10)
    assert found.reason == "TooFewSamples"


def test_a_model_that_raises_fails_the_benchmark_and_the_measurement_of_memory(ask, tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROW | {"group": 9.0}))
    for check, options in (("latency", QUICK), ("memory", {})):
        found = ask(check, "picky", "good", data=tmp_path / "rows.jsonl", **options)
        assert (found.verdict, found.reason) == ("Fail", "ModelRaised"), found


def test_a_model_that_needs_twice_the_memory_fails(ask):
    found = ask("memory", "fat", "good", repeats=1, maxShareOfLimit=1)
    assert (found.verdict, found.decided_by) == ("Fail", "ratio"), found
    assert found.figures["ratio"] > 2
    assert ask("memory", "better", "good", repeats=1, maxShareOfLimit=1).verdict == "Pass"


@pytest.mark.parametrize(
    ("content", "limit"), [("1073741824\n", 1 << 30), ("max\n", None), (f"{(1 << 63) - 4096}\n", None), (None, None)]
)
def test_the_limit_of_the_container_is_read_of_either_version_of_control_groups(tmp_path, content, limit):
    from millgate_serving.checks.memory import limit_bytes  # noqa: PLC0415

    if content is not None:
        (tmp_path / "memory.max").write_text(content)
    assert limit_bytes([tmp_path / "missing", tmp_path / "memory.max"]) == limit
