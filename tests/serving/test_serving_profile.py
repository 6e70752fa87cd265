"""What training code writes about a model, and what the server refuses of it: by the file and the field."""

import json
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from serving_process import COMMAND, START_SECONDS, preflight, serving

from millgate_serving import profile
from millgate_serving.failure import Reason, ServingError
from millgate_serving.profile import ProfileError
from millgate_serving.summary import MAX_BUCKETS, OTHER, categorical, even_edges, numeric, roundest, scattered

ANY_NUMBER = st.floats(allow_nan=True, allow_infinity=True)
COLUMNS = [{"name": name, "type": kind} for name, kind in (("amount", "double"), ("items", "long"), ("city", "string"))]
ROWS = pd.DataFrame({"amount": [0.5, 2.5, None, 9.0], "items": [1, 2, 2, 3], "city": ["Ulm", "Bonn", "Ulm", None]})


def folder(tmp_path, inputs=COLUMNS):
    """A model's folder as far as `write` reads it."""
    described = {"flavors": {"onnx": {}}, "signature": {"inputs": json.dumps(inputs), "outputs": None}}
    (tmp_path / "MLmodel").write_text(json.dumps(described))
    return tmp_path


def tensor(*shape, name=None):
    spec = {"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": list(shape)}}
    return [spec | ({"name": name} if name else {})]


# Summaries


@given(arrays(np.float64, st.integers(1, 300), elements=ANY_NUMBER))
@settings(max_examples=200, deadline=None)
def test_every_value_is_in_the_one_bucket_that_le_says_or_missing(values):
    summary = numeric("x", values)
    present = values[np.isfinite(values)]
    assert list(summary.edges) == sorted(set(summary.edges))
    assert len(summary.counts) == len(summary.edges) + 1 <= MAX_BUCKETS
    assert summary.missing == len(values) - len(present)
    for number, edge in enumerate(summary.edges):
        assert sum(summary.counts[: number + 1]) == (present <= edge).sum()
    assert sum(summary.counts) == len(present)


def test_few_values_get_a_bucket_each_and_a_new_larger_one_its_own():
    summary = numeric("x", np.array([0, 1, 1, 5]))
    assert summary.edges == (0.0, 1.0, 5.0)
    assert summary.counts == (1, 2, 1, 0)
    assert numeric("x", np.array([7.5, 7.5])).edges == (7.5,)


@pytest.mark.parametrize("spread", [0.001, 1, 1000])
def test_about_a_twentieth_of_the_rows_is_in_each_bucket(spread):
    values = np.random.default_rng(1).lognormal(size=20_000) * spread
    shares = np.array(numeric("x", values).counts) / len(values)
    assert len(shares) == MAX_BUCKETS
    assert shares.min() > 0.01
    assert shares.max() < 0.09


@pytest.mark.parametrize("draw", ["normal", "exponential", "lognormal"])
def test_two_versions_that_learned_from_different_rows_share_most_edges(draw):
    """Only edges that both have can be compared."""
    first, second = (getattr(np.random.default_rng(seed), draw)(size=5_000) for seed in (1, 2))
    ours, theirs = (set(numeric("x", values).edges) for values in (first, second))
    assert len(ours & theirs) >= 10


ROUND = [(0.031, 0.062, 0.05), (-2.4, 1.0, 0.0), (96.0, 131.0, 100.0), (-0.34, -0.27, -0.3), (0.123, 0.129, 0.125)]


@pytest.mark.parametrize(("low", "high", "expected"), [*ROUND, (1.7, 1.7, 1.7)])
def test_an_edge_is_the_roundest_number_near_its_quantile(low, high, expected):
    found = roundest(low, high)
    assert low <= found <= high
    assert found == pytest.approx(expected, abs=abs(high - low) / 2)
    assert len(repr(found)) <= len(repr(expected))


@given(st.floats(-1e12, 1e12), st.floats(0, 1e12))
@settings(deadline=None)
def test_a_round_edge_is_never_outside_of_its_interval(low, width):
    assert low <= roundest(low, low + width) <= low + width


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e9))
@settings(deadline=None)
def test_edges_of_an_example_span_its_range(low, width):
    edges = even_edges(low, low + width)
    assert 2 <= len(edges) < MAX_BUCKETS
    rounding = 1e-9 * (abs(low) + width)
    assert edges[0] <= low + rounding
    assert edges[-1] >= low + width - rounding
    assert even_edges(low, low) == ()


