"""What is counted of requests and answers: every row in its bucket, whatever comes, and nothing lost or made up."""

import json
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from serving_process import serving

from millgate_serving import profile
from millgate_serving.distribution_text import DistributionText
from millgate_serving.distributions import MAX_WAITING_ROWS, Distributions
from millgate_serving.measured import Measured, Place, Variable
from millgate_serving.summary import OTHER, Categorical, Numeric

EDGES = (-1.0, 0.1, 2.0)
MATRIX = Measured(
    "training",
    features=(
        Variable(Numeric("a", EDGES, (1, 2, 3, 4), missing=5, sum=6.5, min=-2.0, max=3.0), Place(0, 0)),
        Variable(Numeric("b", (), (7,), min=0.0, max=0.0), Place(0, 2)),
        Variable(Numeric("c", EDGES[:1], (0, 0)), Place(0, 1)),
    ),
    outputs=(
        Variable(Categorical("predictions", ("0", "true"), (1, 2, 3)), Place(0, None)),
        Variable(Numeric("score[1]", (0.5,), (1, 1), min=0.0, max=1.0), Place(1, 1)),
    ),
)


BOTH_KINDS = Measured(
    "training",
    features=(MATRIX.features[0], Variable(Categorical("city", ("Ulm",), (1, 0)), Place(1, None))),
    outputs=MATRIX.outputs,
)


def series(distributions):
    """By name and what tells them apart."""
    text = "\n".join(DistributionText(distributions, 'model="m"').lines()) + "\n"
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, *[value for name, value in sorted(sample.labels.items()) if name != "model"])
            assert key not in found
            found[key] = sample.value
    return found


def of_feature(found, name):
    """The lines of a feature's histogram, without its own name."""
    own = {key: value for key, value in found.items() if key[0].startswith("millgate_feature_") and key[1] == name}
    return {key[2] if len(key) == 3 else key[0].removeprefix("millgate_feature_"): value for key, value in own.items()}


def test_every_series_is_there_at_zero_before_the_first_request_and_training_beside_it():
    found = series(Distributions(MATRIX))
    live = {key: value for key, value in found.items() if "training" not in key[0] and "profile" not in key[0]}
    assert set(live.values()) == {0}
    assert ("millgate_feature_bucket", "a", "-1.0") in live
    assert ("millgate_prediction_category_total", OTHER, "predictions") in live
    for (name, *rest), value in live.items():
        if "out_of_range" not in name and "uncounted" not in name:
            assert (name.replace("millgate_", "millgate_training_"), *rest) in found, (name, value)
    training = {key[2]: value for key, value in found.items() if key[:2] == ("millgate_training_feature_bucket", "a")}
    assert training == {"-1.0": 1, "0.1": 3, "2.0": 6, "+Inf": 10}
    assert found["millgate_training_feature_sum", "a"] == 6.5
    assert found["millgate_training_feature_count", "a"] == 10
    assert found["millgate_training_feature_missing_total", "a"] == 5
    assert found["millgate_training_prediction_category_total", OTHER, "predictions"] == 3
    assert found["millgate_profile_info", "training"] == 1


def test_the_presets_of_the_operator_read_what_is_exported():
    """The one contract between the two packages, which share no code."""
    from millgate.gates.presets import FEATURES, PREDICTIONS, TRAINING  # noqa: PLC0415

    text = "\n".join(DistributionText(Distributions(BOTH_KINDS), 'model="m"').lines()) + "\n"
    exported = {
        (sample.name, label)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        for label in sample.labels
    }
    read = [
        (family, shape.variable) for shape in (PREDICTIONS, FEATURES, *TRAINING.values()) for family in shape.families
    ]
    assert len(set(read)) == 12
    assert set(read) <= exported
    assert {("millgate_feature_bucket", "le"), ("millgate_training_feature_category_total", "category")} <= exported


def test_above_a_rate_of_rows_whole_requests_are_left_out_and_counted():
    """A hundred rows a request, thousands of requests a second: counting them all would cost more than the model."""
    distributions = Distributions(MATRIX, rows_per_second=1000)
    rows = np.ones((200, 3), np.float32)
    for half_second in range(1, 4):
        for _ in range(10):
            distributions.leave([rows], None)
        distributions.tick()
        counted = series(distributions)["millgate_feature_count", "a"]
        # Three requests of 200 rows are more than 500, which the next half second pays back.
        assert counted == [600, 1000, 1600][half_second - 1]
        assert counted + distributions.left_out_rows == 2000 * half_second
    assert series(distributions)["millgate_uncounted_rows_total",] == distributions.left_out_rows


