"""One reconcile, with the core and the cluster played by the test: the order of writes, and what follows a failure."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from millgate.api.conditions import EventReason, Reason
from millgate.api.status import Condition, Status
from millgate.controller import loop
from millgate.controller.loop import Outside, Reconciler, WriteRefusedError
from millgate.controller.telemetry import Telemetry
from millgate.kube.api import Conflict, KubeError
from millgate.rollout.plan import Event, Plan, Scale
from millgate.rollout.snapshot import Problem, Snapshot, Target
from millgate.workload.settings import WorkloadSettings

KEY = ("risk", "fraud")
NOW = datetime(2026, 1, 2, tzinfo=UTC)
FIRST, SECOND, THEN = Scale("r1", 1), Scale("r2", 2), Scale("r3", 3)


@dataclass
class World:
    """What happened, in order; `refuse` names the actions that the API server refuses."""

    happened: list[str] = field(default_factory=list)
    refuse: dict[Scale, KubeError] = field(default_factory=dict)
    snapshots: list[Snapshot] = field(default_factory=list)
    status_error: KubeError | None = None
    awaits_files: bool = False
    cr: dict[str, Any] | None = field(
        default_factory=lambda: {
            "apiVersion": "millgate.dev/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": {"namespace": "risk", "name": "fraud", "uid": "u", "generation": 1, "resourceVersion": "1"},
            "spec": {"model": {"name": "f", "version": "1"}},
        }
    )
    again_seconds: float | None = None
    target: Target = field(default_factory=Target)

    # The API server
    async def get(self, *_: object) -> dict[str, Any] | None:
        return self.cr

    async def apply(self, _kind: object, obj: dict[str, Any], **_: object) -> dict[str, Any]:
        if self.status_error is not None:
            raise self.status_error
        said = obj["status"]["conditions"]
        self.happened.append(f"status {said[0]['reason']}")
        return obj

    # Resolver, observer and event writer
    async def resolve(self, *_: object) -> Target:
        return self.target

    def write(self, _about: object, note: Any) -> None:
        self.happened.append(f"event {note.message}")

    # observe, perform and plan
    async def observe(self, *_: object, **known: Any) -> SimpleNamespace:
        snapshot = Snapshot(
            name="fraud",
            generation=1,
            spec=None,
            status=Status(),
            target=known["target"],
            write_failure=known["write_failure"],
        )  # type: ignore[arg-type]
        parent = SimpleNamespace(namespace="risk", name="fraud")
        return SimpleNamespace(snapshot=snapshot, parent=parent, awaits_files=self.awaits_files)

    async def perform(self, _api: object, action: Scale, *_: object) -> None:
        if action in self.refuse:
            self.happened.append(f"refused {action.hash}")
            raise self.refuse[action]
        self.happened.append(f"do {action.hash}")

    def plan(self, snapshot: Snapshot, _now: datetime) -> Plan:
        self.snapshots.append(snapshot)
        reason = snapshot.write_failure.reason if snapshot.write_failure else "Fine"
        said = Condition(type="Ready", status="False", reason=reason, observed_generation=1, last_transition_time=NOW)
        return Plan(
            (FIRST, SECOND),
            Status(conditions=(said,)),
            (THEN,),
            (Event("Normal", EventReason.STEP_STARTED, "told"),),
            self.again_seconds,
        )  # type: ignore[arg-type]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    for name in ("observe", "perform", "plan"):
        monkeypatch.setattr(loop, name, getattr(made, name))
    return made


@pytest.fixture
def reconciler(world: World) -> Reconciler:
    resolver = SimpleNamespace(target=world.resolve, forget=lambda _: None)
    observer = SimpleNamespace(verdicts=lambda *_: (), forget=lambda _: None, follow=None)
    return Reconciler(Outside(world, resolver, observer, world, Telemetry(), WorkloadSettings()))  # type: ignore[arg-type]


REFUSED = KubeError(403, "Forbidden", "no")


async def test_actions_then_the_status_then_what_may_only_happen_once_it_is_stored(world, reconciler):
    world.again_seconds = 7.0
    assert await reconciler.reconcile(KEY) == 7.0
    assert world.happened == ["do r1", "do r2", "status Fine", "event told", "do r3"]


async def test_the_first_refusal_ends_the_actions_and_the_status_tells_it_all_the_same(world, reconciler):
    world.refuse = {FIRST: REFUSED}
    with pytest.raises(WriteRefusedError):
        await reconciler.reconcile(KEY)
    assert world.happened == ["refused r1", "status WriteFailed", "event told"]
    world.refuse, world.happened = {}, []
    await reconciler.reconcile(KEY)
    assert world.happened == ["do r1", "do r2", "status Fine", "event told", "do r3"]


async def test_a_refusal_after_the_status_is_told_by_the_next_one_and_taken_back_when_it_is_over(world, reconciler):
    world.refuse = {THEN: REFUSED}
    with pytest.raises(WriteRefusedError):
        await reconciler.reconcile(KEY)
    assert world.happened[-1] == "refused r3"
    world.refuse, world.happened = {}, []
    assert await reconciler.reconcile(KEY) == 0.0  # the status still says what was: look again at once
    assert "status WriteFailed" in world.happened
    world.happened = []
    assert await reconciler.reconcile(KEY) is None
    assert "status Fine" in world.happened


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KubeError(409, "NameConflict", "it belongs to somebody else"), Reason.NAME_CONFLICT),
        (KubeError(0, "UnknownRegistry", "no such registry"), Reason.UNKNOWN_REGISTRY),
        (KubeError(0, "Unreachable", "no answer in time"), Reason.WRITE_FAILED),
    ],
)
async def test_a_refusal_that_has_a_name_of_its_own_is_told_by_it(world, reconciler, error, reason):
    world.refuse = {FIRST: error}
    with pytest.raises(WriteRefusedError):
        await reconciler.reconcile(KEY)
    assert world.snapshots[-1].write_failure.reason is reason


async def test_nothing_that_may_only_follow_the_status_happens_when_it_was_overtaken(world, reconciler):
    world.status_error = Conflict(409, "Conflict", "it has changed")
    with pytest.raises(Conflict):
        await reconciler.reconcile(KEY)
    assert world.happened == ["do r1", "do r2"]


@pytest.mark.parametrize("gone", [None, {"metadata": {"deletionTimestamp": "2026-01-02T00:00:00Z"}}])
async def test_one_that_is_gone_or_going_is_left_to_the_garbage_collector(world, reconciler, gone):
    world.cr = gone
    assert await reconciler.reconcile(KEY) is None
    assert world.happened == []


async def test_a_service_account_that_is_missing_is_looked_for_again(world, reconciler):
    world.target = Target(problem=Problem(Reason.REF_NOT_FOUND, "there is none"), permanent=True)
    again = await reconciler.reconcile(KEY)
    assert again is not None
    assert again <= 30


async def test_a_pod_that_waits_for_files_is_looked_at_again(world, reconciler):
    world.awaits_files = True
    again = await reconciler.reconcile(KEY)
    assert again is not None
    assert again <= 30


async def test_a_spec_that_cannot_be_read_is_told_and_nothing_is_done(world, reconciler):
    world.cr["spec"]["nonsense"] = 1
    await reconciler.reconcile(KEY)
    assert world.happened[0] == "status InvalidSpec"
    assert not [what for what in world.happened if what.startswith("do")]
