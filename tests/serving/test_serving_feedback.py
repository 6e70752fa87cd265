"""Labels that come later: each is joined to what was answered, counted once, and compared as what it is."""

import asyncio
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from millgate_serving import confidence
from millgate_serving.exchange import Exchange
from millgate_serving.feedback import MAX_LABELS, Feedback
from millgate_serving.quality import OTHER_VERSION, Qualities, kind_of
from millgate_serving.recall import Recall
from millgate_serving.refusal import Refusal
from millgate_serving.summary import Categorical, Numeric

PROBABILITY = Numeric("predictions", (0.1, 0.5), (1, 1, 1), min=0.0, max=1.0)
AMOUNT = Numeric("predictions", (10.0, 50.0), (1, 1, 1), min=0.0, max=100.0)
LABELS = Categorical("predictions", ("0", "1"), (5, 5, 0))


def feedback(kind="class", place=None, rows=1000):
    outputs = ("predictions", "probabilities")
    return Feedback(rows, Qualities("8", kind, confident=place is not None), "8", outputs, place)


def answered(sink, request_id, predictions, probabilities=None):
    outputs = [("label", np.array(predictions))]
    if probabilities is not None:
        outputs.append(("probabilities", np.array(probabilities)))
    numbers = len(predictions), 0.0, 0.0, 0.0, "", 0, 0
    sink([Exchange(0.0, "predict", 200, "", request_id, "", *numbers, arrays=[], outputs=outputs)])


def said(sink, *entries):
    body = entries[0] if len(entries) == 1 else {"feedback": list(entries)}
    return json.loads(asyncio.run(sink.answer(json.dumps(body).encode())))


def series(sink):
    text = "\n".join(sink.qualities.lines('model="m"')) + "\n"
    return {
        (
            sample.name.removeprefix("millgate_feedback_"),
            *(v for k, v in sorted(sample.labels.items()) if k != "model"),
        ): n
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if (n := sample.value) is not None
    }


def test_labels_are_joined_by_request_and_row_and_counted_once():
    sink = feedback(place=1)
    answered(sink, "a", [1, 0, 1], [[0.1, 0.9], [0.7, 0.3], [0.45, 0.55]])
    answered(sink, "b", [0], [[0.8, 0.2]])
    assert said(sink, {"id": "a", "labels": [1, 1, 1]}) == {"joined": 3, "unknown": 0, "repeated": 0}
    assert said(sink, {"id": "a", "labels": [0, 0, 0]}, {"id": "b", "labels": [0]}) == {
        "joined": 1,
        "unknown": 0,
        "repeated": 3,
    }
    found = series(sink)
    assert found["rows_total", "8"] == 4
    assert found["correct_total", "8"] == 3
    brier = 0.1**2 + 0.7**2 + 0.45**2 + 0.2**2
    assert found["brier_total", "8"] == pytest.approx(brier)
    assert found["calibration_rows_total", "0.9", "8"] == 1
    assert found["calibration_rows_total", "0.7", "8"] == 1
    assert found["calibration_correct_total", "0.7", "8"] == 0
    assert found["calibration_confidence_total", "0.5", "8"] == pytest.approx(0.55)
    assert found["repeated_total",] == 3


@pytest.mark.parametrize(
    ("predictions", "labels", "correct"),
    [
        (np.array(["cat", "dog"], object), ["cat", "cat"], 1),
        (np.array([True, False]), [True, True], 1),
        (np.array([1, 0]), [True, False], 2),
        (np.array([3, 4]), [3.0, 4.0], 2),
        (np.array([3, 4]), ["3", "5"], 0),
        (np.array([2**40]), [2**40], 1),
    ],
)
def test_classes_are_compared_as_what_they_are(predictions, labels, correct):
    sink = feedback()
    answered(sink, "a", predictions)
    assert said(sink, {"id": "a", "labels": labels})["joined"] == len(labels)
    assert series(sink)["correct_total", "8"] == correct


def test_the_error_of_numbers_is_summed_up():
    sink = feedback("value")
    answered(sink, "a", [10.0, 20.0])
    said(sink, {"id": "a", "labels": [13, 19.5]})
    found = series(sink)
    assert found["absolute_error_total", "8"] == 3.5
    assert found["squared_error_total", "8"] == 9.25
    assert ("correct_total", "8") not in found