VALUE = st.one_of(st.sampled_from([-2.0, -2.1, -1.0, 0.1, 2.0, 3.0, 3.1, np.nan, np.inf, -np.inf]), st.floats(-5, 5))
REQUEST = st.tuples(st.integers(1, 400), st.lists(VALUE, min_size=1, max_size=30), st.booleans())


@given(st.lists(REQUEST, min_size=1, max_size=6), st.sampled_from([np.float32, np.float64]))
@settings(max_examples=60, deadline=None)
def test_counts_are_those_of_a_plain_loop_however_requests_are_cut(requests, dtype):
    """Also for float32, where 0.1 is larger than the 0.1 of a profile and yet belongs to its bucket."""
    distributions, seen, answers = Distributions(MATRIX), [], []
    for rows, pool, answered in requests:
        asked = np.resize(np.array(pool, dtype), (rows, 3))
        labels = (np.arange(rows) % 3).astype(np.int64)
        scores = np.resize(np.array([0.25, 0.5, 0.75, np.nan], dtype), (rows, 2))
        distributions.leave([asked], [("label", labels), ("score", scores)] if answered else None)
        seen.append(asked)
        answers += [(labels, scores)] if answered else []
        if distributions.due:
            distributions.count()
    found = series(distributions)

    values = np.concatenate(seen)[:, 0]
    present = values[np.isfinite(values)]
    shown = of_feature(found, "a")
    for edge in EDGES:
        assert shown[repr(edge)] == (present <= dtype(edge)).sum()
    assert shown["+Inf"] == shown["count"] == len(present)
    assert shown["missing_total"] == len(values) - len(present)
    assert shown["out_of_range_total"] == ((present < dtype(-2.0)) | (present > dtype(3.0))).sum()
    assert shown["sum"] == pytest.approx(present.astype(float).sum(), rel=1e-6, abs=1e-6)
    assert ("millgate_feature_out_of_range_total", "c") not in found, "its range is not known"

    labels = np.concatenate([pair[0] for pair in answers] or [np.zeros(0)])
    scores = np.concatenate([pair[1][:, 1] for pair in answers] or [np.zeros(0)])
    assert found["millgate_prediction_category_total", "0", "predictions"] == (labels == 0).sum()
    assert found["millgate_prediction_category_total", OTHER, "predictions"] == (labels > 0).sum()
    assert found["millgate_prediction_bucket", "0.5", "score[1]"] == (scores <= 0.5).sum()
    assert found["millgate_prediction_missing_total", "score[1]"] == np.isnan(scores).sum()


def test_columns_of_different_types_are_each_counted_in_their_own():
    measured = Measured(
        "training",
        features=(
            Variable(Numeric("n", (1.0, 2.0), (0, 0, 0)), Place(0, None)),
            Variable(Numeric("x", (0.1,), (0, 0)), Place(1, None)),
            Variable(Categorical("city", ("Ulm",), (0, 0)), Place(2, None)),
            Variable(Categorical("new", ("true",), (0, 0)), Place(3, None)),
        ),
    )
    distributions = Distributions(measured)
    for city in ("Ulm", "Bonn", None):
        asked = [np.array([2]), np.array([0.1], np.float32), np.array([city], object), np.array([True])]
        distributions.leave(asked, None)
    found = series(distributions)
    assert of_feature(found, "n") == {"1.0": 0, "2.0": 3, "+Inf": 3, "sum": 6, "count": 3, "missing_total": 0}
    assert of_feature(found, "x")["0.1"] == 3
    assert found["millgate_feature_category_total", "Ulm", "city"] == 1
    assert found["millgate_feature_category_total", OTHER, "city"] == 1
    assert found["millgate_feature_missing_total", "city"] == 1
    assert found["millgate_feature_category_total", "true", "new"] == 3


ODD_ANSWERS = [
    [("label", [{"0": 0.5}]), ("score", None)],
    [("label", np.array([[1]])), ("score", np.array([0.5]))],
    [("label", np.array([0.5])), ("score", np.array([["a", "b"]]))],
]


