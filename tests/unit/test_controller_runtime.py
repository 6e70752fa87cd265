"""The pump, the probes, the metrics, the log and the status writer, each by itself."""

import asyncio
import json
import logging
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import ClientSession
from pydantic import ValidationError

from millgate.api.spec import ModelDeploymentSpec
from millgate.api.status import Condition, GateStatus, RolloutStatus, Stage, Status, Verdict
from millgate.controller.http import Health, ProbeServer
from millgate.controller.log import JsonFormatter
from millgate.controller.loop import WriteRefusedError
from millgate.controller.main import main
from millgate.controller.pump import Pump
from millgate.controller.status_writer import refused_spec, status_of, write_status
from millgate.controller.telemetry import Key, Telemetry
from millgate.kube.api import Conflict, KubeError
from millgate.kube.events import EventWriter, Note
from millgate.kube.queue import WorkQueue
from tests.unit.until import until

KEY = ("risk", "fraud")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Reconcile:
    """Does for each key what the test says, and remembers what ran at the same time."""

    def __init__(self) -> None:
        self.ran: list[Key] = []
        self.failures: list[Exception] = []
        self.again: float | None = None
        self.blocked = asyncio.Event()
        self.blocked.set()
        self.running = 0
        self.most_at_once = 0

    async def __call__(self, key: Key) -> float | None:
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        try:
            await self.blocked.wait()
            self.ran.append(key)
            if self.failures:
                raise self.failures.pop(0)
            return self.again
        finally:
            self.running -= 1


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture
def queue() -> WorkQueue[Key]:
    return WorkQueue(most_busy=3, more_first=2, base_seconds=0.01)


@pytest.fixture
def reconcile() -> Reconcile:
    return Reconcile()


@pytest.fixture
async def pump(queue, reconcile, telemetry):
    made = Pump(queue, reconcile, telemetry, timeout_seconds=0.5)
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()
    await made.finish(0)


@pytest.mark.usefixtures("pump")
@pytest.mark.parametrize(
    "failure",
    [
        Conflict(409, "Conflict", "it has changed"),
        KubeError(0, "Unreachable", "no answer in time"),
        WriteRefusedError("Route: 403"),
        RuntimeError("a defect"),
    ],
)
async def test_whatever_fails_is_tried_again(queue, reconcile, telemetry, failure):
    reconcile.failures = [failure]
    queue.add(KEY)
    await until(lambda: reconcile.ran == [KEY, KEY])
    result = "conflict" if isinstance(failure, Conflict) else "error"
    assert f'millgate_reconciles_total{{result="{result}"}} 1.0' in telemetry.page().decode()


@pytest.mark.usefixtures("pump")
async def test_a_reconcile_that_hangs_is_cut_off_and_others_go_on(queue, reconcile):
    reconcile.blocked.clear()
    queue.add(KEY)
    await until(lambda: reconcile.running == 1)
    await until(lambda: queue.state().busy == 0)
    reconcile.blocked.set()
    await until(lambda: KEY in reconcile.ran)


@pytest.mark.usefixtures("pump")
async def test_no_more_run_at_once_than_configured(queue, reconcile):
    reconcile.blocked.clear()
    for number in range(9):
        queue.add(("risk", str(number)))
    await until(lambda: reconcile.running == 3)
    reconcile.blocked.set()
    await until(lambda: len(reconcile.ran) == 9)
    assert reconcile.most_at_once == 3


@pytest.mark.usefixtures("pump")
async def test_a_key_in_a_hurry_waits_for_no_other(queue, reconcile):
    reconcile.blocked.clear()
    for number in range(9):
        queue.add(("risk", str(number)))
    await until(lambda: reconcile.running == 3)
    queue.add(("risk", "8"), first=True)
    await until(lambda: reconcile.running == 4)
    reconcile.blocked.set()
    await until(lambda: len(reconcile.ran) == 9)
    assert ("risk", "8") in reconcile.ran[:4]