def test_the_brier_score_of_probabilities_is_that_of_its_definition():
    sink, probabilities, labels = feedback("probability", place=0), [0.9, 0.2, 0.6, 0.5], [1, 0, 0, True]
    answered(sink, "a", probabilities)
    said(sink, {"id": "a", "labels": labels})
    found = series(sink)
    assert found["brier_total", "8"] == pytest.approx(
        sum((p - y) ** 2 for p, y in zip(probabilities, labels, strict=True))
    )
    assert found["correct_total", "8"] == 3


def test_the_answer_of_another_pod_with_labels_added_is_judged_by_what_it_says():
    sink = feedback(place=1)
    answer = {"id": "x", "predictions": [1, 0], "outputs": {"probabilities": [[0.2, 0.8], [0.6, 0.4]]}}
    answer |= {"model": "m", "version": "7", "labels": [1, 1]}
    assert said(sink, answer)["joined"] == 2
    found = series(sink)
    assert (found["rows_total", "7"], found["correct_total", "7"], found["rows_total", "8"]) == (2, 1, 0)
    assert found["brier_total", "7"] == pytest.approx(0.2**2 + 0.6**2)


def test_what_was_answered_here_goes_before_what_a_client_says():
    sink = feedback()
    answered(sink, "a", [0])
    said(sink, {"id": "a", "predictions": [1], "version": "8", "labels": [1]})
    assert series(sink)["correct_total", "8"] == 0


@pytest.mark.parametrize(
    ("predictions", "outputs"),
    [
        ([1], {}),
        ([1], {"probabilities": "sure"}),
        ([1], {"probabilities": [[]]}),
        ([1], {"probabilities": [{}]}),
        ([1], {"probabilities": [[10**400]]}),
        ([1], {"probabilities": [[[0.1]]]}),
        ([1], {"probabilities": [None]}),
        ([1], {"probabilities": [{"a": "b"}]}),
        ([{"a": 1}], {}),
        ([[1, 2]], {}),
        ([10**400], {}),
        ([None], {}),
    ],
)
@pytest.mark.parametrize("kind", ["class", "probability", "value"])
def test_whatever_a_client_says_that_it_was_answered_is_no_failure_of_ours(kind, predictions, outputs):
    sink = feedback(kind, place=1)
    result = said(sink, {"id": "x", "predictions": predictions, "outputs": outputs, "version": "7", "labels": [1]})
    assert result["joined"] + result["unknown"] == 1
    assert all(np.isfinite(list(series(sink).values())))


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, "the body is not JSON"),
        (b"[]", 400, "expected 'object', got 'array'"),
        (b'{"id":"a"}', 400, "object missing required field 'labels'"),
        (b'{"id":"a","labels":[]}', 400, "labels: expected 'array' of length >= 1"),
        (b'{"id":"","labels":[1]}', 400, "id: expected 'str' of length >= 1"),
        (b'{"id":"a","labels":[null]}', 400, "labels[0]: expected 'bool | int | float | str', got 'null'"),
        (
            b'{"id":"a","labels":[1],"x":1}',
            400,
            "unknown field; allowed: id, labels, predictions, outputs, model, version",
        ),
        (b'{"id":"a","labels":["secret"]}', 400, "labels[0]: must be a number, as the model's predictions are"),
        (b'{"id":"a","labels":[1e101]}', 400, "labels[0]: must be a number, as the model's predictions are"),
        (
            b'{"id":"a","labels":[1],"predictions":[1,2]}',
            400,
            "labels: as many as predictions are needed, one for each row",
        ),
    ],
)
def test_a_refusal_names_the_field_and_repeats_no_value(body, status, message):
    with pytest.raises(Refusal) as raised:
        asyncio.run(feedback("value").answer(body))
    assert (raised.value.status, raised.value.message) == (status, message)


def test_a_probability_is_judged_by_zero_and_one_only():
    with pytest.raises(Refusal, match="must be 0, 1, false or true"):
        said(feedback("probability"), {"id": "a", "labels": [0.5]})