@pytest.mark.parametrize("answer", ODD_ANSWERS)
def test_an_answer_of_another_form_than_the_profile_says_is_no_count_and_no_failure(answer):
    distributions = Distributions(MATRIX)
    distributions.leave([np.zeros((1, 3))], answer)
    distributions.leave([np.zeros((1, 3))], [("label", np.array([0])), ("score", np.zeros((1, 2)))])
    distributions.count()
    distributions.leave([np.zeros((1, 3))], [("label", np.array([0])), ("score", np.zeros((1, 2)))])
    found = series(distributions)
    assert of_feature(found, "a")["count"] == 3
    assert found["millgate_prediction_category_total", "0", "predictions"] >= 1
    assert found["millgate_prediction_category_total", OTHER, "predictions"] == 0


def test_nothing_is_lost_when_requests_end_in_two_threads_while_it_is_scraped():
    distributions, each = Distributions(MATRIX), 2000

    def ask():
        for _ in range(each):
            distributions.leave([np.zeros((3, 3))], [("label", np.zeros(3, int)), ("score", np.zeros((3, 2)))])
            if distributions.due:
                distributions.count()

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        found = series(distributions)
        assert of_feature(found, "a")["+Inf"] == of_feature(found, "a")["count"] <= 2 * each * 3
    found = series(distributions)
    assert of_feature(found, "a")["count"] == found["millgate_prediction_category_total", "0", "predictions"] == 12_000


def test_what_waits_is_bounded_by_rows():
    distributions = Distributions(MATRIX)
    for _ in range(MAX_WAITING_ROWS - 1):
        distributions.leave([np.zeros((1, 3))], None)
    assert not distributions.due
    distributions.leave([np.zeros((1, 3))], None)
    assert distributions.due
    distributions.count()
    assert not distributions.due


# The real server


def with_profile(source, target, **arguments):
    shutil.copytree(source, target)
    profile.write(target, **arguments)
    return target


def samples(server):
    """Every series by name and its own labels."""
    text = server.request("GET", "/metrics").body.decode()
    own = {"model", "version", "revision"}
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels) if name not in own)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_scrape_right_after_an_answer_knows_it_and_the_training_stands_beside(saved_models, tmp_path):
    """Given a model with its profile, when clients ask, then the next scrape is exact; failed rows count as asked."""
    import serving_models  # noqa: PLC0415

    rows = serving_models.MIXED
    model = with_profile(saved_models("mixed"), tmp_path / "model", inputs=rows, predictions=serving_models.TARGET)
    with serving(tmp_path, MILLGATE_MODEL_PATH=model) as server:
        server.wait_ready()
        assert server.event("distributions")["source"] == "training"
        before = samples(server)
        assert all(n == 0 for (name, *_), n in before.items() if name.startswith(("millgate_feature", "millgate_pred")))
        row = {"amount": 99.0, "items": 2, "country": "DE"}
        answers = [server.predict({"rows": [row] * 3}).json["predictions"][0] for _ in range(4)]
        assert server.predict({"rows": [row | {"country": "Atlantis"}]}).status == 500
        assert server.predict({"rows": [row | {"items": "two"}]}).status == 400
        after = samples(server)

    assert after["millgate_feature_count", "items"] == 13
    assert after["millgate_feature_bucket", "items", "2.0"] == 13
    assert after["millgate_feature_bucket", "items", "1.0"] == 0
    assert after["millgate_feature_out_of_range_total", "amount"] == 13
    assert after["millgate_feature_category_total", "DE", "country"] == 12
    assert after["millgate_feature_category_total", OTHER, "country"] == 1
    assert after["millgate_prediction_category_total", str(answers[0]), "predictions"] == 12
    assert after["millgate_training_feature_category_total", "DE", "country"] == (rows["country"] == "DE").sum()
    assert after["millgate_training_feature_count", "amount"] == len(rows)
    assert after["millgate_profile_left_out", "outputs"] == 1, "probabilities were not described"
    assert {key: n for key, n in after.items() if "training" in key[0]} == {
        key: n for key, n in before.items() if "training" in key[0]
    }