def test_the_twenty_most_frequent_categories_are_kept_and_the_rest_is_one():
    values = [f"c{number}" for number in range(30) for _ in range(31 - number)] + [None, float("nan"), OTHER, "x" * 101]
    summary = categorical("x", values)
    assert summary.categories == tuple(f"c{number}" for number in range(20))
    assert summary.counts[0] == 31
    assert summary.counts[-1] == sum(31 - number for number in range(20, 30)) + 2
    assert summary.missing == 2
    assert categorical("x", [True, False, True]).categories == ("true", "false")


def test_identifiers_are_known_by_being_all_different():
    assert scattered(categorical("x", [f"id-{number}" for number in range(1000)]))
    assert not scattered(categorical("x", ["a", "b"] * 50))


# Writing


def test_a_written_profile_is_read_back_as_it_was(tmp_path):
    written = profile.write(folder(tmp_path), ROWS, [0, 1, 1, 0], outputs={"score": [0.1, 0.9, 0.8, 0.2]})
    assert profile.read(tmp_path) == written
    amount, items, city = written.features
    assert (amount.edges, amount.counts, amount.missing, amount.max) == ((0.5, 2.5, 9.0), (1, 1, 1, 0), 1, 9.0)
    assert items.edges == (1.0, 2.0, 3.0)
    assert (city.categories, city.counts, city.missing) == (("Ulm", "Bonn"), (2, 1, 0), 1)
    assert [output.name for output in written.outputs] == ["predictions", "score"]
    assert written.outputs[0].categories == ("0", "1")


def test_features_may_be_chosen_and_keep_the_order_that_was_given(tmp_path):
    written = profile.write(folder(tmp_path), ROWS, [0, 1, 1, 0], features=["city", "amount"])
    assert [feature.name for feature in written.features] == ["city", "amount"]


@pytest.mark.parametrize("nothing", [pd.NA, None, np.nan])
def test_every_way_in_which_pandas_says_missing_is_missing(tmp_path, nothing):
    rows = pd.DataFrame({"amount": pd.array([1.0, nothing], "Float64"), "items": [1, 1], "city": ["Ulm", nothing]})
    amount, _, city = profile.write(folder(tmp_path), rows, [0, 1]).features
    assert (amount.missing, city.missing) == (1, 1)


def test_what_moves_on_by_itself_or_is_different_in_every_row_is_left_out(tmp_path):
    inputs = [{"name": name, "type": kind} for name, kind in (("at", "datetime"), ("id", "string"), ("n", "integer"))]
    rows = {"at": np.array(["2026-01-01"] * 99, "M8[ns]"), "id": [f"id-{n}" for n in range(99)], "n": [1] * 99}
    assert [f.name for f in profile.write(folder(tmp_path, inputs), rows, [0] * 99).features] == ["n"]


def test_the_numbers_of_a_tensor_have_names_by_their_place(tmp_path):
    written = profile.write(folder(tmp_path, tensor(-1, 2, 2)), np.zeros((3, 2, 2)), np.zeros((3, 1)))
    assert [f.name for f in written.features] == ["input[0,0]", "input[0,1]", "input[1,0]", "input[1,1]"]
    written = profile.write(folder(tmp_path, tensor(-1, 2, name="x")), {"x": np.zeros((3, 2))}, np.zeros((3, 2)))
    assert [f.name for f in written.features] == ["x[0]", "x[1]"]
    assert [f.name for f in written.outputs] == ["predictions[0]", "predictions[1]"]
    written = profile.write(folder(tmp_path, tensor(-1, 2)), pd.DataFrame({"a": [0.5], "b": [1.5]}), [0])
    assert [(f.name, f.edges) for f in written.features] == [("input[0]", (0.5,)), ("input[1]", (1.5,))]


@pytest.mark.parametrize("shape", [(-1, -1), (-1, 224, 224, 3)])
def test_rows_of_no_fixed_length_and_pictures_are_not_described_number_by_number(tmp_path, shape):
    rows = np.zeros((2, *(5 if length < 0 else length for length in shape[1:])))
    assert profile.write(folder(tmp_path, tensor(*shape)), rows, [0, 1]).features == ()


