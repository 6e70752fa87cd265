"""Which gates are asked of which revisions, at each stage of a rollout."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from millgate.api.spec import ModelDeploymentSpec
from millgate.api.status import RolloutStatus, Stage, Status, StepRecord, Track
from millgate.evidence.reader import EvidenceRequest, evidence_request

START = datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=UTC)
COMPARE = {"name": "errors", "type": "Compare", "compare": {"preset": "Errors"}}
GUARD = {"name": "guard", "type": "Query", "query": {"promql": "a", "max": "1"}}
OWN = {"name": "own", "type": "Query", "query": {"promql": "b", "max": "1"}}
APPROVAL = {"name": "owner", "type": "Approval"}
STEPS = [
    {"name": "preview", "weightPercent": 0, "gates": [OWN]},
    {"name": "canary", "weightPercent": 10, "gates": [APPROVAL]},
    {"name": "all", "weightPercent": 100},
]


def track(name: str) -> Track:
    return Track(revision=1, hash=name, model_version="1", workload_name=f"fraud-{name}")


def begun(*names: str) -> tuple[StepRecord, ...]:
    weights = {"preview": 0, "canary": 10, "all": 100, "renamed": 25}
    return tuple(
        StepRecord(name=name, weight_percent=weights[name], start_time=START + timedelta(minutes=index))
        for index, name in enumerate(names)
    )


def asked(
    steps: tuple[StepRecord, ...], stage: Stage = Stage.STEPPING, *, first: bool = False, **rollout: Any
) -> EvidenceRequest | None:
    spec = ModelDeploymentSpec.model_validate(
        {
            "model": {"name": "fraud", "version": "2"},
            "rollout": {"steps": STEPS, "gates": [COMPARE, GUARD], **rollout},
        }
    )
    progress = RolloutStatus(
        id="fraud-2-new", stage=stage, start_time=START, stage_start_time=START, step_name="canary", steps=steps
    )
    promoted = stage is Stage.PROMOTING
    status = Status(
        stable=track("new") if promoted else None if first else track("old"),
        candidate=None if promoted else track("new"),
        previous=track("old") if promoted else None,
        rollout=progress,
    )
    return evidence_request("uid", "risk", "fraud", spec, status)


@pytest.mark.parametrize(
    ("steps", "stage", "expected"),
    [
        (("preview",), Stage.STEPPING, ["own"]),
        (("preview", "canary"), Stage.STEPPING, ["errors", "guard"]),
        (("preview", "canary", "all"), Stage.STEPPING, ["errors", "guard"]),
        (("preview", "canary", "all"), Stage.PROMOTING, ["errors", "guard"]),
        (("preview", "renamed"), Stage.STEPPING, ["errors", "guard"]),
    ],
    ids=[
        "a step without traffic asks its own gates",
        "live traffic is guarded",
        "with all traffic on the candidate it is held against the past",
        "guardrails are asked until keep-warm is over",
        "a step that was edited away is still guarded",
    ],
)
def test_which_gates_are_asked(steps: tuple[str, ...], stage: Stage, expected: list[str]) -> None:
    request = asked(begun(*steps), stage)
    assert request is not None
    assert [gate.name for gate in request.gates] == expected
    assert (request.candidate, request.stable) == ("new", "old")


@pytest.mark.parametrize(
    ("steps", "stage", "rollout"),
    [
        ((), Stage.STEPPING, {}),
        (("canary",), Stage.PREPARING, {}),
        (("canary",), Stage.ROLLING_BACK, {}),
        (("canary",), Stage.STEPPING, {"gates": []}),
    ],
    ids=["no step has begun", "preparing", "rolling back", "no gate reads metrics"],
)
def test_when_there_is_nothing_to_ask(steps: tuple[str, ...], stage: Stage, rollout: dict[str, Any]) -> None:
    assert asked(begun(*steps), stage, **rollout) is None


def test_the_grid_is_anchored_at_the_first_step_with_traffic() -> None:
    without, with_traffic = asked(begun("preview")), asked(begun("preview", "canary", "all"))
    assert without is not None
    assert with_traffic is not None
    assert without.grid.anchor_seconds == int(START.timestamp()) + 1
    assert with_traffic.grid.anchor_seconds == int(START.timestamp()) + 61
    assert with_traffic.next_look(START + timedelta(seconds=60)) == START.replace(microsecond=0) + timedelta(seconds=62)


def test_a_question_that_changes_begins_its_evidence_anew() -> None:
    """At 100 percent stable has no traffic to compare with: another reference, so another evidence."""
    request = asked(begun("preview", "canary", "all"))
    assert request is not None
    errors, guard = request.gates
    assert errors.compare is not None
    assert (errors.compare.reference, errors.compare.max_ratio) == ("Before", "2")
    assert (request.first_step_of(errors), request.first_step_of(guard)) == (1, 0)


def test_the_first_revision_is_asked_no_gates() -> None:
    assert asked(begun("all"), first=True) is None