def test_what_waits_is_counted_although_nobody_scrapes_and_no_more_requests_come(saved_models):
    from millgate_serving.app import App  # noqa: PLC0415
    from millgate_serving.metrics import Metrics  # noqa: PLC0415
    from millgate_serving.server import Server, listen  # noqa: PLC0415
    from millgate_serving.settings import read  # noqa: PLC0415

    configured = read({"MILLGATE_MODEL_NAME": "x", "MILLGATE_MODEL_PATH": str(saved_models("numbers"))})
    metrics = Metrics(configured)
    app = App(configured, metrics)
    distributions = app.predicting.distributions = metrics.measure(MATRIX)
    server = Server(app, configured)
    listener = listen(0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        distributions.leave([np.zeros((1, 3))], None)
        ends = time.monotonic() + 20
        while not distributions.features.numeric.totals[0] and time.monotonic() < ends:
            time.sleep(0.01)
        assert distributions.features.numeric.totals[0] == 1
    finally:
        server.stop()
        thread.join(20)


def test_at_most_as_many_features_as_configured_and_the_others_are_told(saved_models, tmp_path):
    import serving_models  # noqa: PLC0415

    frame = serving_models.FRAME
    model = with_profile(
        saved_models("numbers"),
        tmp_path / "model",
        inputs=frame,
        predictions=serving_models.TARGET,
        features=["d", "b", "a"],
    )
    with serving(tmp_path, MILLGATE_MODEL_PATH=model, MILLGATE_MAX_FEATURES=2) as server:
        server.wait_ready()
        found, told = samples(server), server.event("distributions")
    assert {key[1] for key in found if key[0] == "millgate_feature_count"} == {"d", "b"}
    assert found["millgate_profile_left_out", "features"] == told["featuresLeftOut"] == 2
    assert told["leftOut"] == ["probabilities", "a", "c"]


def test_without_a_profile_the_input_example_gives_the_edges_and_nothing_is_called_training(saved_models, tmp_path):
    with serving(tmp_path, MILLGATE_MODEL_PATH=saved_models("numbers")) as server:
        server.wait_ready()
        server.predict({"rows": [{"a": 1, "b": 1, "c": 1, "d": 1}]})
        found, told = samples(server), server.event("distributions")
    assert found["millgate_profile_info", "example"] == 1
    assert (told["level"], told["features"]) == ("warning", 4)
    assert found["millgate_feature_count", "a"] == 1
    assert found["millgate_prediction_bucket", "+Inf", "probabilities[1]"] == 1
    assert not [key for key in found if "training" in key[0]]
    assert not [key for key in found if key[0] == "millgate_feature_out_of_range_total"]


def test_without_an_example_nothing_is_counted_and_metrics_say_so(saved_models, tmp_path):
    with serving(tmp_path, MILLGATE_MODEL_PATH=saved_models("every_type")) as server:
        server.wait_ready()
        found = samples(server)
    assert found["millgate_profile_info", "none"] == 1
    assert found["millgate_profile_left_out", "features"] == 7
    assert not [key for key in found if key[0].startswith(("millgate_feature", "millgate_prediction"))]


def test_a_tensor_without_a_fixed_shape_is_left_out_as_one():
    from types import SimpleNamespace  # noqa: PLC0415

    from millgate_serving import measured, signature  # noqa: PLC0415

    spec = {"type": "tensor", "name": "sound", "tensor-spec": {"dtype": "float32", "shape": [-1, -1]}}
    model = SimpleNamespace(signature=signature.read({"inputs": json.dumps([spec])}), directory=Path("/nowhere"))
    engine = SimpleNamespace(layout=None, outputs=("label",))
    chosen = measured.choose(model, engine, None, 64)
    assert (chosen.features_left_out, chosen.left_out) == (1, ("predictions", "sound"))


def test_values_that_a_pipeline_fills_in_place_are_still_counted_as_missing():
    """A scikit-learn model gets a copy: what was asked is counted after the answer."""
    from millgate_serving.signature import read  # noqa: PLC0415
    from millgate_serving.sklearn_engine import SklearnEngine  # noqa: PLC0415

    def fills(frame: pd.DataFrame) -> list[int]:
        frame.loc[:, "a"] = 0.0
        return [1] * len(frame)

    inputs = json.dumps([{"name": name, "type": "double"} for name in "ab"])
    asked = [np.array([[np.nan, 1.0]])]
    SklearnEngine(fills, read({"inputs": inputs})).run(asked)
    assert np.isnan(asked[0][0, 0])
