"""The page of `explain`: which rollout is meant, what a course looks like, and how much of it is shown."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millgate.api.policy import policy_digest
from millgate.api.spec import Rollout
from millgate.api.status import GateStatus, Verdict
from millgate.cli.explain_jobs import told_by_jobs
from millgate.cli.explain_page import MAX_ROWS, as_json, page
from millgate.cli.explain_plot import WIDTH
from millgate.cli.explain_replay import GateCourse, Look, ReplayError, Side, past_of
from millgate.cli.text import Style
from millgate.cli.view import View, read
from tests.unit.cli_objects import NOW, at, deployment, track

PLAIN = Style(unicode=True, colour=False)
ERRORS = {"name": "errors", "type": "Compare", "compare": {"preset": "Errors"}}
POLICY = {"gates": [ERRORS], "intervalSeconds": 10}


def ended(**changes: Any) -> dict[str, Any]:
    entry = {
        "revision": 7,
        "hash": "r000000007",
        "modelVersion": "7",
        "outcome": "RolledBack",
        "reason": "GuardrailBreached",
        "message": "gate errors in step half: 30 % of 60 requests failed",
        "startTime": at(-600),
        "endTime": at(-300),
        "stableHash": "r000000006",
        "policy": policy_digest(Rollout.model_validate(POLICY)),
        "steps": [{"name": "half", "weightPercent": 50, "startTime": at(-500)}],
    }
    return {**entry, **changes}


def view_with(*history: dict[str, Any], **status: Any) -> View:
    spec = {"model": {"name": "fraud", "version": "8"}, "rollout": POLICY}
    return read(deployment(spec=spec, status={"history": list(history), **status}))


RUNNING = {
    "stable": track("7", ready=4, weight=50),
    "candidate": track("8", ready=4, weight=50),
    "rollout": {
        "id": "fraud-8-r000000008",
        "stage": "Stepping",
        "startTime": at(-100),
        "stageStartTime": at(-100),
        "stepName": "half",
        "steps": [{"name": "half", "weightPercent": 50, "startTime": at(-90)}],
    },
    "gates": [
        {
            "name": "errors",
            "step": "half",
            "verdict": "Pass",
            "reason": "NotWorse",
            "message": "",
            "lastCheckTime": at(-5),
        }
    ],
}


def test_the_rollout_in_hand_is_explained_unless_another_is_asked_for() -> None:
    view = view_with(ended(), **RUNNING)
    assert [past_of(view, number, NOW).revision for number in (None, 8, 7)] == [8, 8, 7]


def test_without_one_in_hand_it_is_the_newest_that_has_ended() -> None:
    past = past_of(view_with(ended(), ended(revision=6)), None, NOW)
    assert (past.revision, past.request.candidate, past.request.stable) == (7, "r000000007", "r000000006")
    assert past.outcome == "RolledBack: GuardrailBreached"
    assert not past.policy_changed


def test_a_policy_that_was_edited_since_is_told() -> None:
    assert past_of(view_with(ended(policy="0123456789")), 7, NOW).policy_changed


@pytest.mark.parametrize(
    ("history", "revision", "words"),
    [
        ([], None, "status knows no rollout"),
        ([ended()], 3, "status knows no rollout of revision 3"),
        ([ended(stableHash=None)], 7, "rollout 7 had no step in which a revision is held against another"),
        ([ended(steps=[])], 7, "rollout 7 had no step"),
        ([ended(steps=[], stableHash=None, policy=None)], 7, "status does not know how rollout 7 went"),
    ],
)
def test_what_cannot_be_explained_says_why(history: list[dict[str, Any]], revision: int | None, words: str) -> None:
    with pytest.raises(ReplayError, match=words):
        past_of(view_with(*history), revision, NOW)


CHECKED = {
    "steps": [
        {
            "name": "checks",
            "weightPercent": 0,
            "gates": [{"name": "accuracy", "type": "Job", "job": {"preset": "Accuracy"}}],
        },
        {"name": "all", "weightPercent": 100},
    ],
    "gates": [],
}
LOWER = "accuracy is 3 points below stable's"


def with_checks(*history: dict[str, Any], **status: Any) -> View:
    spec = {"model": {"name": "fraud", "version": "8"}, "rollout": CHECKED}
    return read(deployment(spec=spec, status={"history": list(history), **status}))


def test_what_a_check_found_is_told_of_a_rollout_that_it_has_ended() -> None:
    steps = [{"name": "checks", "weightPercent": 0, "startTime": at(-500)}]
    entry = ended(
        reason="AnalysisFailed",
        message=f"gate accuracy in step checks: {LOWER}",
        steps=steps,
        policy=policy_digest(Rollout.model_validate(CHECKED)),
    )
    view = with_checks(entry)
    past = past_of(view, None, NOW)
    (course,) = told_by_jobs(past)
    assert (course.name, course.verdict.verdict, course.verdict.message) == ("accuracy", Verdict.FAIL, LOWER)
    text = page(view, past, [course], PLAIN, with_plot=False)
    assert f"JobFailed: {LOWER}" in text
    assert "checks  0%" in text


def test_what_checks_say_is_told_while_their_step_lasts() -> None:
    said = {"step": "checks", "reason": "JobFailed", "message": LOWER, "lastCheckTime": at(-5)}
    gates = [
        {"name": "accuracy", "verdict": "Fail", "value": "0.91", "limit": "0.93", **said},
        {"name": "owner", "verdict": "Pending", **said},
    ]
    rollout = RUNNING["rollout"] | {
        "stepName": "checks",
        "steps": [{"name": "checks", "weightPercent": 0, "startTime": at(-90)}],
    }
    view = with_checks(**(RUNNING | {"rollout": rollout, "gates": gates}))
    past = past_of(view, None, NOW)
    (course,) = told_by_jobs(past)
    text = page(view, past, [course], PLAIN, with_plot=False)
    assert "checks  0%      0.91   0.93   ✖ fail   JobFailed" in text


def test_a_gate_that_reads_metrics_is_not_told_by_a_job() -> None:
    assert told_by_jobs(past_of(view_with(ended(), **RUNNING), None, NOW)) == ()
    assert told_by_jobs(past_of(view_with(ended()), None, NOW)) == ()


def look(index: int, *, evidence: int | None = 0, value: float | None = 0.01, verdict: Verdict = Verdict.PASS) -> Look:
    status = GateStatus(
        name="errors",
        step="half",
        verdict=verdict,
        reason="NotWorse" if verdict is Verdict.PASS else "WorseThanStable",
        message="as it was said",
        value=None if value is None else str(value),
        evidence=None if evidence is None else f"{evidence} %",
    )
    moment = datetime(2026, 1, 2, 3, 0, tzinfo=UTC) + timedelta(seconds=10 * index)
    return Look(moment, "half", 50, status, Side(100, 1), Side(1000, None))


def shown(looks: list[Look], *, same: bool | None = True, with_plot: bool = False) -> str:
    view = view_with(ended())
    course = GateCourse("errors", tuple(looks), None if same is None else "what the operator said", same)
    return page(view, past_of(view, 7, NOW), [course], PLAIN, with_plot=with_plot)


def test_a_row_tells_what_was_counted_and_what_came_of_it() -> None:
    text = shown([look(0), look(1, evidence=100, verdict=Verdict.FAIL)])
    assert "rollout 7, v7   RolledBack: GuardrailBreached" in text
    assert "03:00:10  half  50%     1 of 100   1,000      100 %     ✖ fail   WorseThanStable" in text.splitlines()
    assert "Operator    said the same" in text


def test_another_verdict_than_the_operators_is_not_hidden() -> None:
    text = shown([look(0)], same=False)
    assert "said: what the operator said" in text
    assert "--scrape-interval" in text


@settings(max_examples=30, deadline=None)
@given(st.integers(min_value=1, max_value=700), st.booleans())
def test_a_long_course_fits_a_page_and_loses_no_request(count: int, compared: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    looks = [look(index, evidence=index % 101 if compared else None) for index in range(count)]
    lines = shown(looks, with_plot=True).splitlines()
    rows = [line for line in lines if "half  50%" in line and "NotWorse" in line]
    assert len(rows) <= MAX_ROWS
    if compared:
        assert sum(int(row.split()[5].replace(",", "")) for row in rows) == 100 * count
    assert all(len(line) <= WIDTH + 12 for line in lines if "|" in line or "+-" in line)


def test_json_has_every_look_with_its_figures() -> None:
    view = view_with(ended())
    told = as_json(view, past_of(view, 7, NOW), [GateCourse("errors", (look(0),), None, None)])
    assert (told["revision"], told["modelVersion"], told["policyChanged"]) == (7, "7", False)
    assert told["gates"][0]["looks"] == [
        {
            "time": "2026-01-02T03:00:00Z",
            "step": "half",
            "weightPercent": 50,
            "candidate": {"requests": 100, "events": 1},
            "stable": {"requests": 1000, "events": None},
            "value": "0.01",
            "evidence": "0 %",
            "verdict": "Pass",
            "reason": "NotWorse",
        }
    ]
