"""The six verbs: what they ask for, when they count as done, and with which exit code and sentence they end."""

from typing import Any

import cli_objects as objects
import pytest

from millgate.api.request import RequestAction, format_request, parse_request
from millgate.cli.verbs import Answer, Asked, Exit, Waiting, nothing_to_do, progress, request_for, warning
from millgate.cli.view import read

ID = "9f2c0a11"
ROLLOUT = "fraud-8-r000000008"


def answered(obj: dict[str, Any], result: str, message: str = "") -> dict[str, Any]:
    last = {"id": ID, "action": "any", "result": result, "message": message, "time": objects.at(0)}
    return {**obj, "status": {**obj["status"], "lastRequest": last}}


def ask(action: RequestAction, before: dict[str, Any]) -> Asked:
    view = read(before)
    return Asked(request_for(action, view, ID), view)


@pytest.mark.parametrize(
    ("action", "bound"),
    [
        (RequestAction.PROMOTE, ROLLOUT),
        (RequestAction.ABORT, ROLLOUT),
        (RequestAction.ROLLBACK, ROLLOUT),
        (RequestAction.RETRY, None),
        (RequestAction.PAUSE, None),
        (RequestAction.RESUME, None),
    ],
)
def test_what_could_hit_another_candidate_is_bound_to_its_rollout(action: RequestAction, bound: str | None) -> None:
    request = request_for(action, read(objects.stepping()), ID)
    assert request.rollout == bound
    assert parse_request(format_request(request)) == request


@pytest.mark.parametrize(
    ("action", "state", "exit_code", "words"),
    [
        (RequestAction.PAUSE, objects.paused(), Exit.UNCHANGED, "is paused already"),
        (RequestAction.RESUME, objects.stepping(), Exit.UNCHANGED, "is not paused"),
        (RequestAction.PROMOTE, objects.idle(), Exit.UNCHANGED, "nothing to promote"),
        (
            RequestAction.RESUME,
            objects.deployment(status={"stable": objects.STABLE}, spec={"paused": True}),
            Exit.WAITS_FOR_A_PERSON,
            "`spec.paused`",
        ),
    ],
)
def test_asking_for_what_holds_already_writes_nothing(
    action: RequestAction, state: dict[str, Any], exit_code: Exit, words: str
) -> None:
    answer = nothing_to_do(action, read(state))
    assert answer is not None
    assert answer.exit is exit_code
    assert words in answer.text


@pytest.mark.parametrize("action", [RequestAction.ABORT, RequestAction.ROLLBACK, RequestAction.RETRY])
def test_whether_the_way_back_exists_is_for_the_operator_to_say(action: RequestAction) -> None:
    assert nothing_to_do(action, read(objects.idle())) is None


def test_without_an_answer_it_waits() -> None:
    asked = ask(RequestAction.PROMOTE, objects.awaiting_approval())
    assert isinstance(progress(asked, read(objects.awaiting_approval()), 1), Waiting)


def test_a_request_that_another_one_replaced_is_an_error_rather_than_a_wait_for_ever() -> None:
    asked = ask(RequestAction.PROMOTE, objects.awaiting_approval())
    now = objects.awaiting_approval()
    now["metadata"]["annotations"] = {"millgate.dev/request": f"Abort rollout={ROLLOUT} id=other"}
    answer = progress(asked, read(now), 1)
    assert isinstance(answer, Answer)
    assert answer.exit is Exit.ERROR
    assert "other" in answer.text


@pytest.mark.parametrize("action", list(RequestAction))
def test_a_refusal_is_told_in_the_operator_s_words(action: RequestAction) -> None:
    asked = ask(action, objects.stepping())
    answer = progress(asked, read(answered(objects.stepping(), "Refused", "because of this")), 0.8)
    expected = f"modeldeployment.millgate.dev/fraud {action.value.lower()} refused: because of this"
    assert answer == Answer(Exit.REFUSED, expected)


def test_promote_says_what_it_brought_about_and_how_long_it_took() -> None:
    asked = ask(RequestAction.PROMOTE, objects.awaiting_approval())
    answer = progress(asked, read(answered(objects.stepping(), "Applied", "approved owner")), 0.84)
    text = "modeldeployment.millgate.dev/fraud promote applied: approved owner (answered in 0.8s)"
    assert answer == Answer(Exit.OK, text)