def test_too_many_labels_are_refused():
    entries = [{"id": str(n), "labels": [1] * 5000} for n in range(3)]
    with pytest.raises(Refusal, match=f"at most {MAX_LABELS}"):
        said(feedback(), *entries)


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 7)), min_size=1, max_size=40),
    st.integers(1, 30),
    st.integers(1, 5),
)
@settings(deadline=None)
def test_the_last_rows_are_remembered_and_an_id_that_comes_again_means_its_last_use(requests, size, batch):
    recall, number, asked = Recall(size, None, numeric=True), 0, []
    for request_id, rows in requests:
        asked.append((request_id, [float(number + row) for row in range(rows)]))
        number += rows
    for start in range(0, len(asked), batch):
        recall.remember([(key, [("y", np.array(values))]) for key, values in asked[start : start + batch]])
    for request_id in "abcdef":
        places = recall.find(request_id).tolist()
        last = next((values for key, values in reversed(asked) if key == request_id), None)
        if last is None or last[0] < number - size:
            # Forgotten, or its first rows are: then it cannot be told which label belongs to which row.
            assert not places or [recall._answers[place] for place in places] != last
        else:
            assert [recall.judge(place)[0] for place in places] == last
            assert [recall.judge(place) for place in places] == [None] * len(last)


def test_an_answer_of_another_form_does_not_take_others_with_it():
    recall = Recall(10, None, numeric=False)
    odd = [("y", np.array([[1, 2], [3, 4]]))]
    recall.remember([("a", [("y", np.array([1]))]), ("odd", odd), ("b", [("y", np.array(["x"], object))])])
    assert [len(recall.find(name)) for name in ("a", "odd", "b")] == [1, 0, 1]


def test_versions_that_clients_name_make_few_series():
    sink = feedback()
    for version in [str(n) for n in range(50)] + ["'); drop", "latest"]:
        said(sink, {"id": "x", "predictions": [1], "version": version, "labels": [1]})
    versions = {key[-1] for key in series(sink) if key[0] == "rows_total"}
    assert len(versions) == 6
    assert OTHER_VERSION in versions
    assert sum(n for key, n in series(sink).items() if key[0] == "rows_total") == 52


@pytest.mark.parametrize(
    ("summary", "output", "kind"),
    [
        (LABELS, "", "class"),
        (PROBABILITY, "", "probability"),
        (AMOUNT, "", "value"),
        (None, "long", "class"),
        (None, "double", "value"),
        (None, "float32[-1]", "value"),
        (None, "string", "class"),
        (None, "", "class"),
    ],
)
def test_what_a_prediction_is_follows_from_profile_or_signature(summary, output, kind):
    assert kind_of(summary, output) == kind


def test_confidence_is_found_in_maps_rows_and_single_probabilities():
    answer = [("label", np.array([0, 1])), ("p", np.array([[0.5, 0.5], [0.1, 0.9]], np.float32))]
    assert confidence.place_in(answer, LABELS) == 1
    assert confidence.place_in([("label", np.array([0])), ("p", [{0: 0.2, 1: 0.8}])], LABELS) == 1
    assert confidence.place_in([("p", np.array([0.3]))], PROBABILITY) == 0
    assert confidence.place_in([("y", np.array([3.0]))], AMOUNT) is None
    assert confidence.place_in([("y", np.array([0])), ("z", np.array([[3.0, -2.0]]))], LABELS) is None
    assert confidence.of(answer[1][1]).tolist() == pytest.approx([0.5, 0.9])
    assert confidence.of(np.array([0.3, np.nan]))[0] == pytest.approx(0.7)
    assert np.isnan(confidence.of(np.array([[np.nan, 0.5], [2.0, 3.0]]))).all()


def test_confidences_are_counted_in_the_bucket_whose_bound_they_equal():
    counts = confidence.ConfidenceCounts(0)
    counts.add([[("p", np.array([[0.5, 0.5], [0.95, 0.05]]))], [("p", [{0: 1.0}])], [("p", np.array(["x"], object))]])
    by_edge = dict(zip(confidence.EDGES, counts.counts.tolist(), strict=True))
    assert (by_edge[0.5], by_edge[0.95], by_edge[1.0], sum(by_edge.values())) == (1, 1, 1, 3)
    assert counts.missing == 1