LABELS = [0, 1, 1, 0]
WRONG = [
    (
        {"inputs": ROWS.drop(columns="city"), "predictions": LABELS},
        "inputs: 'city' of the model's signature is missing",
    ),
    ({"inputs": ROWS.assign(extra=1), "predictions": LABELS}, "inputs: 'extra' is not in the model's signature"),
    ({"inputs": ROWS.assign(items="two"), "predictions": LABELS}, "inputs.items: numbers are needed"),
    ({"inputs": ROWS, "predictions": [0, 1]}, "predictions: 2 rows, the inputs have 4"),
    ({"inputs": ROWS, "predictions": 7}, "predictions: no rows, the inputs have 4"),
    ({"inputs": ROWS[:0], "predictions": []}, "inputs: at least one row is needed"),
    ({"inputs": ROWS, "predictions": LABELS, "features": ["age"]}, "features: the model has no 'age'"),
    ({"inputs": ROWS, "predictions": LABELS, "outputs": {"score": [1]}}, "outputs.score: 1 rows, the inputs have 4"),
    ({"inputs": ROWS, "predictions": np.zeros((4, 21))}, "predictions: at most 20 numbers a row"),
    ({"inputs": np.zeros((4, 2)), "predictions": LABELS}, "inputs: a DataFrame or a mapping with amount, items, city"),
    ({"inputs": {**ROWS, "items": [1]}, "predictions": LABELS}, "inputs.items: 1 rows, others have 4"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_training_code_is_told_the_field_that_does_not_fit(tmp_path, arguments, message):
    with pytest.raises(ProfileError) as raised:
        profile.write(folder(tmp_path), **arguments)
    assert str(raised.value).startswith(message)
    assert not (tmp_path / profile.FILE).exists()


def test_what_the_server_would_refuse_is_not_written(tmp_path):
    long = "a" * 201
    inputs = [{"name": long, "type": "double"}]
    with pytest.raises(ProfileError, match=r"features\[0\]\.name: Expected `str` of length <= 200"):
        profile.write(folder(tmp_path, inputs), {long: [1.0]}, [0])
    assert not (tmp_path / profile.FILE).exists()


@pytest.mark.parametrize("uri", ["runs:/5d3/model", "models:/fraud/8"])
def test_a_version_and_a_run_are_no_place_to_write_to(uri):
    """A version must not change any more, and the files of a run are not those of its logged model."""
    with pytest.raises(ProfileError, match="model: a folder, or models:/m-"):
        profile.write(uri, ROWS, LABELS)


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(ProfileError, match="model: the artefact has no readable MLmodel file"):
        profile.write(tmp_path, ROWS, LABELS)


def test_a_model_of_the_registry_gets_its_profile_before_it_is_a_version(registered, tmp_path):
    """Given a logged model, when its profile is written and it is registered, then the server counts by it."""
    import mlflow  # noqa: PLC0415
    import serving_models  # noqa: PLC0415

    variables = registered("tensor")
    arguments = serving_models.tensor()
    info = mlflow.onnx.log_model(**arguments, name="model", pip_requirements=[])
    values = serving_models.FRAME.to_numpy(np.float32)
    profile.write(info.model_uri, values, serving_models.TARGET)
    version = mlflow.register_model(info.model_uri, "tensor")
    variables |= {"MILLGATE_MODEL_SOURCE": info.model_uri, "MILLGATE_MODEL_VERSION": version.version}
    with serving(tmp_path, **variables) as server:
        server.wait_ready()
        told = server.event("distributions")
    assert (told["source"], told["features"], told["outputs"]) == ("training", 4, 1)
    manifest = (tmp_path / "models/manifest.sha256").read_text()
    assert manifest.count(f"  {profile.FILE}\n") == 1


# Reading


def numbers_profile():
    """A right one for the model `numbers`."""
    feature = {"kind": "numeric", "name": "a", "edges": [0.0, 1.0], "counts": [1, 2, 3], "min": -1, "max": 2}
    output = {"kind": "categorical", "name": "predictions", "categories": ["0", "1"], "counts": [1, 5, 0]}
    return {"format": 1, "rows": 6, "features": [feature], "outputs": [output]}


def changed(path, value):
    document = numbers_profile()
    *way, last = path
    place = document
    for step in way:
        place = place[step]
    place[last] = value
    return document


MALFORMED = [
    (b"{", "Input data was truncated"),
    (b"[]", "Expected `object`, got `array`"),
    (b"\xff", "JSON is malformed"),
    (changed(["format"], 2), "format: Invalid enum value 2"),
    (changed(["features", 0, "kind"], "odd"), "features[0].kind: Invalid value 'odd'"),
    (changed(["features", 0, "edges"], [0, "1"]), "features[0].edges[1]: Expected `float`, got `str`"),
    (changed(["features", 0, "edges"], [1, 0]), "features[0].edges: they must ascend"),
    (changed(["features", 0, "edges"], list(range(20))), "features[0].edges: at most 19"),
    (changed(["features", 0, "counts"], [1, 2]), "features[0].counts: 3 are needed"),
    (changed(["features", 0, "counts"], [1, 2, -1]), "features[0].counts[2]: Expected `int` >= 0"),
    (changed(["outputs", 0, "categories"], ["0", "0"]), "outputs[0].categories: one stands there twice"),
    (changed(["features", 0, "name"], "z"), "features[0].name: the model's signature has no 'z'"),
    (changed(["outputs", 0, "name"], "score"), "outputs[0].name: the model has no output 'score'; it has predictions"),
    (changed(["features", 0], numbers_profile()["outputs"][0] | {"name": "a"}), "features[0].kind: 'a' is double"),
    (changed(["outputs", 0, "name"], "predictions[0]"), "outputs[0]: what the model answers to its own input example"),
    (changed(["edges"], []), "Object contains unknown field `edges`"),
    (changed(["outputs"], numbers_profile()["outputs"] * 2), "outputs: a name stands there twice"),
]


@pytest.mark.parametrize(("content", "message"), MALFORMED)
def test_a_malformed_profile_ends_the_start_by_file_and_field(saved_models, tmp_path, content, message):
    """Choosing what to count is the last step of loading, so nothing of this is found by a client."""
    from millgate_serving import engine, example, measured, mlmodel, validation  # noqa: PLC0415

    model = mlmodel.read(saved_models("numbers"))
    loaded = engine.load(model, allow_code_execution=False).engine
    asked = validation.decoder(model.signature, loaded.layout)(example.request_body(model.example))
    answered = measured.Answered(asked, loaded.run(asked))
    (tmp_path / "millgate").mkdir()
    (tmp_path / profile.FILE).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    moved = type(model)(tmp_path, model.flavours, model.signature, model.example, "", "")
    with pytest.raises(ServingError) as raised:
        measured.choose(moved, loaded, answered, 64)
    assert raised.value.reason == Reason.PROFILE_INVALID
    assert raised.value.message.startswith("millgate/profile.json: ")
    assert message in raised.value.message


def test_a_preflight_fails_on_a_malformed_profile_and_says_where(saved_models, tmp_path):
    shutil.copytree(saved_models("numbers"), tmp_path / "model")
    (tmp_path / "model/millgate").mkdir()
    (tmp_path / "model" / profile.FILE).write_text(json.dumps(changed(["features", 0, "counts"], [1])))
    code, result = preflight(tmp_path, MILLGATE_MODEL_PATH=tmp_path / "model")
    assert (code, result["error"]["reason"]) == (1, "ProfileInvalid")
    assert result["error"]["message"].startswith("millgate/profile.json: features[0].counts: 3 are needed")


# The command


def command(*words):
    done = subprocess.run([COMMAND, "profile", *words], capture_output=True, timeout=START_SECONDS, check=False)
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("kind", [".csv", ".json"])
def test_the_command_describes_what_the_model_answers_to_a_file_of_rows(saved_models, tmp_path, kind):
    import serving_models  # noqa: PLC0415

    model, data = tmp_path / "model", tmp_path / f"rows{kind}"
    shutil.copytree(saved_models("mixed"), model)
    rows = serving_models.MIXED
    if kind == ".csv":
        rows.to_csv(data, index=False)
    else:
        data.write_text(rows.to_json(orient="records"))
    code, told = command(
        model, "--data", data, "--output", "probabilities", "--feature", "country", "--feature", "items"
    )
    assert (code, told["rows"], told["features"]) == (0, len(rows), 2)
    written = profile.read(model)
    assert [output.name for output in written.outputs] == ["predictions", "probabilities[0]", "probabilities[1]"]
    country, items = written.features
    assert country.counts == (*rows["country"].value_counts()[list(country.categories)], 0)
    assert sum(items.counts) == len(rows)


ROWS_REFUSED = [
    ("rows.csv", "amount,items,country\n1.5,two,DE\n", "rows[0].items: expected 'integer', got 'string'"),
    ("rows.csv", "amount,items\n1.5,2\n", "missing field 'country'"),
    ("rows.csv", "amount,items,country\n", "at least one row is needed"),
    ("rows.json", "[1", "cannot be read as json"),
    ("rows.json", '{"data": []}', "a list of rows is needed"),
    ("rows.txt", "", "--data: .csv, .json and .npy can be read"),
    ("rows.csv", "amount,items,country\n1.5,2,Atlantis\n", "the model raised"),
]


@pytest.mark.parametrize("case", ROWS_REFUSED)
def test_the_command_says_what_is_wrong_with_a_row(saved_models, tmp_path, capfd, case):
    from millgate_serving import profile_command  # noqa: PLC0415

    (name, content, message), model = case, tmp_path / "model"
    shutil.copytree(saved_models("mixed"), model)
    (tmp_path / name).write_text(content)
    assert profile_command.run([str(model), "--data", str(tmp_path / name)]) == 1
    told = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert message in told["message"]
    assert not (model / profile.FILE).exists()