@pytest.mark.usefixtures("pump")
async def test_a_key_comes_back_when_its_reconcile_says(queue, reconcile):
    reconcile.again = 0.05
    queue.add(KEY)
    await until(lambda: len(reconcile.ran) == 3)


async def test_what_is_being_worked_on_may_end_before_the_process_does(queue, reconcile, pump):
    reconcile.blocked.clear()
    queue.add(KEY)
    await until(lambda: reconcile.running == 1)
    finishing = asyncio.create_task(pump.finish(5))
    reconcile.blocked.set()
    await finishing
    assert reconcile.ran == [KEY]


async def test_the_probes_say_what_is_wrong():
    clock = [0.0]
    health = Health(lambda: clock[0])
    server = ProbeServer(health, lambda: b"m 1\n")
    await server.start("127.0.0.1", 0)
    try:
        async with ClientSession(f"http://127.0.0.1:{server.port}") as session:

            async def ask(path: str) -> tuple[int, str]:
                async with session.get(path) as answer:
                    return answer.status, await answer.text()

            assert await ask("/livez") == (200, "ok\n")
            assert await ask("/readyz") == (503, "not started\n")
            health.ready = ""
            assert await ask("/readyz") == (200, "ok\n")
            assert await ask("/metrics") == (200, "m 1\n")
            health.pump = asyncio.create_task(asyncio.sleep(0))
            await health.pump
            assert (await ask("/livez"))[0] == 503
            health.pump = None
            clock[0] = 60.0
            assert "stood still for 60 s" in (await ask("/livez"))[1]
    finally:
        await server.stop()


def ready(reason: str = "RolloutInProgress", status: str = "False") -> Condition:
    return Condition(type="Ready", status=status, reason=reason, observed_generation=1, last_transition_time=NOW)


def rollout(stage: Stage = Stage.STEPPING) -> RolloutStatus:
    return RolloutStatus(id="fraud-2-r2", stage=stage, start_time=NOW, stage_start_time=NOW)


def test_the_metrics_of_a_rollout_leave_no_series_of_the_past(telemetry):
    gate = GateStatus(name="errors", step="canary-10", verdict=Verdict.FAIL, reason="WorseThanStable")
    telemetry.show(KEY, Status(rollout=rollout(), gates=(gate,), conditions=(ready(),)))
    page = telemetry.page().decode()
    assert (
        'millgate_rollout_info{name="fraud",namespace="risk",reason="RolloutInProgress",stage="Stepping"} 1.0' in page
    )
    assert 'millgate_gate_verdict{gate="errors",name="fraud",namespace="risk",step="canary-10"} -1.0' in page
    telemetry.show(KEY, Status(conditions=(ready("Promoted", "True"),)))
    page = telemetry.page().decode()
    assert page.count("millgate_rollout_info{") == 1
    assert 'reason="Promoted",stage="Idle"' in page
    assert "millgate_gate_verdict{" not in page
    assert 'millgate_modeldeployment_ready{name="fraud",namespace="risk"} 1.0' in page
    telemetry.forget(KEY)
    assert 'namespace="risk"' not in telemetry.page().decode()


def test_the_queue_is_seen_as_it_is_at_the_scrape(telemetry):
    queue = WorkQueue[Key]()
    telemetry.watch_queue(queue)
    queue.add(KEY)
    assert "millgate_queue_depth 1.0" in telemetry.page().decode()
    queue.take()
    page = telemetry.page().decode()
    assert "millgate_queue_depth 0.0" in page
    assert "millgate_queue_busy 1.0" in page


def test_a_log_line_is_one_json_object_with_fields_of_its_own():
    record = logging.makeLogRecord(
        {
            "name": "millgate.x",
            "levelname": "INFO",
            "msg": "stage changed\nto %s",
            "args": ("Idle",),
            "namespace": "risk",
        }
    )
    line = JsonFormatter().format(record)
    assert "\n" not in line
    said = json.loads(line)
    assert said["message"] == "stage changed\nto Idle"
    assert (said["severity"], said["logger"], said["namespace"]) == ("INFO", "millgate.x", "risk")


