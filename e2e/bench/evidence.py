"""How late verdicts are with many rollouts in flight: the operator's reading on one core, against a real Prometheus."""

import asyncio
import os
import random
import resource
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from e2e.bench.figures import Figure, Statistic
from e2e.bench.fleet import CANDIDATE, STABLE, Fleet, fleet, namespace
from e2e.bench.stage import BenchError, Setting
from e2e.cluster.progress import phase
from millgate.api.spec import ModelDeploymentSpec
from millgate.api.status import GateStatus, RolloutStatus, Stage, Status, StepRecord, Track
from millgate.controller.observer import Observer, Visit
from millgate.controller.telemetry import Telemetry
from millgate.evidence.reader import EvidenceReader, EvidenceRequest, evidence_request
from millgate.gates.grid import SETTLE_SECONDS
from millgate.sources.prometheus import Prometheus, Series

ROLLOUTS, STABLE_PODS, INTERVAL_SECONDS = 200, 3, 15
LATENESS_SECONDS = 1.0
GATES = [
    {"name": "errors", "type": "Compare", "compare": {"preset": "Errors"}},
    {"name": "latency", "type": "Compare", "compare": {"preset": "Latency"}},
    {"name": "predictions", "type": "Compare", "compare": {"preset": "Predictions"}},
    {
        "name": "availability",
        "type": "Compare",
        "compare": {
            "statistic": "Rate",
            "numerator": 'http_requests_total{code=~"5.."}',
            "denominator": "http_requests_total",
        },
    },
    {
        "name": "tokens",
        "type": "Compare",
        "compare": {"statistic": "Mean", "numerator": "tokens_total", "denominator": "http_requests_total"},
    },
]


@dataclass
class Counting:
    """The client of Prometheus, with the number of questions."""

    client: Prometheus
    questions: int = 0

    async def query(self, promql: str, at: datetime, *, lookback_seconds: int | None = None) -> tuple[Series, ...]:
        self.questions += 1
        return await self.client.query(promql, at, lookback_seconds=lookback_seconds)

    async def query_range(self, promql: str, start: int, end: int, step_seconds: int) -> tuple[Series, ...]:
        self.questions += 1
        return await self.client.query_range(promql, start, end, step_seconds)


@dataclass
class Timed:
    """The reader, with a note of how long after its moment each look had its verdicts (seconds)."""

    reader: EvidenceReader
    lateness: list[float] = field(default_factory=list)
    undecided: set[str] = field(default_factory=set)

    async def judge(self, request: EvidenceRequest, now: datetime) -> tuple[GateStatus, ...]:
        verdicts = await self.reader.judge(request, now)
        point = request.grid.newest(now)
        if point is not None:
            self.lateness.append(time.time() - point - SETTLE_SECONDS)
        self.undecided = {f"{one.name}: {one.message}" for one in verdicts if one.reason == "NoData"}
        return verdicts

    def forget(self, uid: str) -> None:
        self.reader.forget(uid)


async def evidence(setting: Setting) -> list[Figure]:
    """200 rollouts in flight with five Compare gates each, read every 15 seconds on one core."""
    seconds = 60 if setting.quick else 300
    everything = os.sched_getaffinity(0)
    one, *others = sorted(everything)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        stand = fleet(
            Path(folder),
            ROLLOUTS,
            stable_pods=STABLE_PODS,
            scrape_seconds=INTERVAL_SECONDS,
            cores=set(others or everything),
        )
        with stand as prometheus:
            with phase("three scrapes of all pods"):
                await asyncio.sleep(3 * INTERVAL_SECONDS)
            os.sched_setaffinity(0, {one})
            try:
                for what, spread in (("begun at any time", INTERVAL_SECONDS), ("all begun in the same second", 0)):
                    with phase(f"{ROLLOUTS} rollouts in flight, {what}"):
                        figures += await _in_flight(prometheus, what, spread, seconds)
            finally:
                os.sched_setaffinity(0, everything)
    return figures


async def _in_flight(prometheus: Fleet, what: str, spread_seconds: int, seconds: float) -> list[Figure]:
    metrics = Counting(Prometheus(prometheus.url))
    timed = Timed(EvidenceReader(metrics, scrape_interval_seconds=INTERVAL_SECONDS))
    observer = Observer(timed, Telemetry(), wake=lambda _key, _urgent: None, clock=lambda: datetime.now(UTC))
    began, dice = datetime.now(UTC), random.Random(1)  # noqa: S311  not a secret
    for number in range(ROLLOUTS):
        start = began - timedelta(seconds=dice.random() * spread_seconds)
        visit, request = _case(number, start)
        observer.follow(("fleet", str(number)), visit, request)
    await asyncio.sleep(2 * INTERVAL_SECONDS)  # what is read once, the hour before, is not what is measured
    timed.lateness.clear()
    asked, cpu, clock = metrics.questions, _cpu_seconds(), time.monotonic()
    await asyncio.sleep(seconds)
    lasted = time.monotonic() - clock
    busy = 100 * (_cpu_seconds() - cpu) / lasted
    a_minute = 60 * (metrics.questions - asked) / lasted
    observer.close()
    metrics.client.close()
    if timed.undecided:
        raise BenchError(f"gates without data: {sorted(timed.undecided)}")
    looks = f"{ROLLOUTS} rollouts, 5 gates each, {what}"
    late = tuple(timed.lateness)
    # Rollouts begin at any time; that all begin in one second is the worst case, and only informs.
    promised = LATENESS_SECONDS if spread_seconds else None
    moment = f"verdicts after their moment: {looks}"
    return [
        Figure("evidence", moment, "s", late, at_most=promised, statistic=Statistic.P99),
        Figure("evidence", f"one core: {looks}", "%", (busy,), at_most=100.0),
        Figure("evidence", f"queries a minute: {looks}", "1/min", (a_minute,)),
    ]


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _case(number: int, start: datetime) -> tuple[Visit, EvidenceRequest]:
    spec = ModelDeploymentSpec.model_validate(
        {
            "model": {"name": "m", "version": "2"},
            "rollout": {"intervalSeconds": INTERVAL_SECONDS, "gates": GATES},
        }
    )
    rollout = RolloutStatus(
        id=f"m-2-{number}",
        stage=Stage.STEPPING,
        start_time=start,
        stage_start_time=start,
        step_name="canary-25",
        steps=(StepRecord(name="canary-25", weight_percent=25, start_time=start),),
    )
    stable, candidate = (
        Track(revision=revision, hash=hash_, model_version=str(revision), workload_name=f"m-{hash_}")
        for revision, hash_ in ((1, STABLE), (2, CANDIDATE))
    )
    status = Status(rollout=rollout, stable=stable, candidate=candidate)
    uid = str(number)
    request, visit = (
        evidence_request(uid, namespace(number), "m", spec, status),
        Visit.of(uid, rollout, spec.rollout),
    )
    if request is None or visit is None:
        raise BenchError("nothing is asked")
    return visit, request
