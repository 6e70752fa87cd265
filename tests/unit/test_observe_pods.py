"""What pods say: how many serve, which ended by themselves, and why the others are not ready."""

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millgate.api.conditions import Reason
from millgate.controller.pods import pod_facts
from millgate.controller.words import MESSAGE_CHARACTERS, last_words, one_line
from tests.unit.observe_objects import ENDED, pod, terminated, waiting

Json = dict[str, Any]
UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/3 nodes are available: 3 Insufficient memory.",
}
CHANGED = '{"error": {"reason": "ArtifactChanged", "message": "sha256:1 is not sha256:2"}}'
NOT_FOUND = 'failed to pull and unpack image "shop/fraud:8": not found'


def test_only_pods_that_stay_count_and_only_ready_ones_serve() -> None:
    facts = pod_facts(
        [
            pod("a", ready=True),
            pod("b"),
            pod("c", ready=True, deleted=True),
            pod("d", phase="Failed", reason="Evicted"),
            pod("e", phase="Succeeded"),
        ]
    )
    assert (facts.pods, facts.ready, facts.draining) == (2, 1, 1)
    assert facts.problem is None


@pytest.mark.parametrize(
    ("seen", "reason", "said"),
    [
        (pod(state=waiting("ErrImagePull", NOT_FOUND)), Reason.IMAGE_PULL_FAILED, "'shop/fraud:8' cannot be pulled"),
        (pod(state=waiting("InvalidImageName", "couldn't parse")), Reason.IMAGE_PULL_FAILED, "couldn't parse"),
        (pod(state=waiting("CreateContainerConfigError", 'secret "x" not found')), Reason.REF_NOT_FOUND, '"x"'),
        (pod(state=waiting("RunContainerError", "no such file")), Reason.CONTAINER_CRASHED, "no such file"),
        (pod(conditions=(UNSCHEDULABLE,)), Reason.POD_UNSCHEDULABLE, "Insufficient memory"),
        (pod(state=waiting("CrashLoopBackOff"), last=terminated(3)), Reason.CONTAINER_CRASHED, "exit code 3"),
        (pod(state=terminated(3)), Reason.CONTAINER_CRASHED, "exit code 3"),
        (pod(last=terminated(137, reason="OOMKilled")), Reason.OUT_OF_MEMORY, "OOMKilled"),
        (
            pod(state=waiting("CrashLoopBackOff"), last=terminated(1, message=CHANGED)),
            Reason.ARTIFACT_CHANGED,
            "sha256:1 is not sha256:2",
        ),
        (
            pod(last=terminated(1, message='{"error": {"reason": "CodeExecutionNotAllowed", "message": "a pickle"}}')),
            Reason.CODE_EXECUTION_NOT_ALLOWED,
            "a pickle",
        ),
        (
            pod(last=terminated(1, message='{"error": {"reason": "LoadFailed", "message": "no graph"}}')),
            Reason.CONTAINER_CRASHED,
            "LoadFailed: no graph",
        ),
    ],
)
def test_a_pod_that_is_not_ready_says_why(seen: Json, reason: Reason, said: str) -> None:
    problem = pod_facts([seen]).problem
    assert problem is not None
    assert problem.reason is reason
    assert said in problem.message


def test_a_pod_that_merely_starts_has_no_problem() -> None:
    assert pod_facts([pod(state=waiting("ContainerCreating")), pod("b")]).problem is None


def test_a_ready_pod_has_no_problem_although_it_once_crashed() -> None:
    facts = pod_facts([pod(ready=True, last=terminated(3))])
    assert facts.problem is None
    assert len(facts.crashes) == 1


def test_the_message_stays_the_same_while_the_kubelet_waits_to_pull_again() -> None:
    backing_off = f'Back-off pulling image "shop/fraud:8": ErrImagePull: {NOT_FOUND}'
    states = [waiting("ErrImagePull", NOT_FOUND), waiting("ImagePullBackOff", backing_off)]
    assert len({pod_facts([pod(state=state)]).problem for state in states}) == 1


def test_the_message_stays_the_same_while_the_kubelet_waits_to_start_again() -> None:
    states = [
        pod(state=terminated(3)),
        pod(state=waiting("CrashLoopBackOff", "back-off 10s"), last=terminated(3)),
        pod(state=waiting("CrashLoopBackOff", "back-off 20s"), last=terminated(3)),
        pod(last=terminated(3)),
    ]
    assert len({pod_facts([seen]).problem for seen in states}) == 1


def test_the_gravest_problem_is_told_whichever_pod_has_it() -> None:
    crashed, pulling = pod("b", last=terminated(1, message=CHANGED)), pod("a", state=waiting("ErrImagePull", "x"))
    for order in ([crashed, pulling], [pulling, crashed]):
        problem = pod_facts(order).problem
        assert problem is not None
        assert problem.reason is Reason.ARTIFACT_CHANGED


def test_every_end_that_nobody_asked_for_is_a_crash() -> None:
    facts = pod_facts(
        [
            pod("a", ready=True, last=terminated(137, reason="OOMKilled")),
            pod("b", state=terminated(0, at="2026-11-23T08:06:00Z"), last=terminated(3)),
            pod("c", deleted=True, last=terminated(143)),
        ]
    )
    assert [(crash.pod, crash.reason, crash.message) for crash in facts.crashes] == [
        ("a", Reason.OUT_OF_MEMORY, "exit code 137 (OOMKilled)"),
        ("b", Reason.CONTAINER_CRASHED, "exit code 3 (Error)"),
        ("b", Reason.CONTAINER_CRASHED, "exit code 0 (Completed)"),
    ]
    assert facts.crashes[0].time == datetime.fromisoformat(ENDED)


@given(st.lists(st.sampled_from(["ready", "starting", "deleted", "failed"]), max_size=12))
def test_the_order_in_which_pods_are_listed_changes_nothing(kinds: list[str]) -> None:
    made = {
        "ready": {"ready": True},
        "starting": {"conditions": (UNSCHEDULABLE,)},
        "deleted": {"deleted": True},
        "failed": {"phase": "Failed"},
    }
    pods = [pod(f"p{number}", **made[kind]) for number, kind in enumerate(kinds)]
    assert pod_facts(pods) == pod_facts(reversed(pods))
    assert pod_facts(pods).ready == kinds.count("ready")


@settings(max_examples=40)
@given(st.text(max_size=800) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(str))
def test_whatever_a_container_leaves_behind_becomes_one_bounded_line(text: str) -> None:
    words = last_words(text)
    assert len(words.message) <= MESSAGE_CHARACTERS
    assert words.message == one_line(words.message)
    assert words.message.isprintable()


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        ('{"digest": "sha256:' + "a" * 64 + '"}', "sha256:" + "a" * 64),
        ('{"digest": "sha256:' + "A" * 64 + '"}', None),
        ('{"digest": "md5:abc"}', None),
        ('{"digest": 7}', None),
        ("{}", None),
        ("", None),
    ],
)
def test_a_digest_is_believed_only_in_the_form_that_pods_verify(text: str, digest: str | None) -> None:
    assert last_words(text).digest == digest


@pytest.mark.parametrize(
    ("value", "fingerprint"),
    [("ab12cd34", "ab12cd34"), ("AB", None), ("", None), ("a" * 257, None), (7, None), (None, None), ("rm -rf", None)],
)
def test_a_fingerprint_is_taken_only_in_the_form_that_the_serving_image_writes(
    value: object, fingerprint: str | None
) -> None:
    assert last_words(json.dumps({"fingerprint": value})).fingerprint == fingerprint
