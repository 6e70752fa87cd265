"""What `kubectl millgate get` and `history` show in every state of a ModelDeployment, held against pages read by eye.

A page that changes on purpose is written anew by: MILLGATE_WRITE_PAGES=1 pytest tests/unit/test_cli_pages.py
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cli_objects as objects
import pytest

from millgate.cli.detail import detail
from millgate.cli.listing import history, table
from millgate.cli.text import Style
from millgate.cli.view import UnreadableError, read

PAGES = Path(__file__).parent / "cli_pages"
STATES: tuple[Callable[[], dict[str, Any]], ...] = (
    objects.never_seen,
    objects.first_deploy,
    objects.idle,
    objects.kept_warm,
    objects.preparing,
    objects.stepping,
    objects.awaiting_approval,
    objects.paused,
    objects.rolling_back,
    objects.rolled_back,
    objects.stalled,
)
ARGO = {"argocd.argoproj.io/tracking-id": "risk-models:millgate.dev/ModelDeployment:risk/fraud"}


def hold_against(name: str, page: str) -> None:
    path = PAGES / f"{name}.txt"
    if os.environ.get("MILLGATE_WRITE_PAGES"):
        path.write_text(page + "\n")
    assert page + "\n" == path.read_text()


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_one_in_full(state: Callable[[], dict[str, Any]]) -> None:
    hold_against(state.__name__, detail(read(state()), objects.NOW, Style()))


def test_all_in_a_table_with_their_messages() -> None:
    views = [read({**state(), "metadata": {**state()["metadata"], "name": state.__name__}}) for state in STATES]
    hold_against("table_wide", table(views, objects.NOW, Style(), namespaces=True, wide=True))


def test_a_table_has_the_columns_of_kubectl_get() -> None:
    page = table([read(objects.stepping()), read(objects.rolled_back())], objects.NOW, Style())
    assert page.splitlines() == [
        "NAME   READY  STATUS             STABLE  CANDIDATE  WEIGHT  STEP  AGE",
        "fraud  False  RolloutInProgress  v7      v8         20%     2/4   41d",
        "fraud  False  RolledBack         v7      v8 ✖       -       -     41d",
    ]


def test_after_promotion_a_failure_that_asks_a_person_is_shown_with_both_answers() -> None:
    asked = objects.kept_warm()
    said = ("False", "AwaitingDecision", "shift failed and waits for a person")
    asked["status"]["conditions"] = objects.conditions(CandidateHealthy=said)
    page = detail(read(asked), objects.NOW, Style())
    assert "a person is asked: kubectl millgate rollback fraud -n risk   (or promote, to let it pass)" in page
    assert "is kept warm until" in page
    assert "a person is asked" not in detail(read(objects.kept_warm()), objects.NOW, Style())


def test_history_with_a_rollout_in_flight() -> None:
    hold_against("history", history(read(objects.stepping()), objects.NOW, Style()))


def test_history_after_a_rollback_lists_it_once() -> None:
    page = history(read(objects.rolled_back()), objects.NOW, Style(), wide=True)
    assert [line.split()[:3] for line in page.splitlines()[1:]] == [["8", "v8", "RolledBack"], ["7", "v7", "Promoted"]]
    assert "4.8 % where 0.36 % is allowed" in page


def test_a_terminal_without_unicode_gets_ascii_alone() -> None:
    page = detail(read(objects.stepping()), objects.NOW, Style(unicode=False))
    assert page.isascii()
    assert "candidate v8  ####................ 20%" in page
    assert "+ pass" in page


def test_colours_change_nothing_but_colours() -> None:
    for state in STATES:
        plain = detail(read(state()), objects.NOW, Style())
        painted = detail(read(state()), objects.NOW, Style(colour=True))
        stripped = painted
        for code in ("31", "32", "33", "2", "1", "0"):
            stripped = stripped.replace(f"\x1b[{code}m", "")
        assert stripped == plain


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"annotations": ARGO}, "Argo CD application 'risk-models'"),
        ({"labels": {"argocd.argoproj.io/instance": "risk-models"}}, "Argo CD application 'risk-models'"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}, "Flux Kustomization 'apps'"),
        ({"labels": {"helm.toolkit.fluxcd.io/name": "models"}}, "Flux HelmRelease 'models'"),
    ],
)
def test_a_rolled_back_object_that_git_owns_says_that_git_still_asks(metadata: dict[str, Any], words: str) -> None:
    page = detail(read(objects.rolled_back(**metadata)), objects.NOW, Style())
    assert f"Git         {words} still asks for v8" in page


def test_a_request_without_an_answer_is_seen() -> None:
    asked = objects.idle()
    asked["metadata"]["annotations"] = {"millgate.dev/request": "Rollback id=77aa"}
    assert "Request     77aa is not answered yet" in detail(read(asked), objects.NOW, Style())


def test_suggested_commands_reach_the_same_cluster() -> None:
    page = detail(read(objects.stepping()), objects.NOW, Style(), "--context test")
    assert "kubectl millgate abort fraud -n risk --context test" in page


def test_a_spec_from_a_newer_millgate_is_still_shown() -> None:
    newer = objects.stepping()
    newer["spec"]["shadow"] = {"percent": 5}
    page = detail(read(newer), objects.NOW, Style())
    assert "Next        the next step at 02:01:00 UTC" in page


def test_a_status_of_another_form_is_an_error_that_names_the_field() -> None:
    strange = objects.idle()
    strange["status"]["stable"] = {"revision": "seven"}
    with pytest.raises(UnreadableError, match=r"status of risk/fraud \(`stable\.revision`"):
        read(strange)
