"""Checks on labelled rows: accuracy and fairness pass, fail, or say why they cannot tell."""

import pytest

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
    assert found.figures["rows"] == 4000
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
