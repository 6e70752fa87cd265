# ruff: noqa: S101  tests assert
"""Real requests through a real kube-proxy while a good version is released, a bad one is taken back, and a person goes
back to an old one. The story is played once; each test reads one promise from what the clients saw.
"""

from itertools import pairwise

import pytest

from e2e.cluster.progress import say
from e2e.demo import report, stack, story
from e2e.demo.report import LINGER_SECONDS, Told, last_answer, written

STEP_SECONDS = 10.0  # as the demo's manifest has it


@pytest.fixture(scope="module")
def told(setting: story.Setting) -> Told:
    played = story.tell(setting, say)
    print(report.render(played))
    return played


def step_times(told: Told, version: str) -> dict[str, float]:
    mark = f"v{version}: step "
    return {each.what.removeprefix(mark): each.time for each in told.moments if each.what.startswith(mark)}


def reasons(told: Told) -> list[tuple[str, str, str]]:
    return [(each.version, each.outcome, each.reason) for each in reversed(told.outcomes)]


def test_no_request_is_lost_on_kept_or_on_fresh_connections(told: Told) -> None:
    assert {each.connection for each in told.answers} == {"kept", "fresh"}
    assert len(told.answers) > 2000
    assert report.lost(told.answers, told.broken) == []


def test_every_release_ends_as_its_model_deserves(told: Told) -> None:
    first, better, broken = told.titles
    assert reasons(told) == [
        (first, "Promoted", "FirstRevision"),
        (better, "Promoted", "AllChecksPassed"),
        (broken, "RolledBack", "GuardrailBreached"),
        (better, "RolledBack", "RolledBackByUser"),
    ]


def test_a_better_version_goes_through_every_step_and_none_is_shorter_than_asked(told: Told) -> None:
    _, better, _ = told.titles
    times = step_times(told, better)
    assert list(times) == ["canary-10 (10 %)", "canary-25 (25 %)", "half (50 %)", "all (100 %)"]
    assert all(later - earlier >= STEP_SECONDS for earlier, later in pairwise(times.values()))


def test_a_failing_version_never_gets_beyond_its_first_step(told: Told) -> None:
    _, _, broken = told.titles
    assert list(step_times(told, broken)) == ["canary-10 (10 %)"]
    bad = report.by_version(told.answers, told.broken, told.titles)[broken].bad
    assert 0 < bad < len(told.answers) / 50


def test_a_way_back_is_one_write_and_two_seconds_later_nobody_is_answered_by_what_was_left(told: Told) -> None:
    first, better, broken = told.titles
    assert [route.version for route in told.routes] == [first, None, better, None, better, first]
    for left, to, since in ((broken, better, told.broken.since), (better, first, told.rollback_asked)):
        route, last = written(told.routes, to, since), last_answer(told.answers, left, told.broken)
        assert route is not None
        assert last is not None
        assert last - route <= LINGER_SECONDS


def test_after_the_command_everybody_is_answered_by_the_version_before(told: Told) -> None:
    after = {each.version for each in told.answers if each.start > told.rollback_done + LINGER_SECONDS}
    assert after == {told.rolled_back_to}


def test_the_table_bears_out_every_claim(told: Told) -> None:
    assert [claim for claim in report.claims(told) if not claim.holds] == []


def test_pods_of_versions_that_were_left_go(told: Told, setting: story.Setting) -> None:
    kubectl, namespace = setting.kubectl, ("-n", stack.MODEL_NAMESPACE)
    status = (kubectl.get("modeldeployment", stack.NAME, *namespace) or {})["status"]
    servers = f"millgate.dev/name={stack.NAME},millgate.dev/component=server"
    left = f"{servers},millgate.dev/hash!={status['stable']['hash']}"
    kubectl.run("wait", "--for=delete", "pods", *namespace, "-l", left, "--timeout=90s", check=False)
    pods = (kubectl.get("pods", *namespace, "-l", servers) or {"items": []})["items"]
    assert {pod["metadata"]["labels"]["millgate.dev/hash"] for pod in pods} == {status["stable"]["hash"]}
    assert status["stable"]["modelVersion"] == told.rolled_back_to