def test_promote_of_a_paused_rollout_waits_for_a_person() -> None:
    asked = ask(RequestAction.PROMOTE, objects.paused())
    answer = progress(asked, read(answered(objects.paused(), "Applied", "approved owner")), 0.8)
    assert isinstance(answer, Answer)
    assert answer.exit is Exit.WAITS_FOR_A_PERSON
    assert "resume it first" in answer.text


def test_abort_is_done_only_when_the_traffic_is_back() -> None:
    """Given a candidate at 20 %, when Abort is answered, then it counts as done once all traffic is on stable."""
    asked = ask(RequestAction.ABORT, objects.stepping())
    decided = progress(asked, read(answered(objects.rolling_back(), "Applied")), 0.2)
    assert decided == Waiting("v8 still gets 20% of the traffic")
    back = progress(asked, read(answered(objects.rolled_back(), "Applied")), 0.9)
    assert back == Answer(Exit.OK, "modeldeployment.millgate.dev/fraud aborted: 100% on v7 after 0.9s")


def test_rollback_after_promotion_is_done_only_when_the_version_before_serves() -> None:
    """Given v8 promoted and v7 warm, when Rollback is answered, then v7 must get all requests before it is done."""
    asked = ask(RequestAction.ROLLBACK, objects.kept_warm())
    status = objects.kept_warm()["status"]
    going = {
        **status,
        "stable": objects.track("7", ready=4, weight=0),
        "candidate": objects.track("8", ready=4, weight=100, wanted=0),
        "previous": None,
        "rollout": objects.rollout("RollingBack"),
    }
    decided = progress(asked, read(answered(objects.deployment(status=going), "Applied")), 0.1)
    assert decided == Waiting("v8 still gets 100% of the traffic")
    back = progress(asked, read(answered(objects.rolled_back(), "Applied")), 1.4)
    assert back == Answer(Exit.OK, "modeldeployment.millgate.dev/fraud rolled back: 100% on v7 after 1.4s")


def test_an_aborted_first_deploy_leaves_no_version() -> None:
    asked = ask(RequestAction.ABORT, objects.first_deploy())
    gone = answered(objects.deployment(status={"conditions": objects.conditions()}), "Applied")
    answer = progress(asked, read(gone), 1.0)
    assert answer == Answer(Exit.OK, "modeldeployment.millgate.dev/fraud aborted: no version serves (1.0s)")


def test_pause_names_the_weight_and_the_way_on() -> None:
    asked = ask(RequestAction.PAUSE, objects.stepping())
    answer = progress(asked, read(answered(objects.stepping(), "Applied")), 0.3)
    assert isinstance(answer, Answer)
    assert "paused at 20% (answered in 0.3s); resume with: kubectl millgate resume fraud -n risk" in answer.text


def test_resume_under_a_paused_spec_waits_for_a_person() -> None:
    both = objects.paused()
    both["spec"]["paused"] = True
    answer = progress(ask(RequestAction.RESUME, both), read(answered(both, "Applied")), 0.3)
    assert isinstance(answer, Answer)
    assert answer.exit is Exit.WAITS_FOR_A_PERSON


ARGO = {"argocd.argoproj.io/tracking-id": "risk-models:millgate.dev/ModelDeployment:risk/fraud"}


@pytest.mark.parametrize(
    ("action", "annotations", "warned"),
    [
        (RequestAction.ROLLBACK, ARGO, True),
        (RequestAction.ABORT, ARGO, True),
        (RequestAction.PROMOTE, ARGO, False),
        (RequestAction.ROLLBACK, {}, False),
    ],
)
def test_who_goes_back_is_told_what_git_makes_of_it(
    action: RequestAction, annotations: dict[str, str], *, warned: bool
) -> None:
    view = read({**objects.idle(), "metadata": objects.rolled_back(annotations=annotations)["metadata"]})
    text = warning(action, view)
    assert (text is not None) is warned
    assert text is None or "Argo CD application 'risk-models': Git goes on asking for v7" in text
