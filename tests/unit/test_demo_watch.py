"""The demo says every change of a rollout once, with the time that the status gives."""

import io
import json

import pytest

from e2e.demo import stack
from e2e.demo.watch import epoch, moments, objects, outcomes, verdicts

AT = "2026-11-23T08:45:10.500Z"
LATER = "2026-11-23T08:46:00Z"


def status(**fields):
    return {
        "stable": {"hash": "ra", "modelVersion": "1"},
        "candidate": {"hash": "rb", "modelVersion": "2"},
        "rollout": {"id": "digits-2-rb", "stage": "Stepping", "stageStartTime": AT, "steps": [], **fields},
    }


STEP = {"name": "half", "weightPercent": 50, "startTime": AT}
ENDED = {"revision": 2, "endTime": LATER, "modelVersion": "2", "outcome": "Promoted", "reason": "AllChecksPassed"}


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({}, status(stage="Preparing"), [(AT, "v2 is checked and started")]),
        (status(), status(), []),
        (status(), status(steps=[STEP]), [(AT, "v2: step half (50 %)")]),
        (status(steps=[STEP]), status(steps=[STEP]), []),
        (
            status(),
            status(stage="RollingBack", reason="GuardrailBreached"),
            [(AT, "v2 is taken back: GuardrailBreached")],
        ),
        (status(), {"history": [ENDED]}, [(LATER, "v2 Promoted: AllChecksPassed")]),
        ({"history": [ENDED]}, {"history": [ENDED]}, []),
    ],
    ids=["it begins", "nothing", "a step", "no new step", "taken back", "it ends", "no new end"],
)
def test_each_change_is_one_moment(before, after, said):
    assert [(moment.time, moment.what) for moment in moments(before, after)] == [(epoch(at), what) for at, what in said]


def test_the_steps_of_another_rollout_are_new_even_where_they_have_the_same_names():
    before = status(steps=[STEP])
    after = status(id="digits-3-ra", steps=[STEP])
    assert [moment.what for moment in moments(before, after)] == ["v1: step half (50 %)"]


def test_a_gate_is_told_when_its_verdict_changes_and_not_when_its_figures_do():
    gate = {"name": "errors", "step": "half", "verdict": "Pass", "reason": "NotWorse", "value": "0.01", "samples": 5}
    before = {"gates": [gate]}
    assert verdicts({}, before) == ["gate errors in half: Pass (NotWorse) candidate 0.01, requests 5"]
    assert verdicts(before, {"gates": [{**gate, "samples": 9}]}) == []
    assert len(verdicts(before, {"gates": [{**gate, "verdict": "Fail"}]})) == 1


def test_history_gives_outcomes_the_newest_first():
    older = {**ENDED, "revision": 1, "modelVersion": "1"}
    assert [outcome.version for outcome in outcomes({"history": [ENDED, older]})] == ["2", "1"]
    assert outcomes({}) == ()


def test_objects_are_read_from_a_watch_as_kubectl_prints_them():
    printed = "".join(json.dumps({"n": {"deep": number}}, indent=4) + "\n" for number in range(3))
    assert [each["n"]["deep"] for each in objects(io.StringIO(printed))] == [0, 1, 2]


def test_a_manifest_with_a_place_that_nobody_fills_is_an_error():
    with pytest.raises(KeyError, match="version"):
        stack.render("digits")
    assert 'version: "7"' in stack.render("digits", version="7")
