"""Evidence is read beside the loop, and a verdict never leaves the visit of the step that it belongs to."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from millgate.api.spec import ModelDeploymentSpec
from millgate.api.status import GateStatus, RolloutStatus, Stage, Status, StepRecord, Track, Verdict
from millgate.controller.observer import Observer, Visit
from millgate.controller.telemetry import Telemetry
from millgate.evidence.reader import evidence_request
from tests.unit.until import until

KEY = ("risk", "fraud")


class Reader:
    """Answers at once, or hangs, or breaks."""

    def __init__(self) -> None:
        self.verdict = Verdict.PASS
        self.breaks = False
        self.asked: list[datetime] = []
        self.forgotten: list[str] = []

    async def judge(self, request: Any, now: datetime) -> tuple[GateStatus, ...]:
        self.asked.append(now)
        if self.breaks:
            raise RuntimeError("a defect")
        return (GateStatus(name="errors", step=request.step.name, verdict=self.verdict, reason="NotWorse"),)

    def forget(self, uid: str) -> None:
        self.forgotten.append(uid)


def now() -> datetime:
    return datetime.now(UTC)


def case(began: datetime, *, step: str = "canary-10", interval: int = 1, max_ratio: str = "1.2"):
    """A visit of a step that began then, and the request for its evidence."""
    compare = {"name": "errors", "type": "Compare", "compare": {"preset": "Errors", "maxRatio": max_ratio}}
    spec = ModelDeploymentSpec.model_validate(
        {"model": {"name": "f", "version": "1"}, "rollout": {"intervalSeconds": interval, "gates": [compare]}}
    )
    rollout = RolloutStatus(
        id="fraud-2-r2",
        stage=Stage.STEPPING,
        start_time=began,
        stage_start_time=began,
        step_name=step,
        steps=(StepRecord(name=step, weight_percent=10, start_time=began),),
    )
    tracks = [
        Track(revision=number, hash=f"r{number}", model_version=str(number), workload_name=f"f-r{number}")
        for number in (1, 2)
    ]
    request = evidence_request("uid", *KEY, spec, Status(rollout=rollout, stable=tracks[0], candidate=tracks[1]))
    visit = Visit.of("uid", rollout, spec.rollout)
    assert visit is not None
    assert request is not None
    return visit, request


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def woken() -> list[tuple[tuple[str, str], bool]]:
    return []


@pytest.fixture
async def observer(reader, woken):
    made = Observer(reader, Telemetry(), wake=lambda key, urgent: woken.append((key, urgent)), clock=now)
    yield made
    made.close()


async def test_each_look_wakes_the_model_deployment_and_its_verdict_is_there(observer, reader, woken):
    visit, request = case(now())
    observer.follow(KEY, visit, request)
    assert observer.verdicts(KEY, visit) == ()
    await until(lambda: len(woken) == 2)
    assert [gate.verdict for gate in observer.verdicts(KEY, visit)] == [Verdict.PASS]
    assert reader.asked[1] - reader.asked[0] >= timedelta(seconds=0.5)


@pytest.mark.parametrize(("verdict", "urgent"), [(Verdict.PASS, False), (Verdict.FAIL, True)])
async def test_only_a_failure_is_urgent(observer, reader, woken, verdict, urgent):
    reader.verdict = verdict
    observer.follow(KEY, *case(now()))
    await until(lambda: woken)
    assert woken[0] == (KEY, urgent)


async def test_a_step_is_not_judged_before_its_first_interval_is_over(observer, reader):
    began = now()
    observer.follow(KEY, *case(began))
    await until(lambda: reader.asked)
    assert reader.asked[0] >= began + timedelta(seconds=1)


async def test_after_a_restart_the_look_that_was_missed_is_made_up_for_at_once(observer, reader):
    observer.follow(KEY, *case(now() - timedelta(hours=1), interval=3600))
    started = now()
    await until(lambda: reader.asked)
    assert reader.asked[0] - started < timedelta(seconds=1)


async def test_following_again_does_not_begin_anew(observer, reader, woken):
    visit, request = case(now())
    for _ in range(20):
        observer.follow(KEY, visit, request)
        await asyncio.sleep(0.1)
    assert 1 <= len(reader.asked) <= 2
    assert woken


@pytest.mark.parametrize("other", [{"step": "canary-25"}, {"max_ratio": "2.0"}])
async def test_a_verdict_is_never_used_for_another_step_or_another_rule(observer, woken, other):
    began = now() - timedelta(seconds=30)
    visit, request = case(began, interval=600)
    observer.follow(KEY, visit, case(began - timedelta(hours=1), interval=600)[1])
    await until(lambda: woken)
    assert observer.verdicts(KEY, visit)
    another, another_request = case(began, interval=600, **other)
    assert observer.verdicts(KEY, another) == ()
    observer.follow(KEY, another, another_request)
    assert observer.verdicts(KEY, another) == ()
    assert observer.verdicts(KEY, visit) == ()
    assert request != another_request


async def test_a_reader_that_breaks_gives_no_verdict_and_is_asked_again(observer, reader, woken):
    reader.breaks = True
    visit, request = case(now())
    observer.follow(KEY, visit, request)
    await until(lambda: reader.asked)
    assert woken == []
    assert observer.verdicts(KEY, visit) == ()
    reader.breaks = False
    await until(lambda: woken)
    assert observer.verdicts(KEY, visit)


async def test_nothing_is_read_any_longer_once_the_rollout_is_over(observer, reader):
    visit, request = case(now())
    observer.follow(KEY, visit, request)
    observer.forget(KEY)
    await asyncio.sleep(1.3)
    assert reader.asked == []
    assert reader.forgotten == ["uid"]
    assert observer.verdicts(KEY, visit) == ()