class StatusApi:
    def __init__(self) -> None:
        self.written: list[dict[str, Any]] = []

    async def apply(self, _kind: object, obj: dict[str, Any], *, subresource: str) -> dict[str, Any]:
        assert subresource == "status"
        self.written.append(obj)
        return obj


def model_deployment(status: Status | None) -> dict[str, Any]:
    return {
        "apiVersion": "millgate.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"namespace": "risk", "name": "fraud", "uid": "u", "resourceVersion": "41", "generation": 3},
        "spec": {"model": {"name": "f", "version": "1"}},
        "status": {"observedGeneration": -1} if status is None else status.to_json(),
    }


async def test_a_status_is_written_over_what_was_read_and_only_when_it_differs():
    api, status = StatusApi(), Status(observed_generation=3, rollout=rollout(), conditions=(ready(),))
    assert await write_status(api, model_deployment(None), status)
    assert api.written[0]["metadata"]["resourceVersion"] == "41"
    assert api.written[0]["status"] == status.to_json()
    assert not await write_status(api, model_deployment(status), status)
    newer = model_deployment(status)
    newer["status"]["fieldOfANewerMillgate"] = 1
    assert not await write_status(api, newer, status)
    assert len(api.written) == 1


def test_a_spec_that_cannot_be_read_is_refused_by_name_and_what_serves_stays():
    before = Status(observed_generation=2, rollout=rollout(), conditions=(ready("Promoted", "True"),))
    cr = model_deployment(before)
    with pytest.raises(ValidationError) as caught:
        ModelDeploymentSpec.model_validate({"model": {"name": "f", "version": "1", "nmae": "x"}, "replicas": 0})
    status = refused_spec(cr, caught.value, NOW)
    said = {condition.type: condition for condition in status.conditions}
    assert status.rollout == before.rollout
    assert (said["Accepted"].status, said["Accepted"].reason) == ("False", "InvalidSpec")
    assert "spec.model.nmae" in said["Accepted"].message
    assert (said["Stalled"].status, said["Reconciling"].status, said["Ready"].status) == ("True", "False", "False")
    assert list(said)[-1] == "Ready"
    assert status.observed_generation == 3
    cr["status"] = status.to_json()
    assert refused_spec(cr, caught.value, datetime.now(UTC)) == status_of(cr)


class EventApi:
    def __init__(self) -> None:
        self.created: list[dict[str, Any]] = []

    async def create(self, _kind: object, obj: dict[str, Any]) -> dict[str, Any]:
        if obj["reason"] == "Refused":
            raise KubeError(403, "Forbidden", "no")
        self.created.append(obj)
        return obj


async def test_an_event_is_said_once_in_a_while_and_a_refused_one_holds_up_nothing():
    clock = [0.0]
    api = EventApi()
    writer = EventWriter(api, "operator-a", clock=lambda: clock[0], window_seconds=600)
    task = asyncio.create_task(writer.run())
    about = model_deployment(None)
    for _ in range(5):
        writer.write(about, Note("Warning", "Refused", "no"))
        writer.write(about, Note("Normal", "StepStarted", "step half"))
    writer.write(about, Note("Normal", "StepStarted", "step all"))
    await writer.drain(5)
    assert sorted(event["note"] for event in api.created) == ["step all", "step half"]
    event = api.created[0]
    assert event["reportingController"] == "millgate.dev/operator"
    assert event["regarding"]["uid"] == "u"
    clock[0] = 601.0
    writer.write(about, Note("Normal", "StepStarted", "step half"))
    await writer.drain(5)
    assert len(api.created) == 3
    task.cancel()


def test_help_has_an_example_and_a_bad_configuration_is_misuse(capsys, monkeypatch, tmp_path):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "millgate-operator --config config.yaml" in capsys.readouterr().out
    path = tmp_path / "config.yaml"
    path.write_text("nonsense: 1")
    monkeypatch.setenv("MILLGATE_CONFIG", "")
    with pytest.raises(SystemExit) as ended:
        main(["--config", str(path)])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "millgate-operator: nonsense: Extra inputs are not permitted\n"
