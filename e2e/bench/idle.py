"""What the operator costs while nothing happens, and how long it takes to know that nothing has to be done."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from e2e.bench.figures import Figure, Statistic
from e2e.bench.stage import BenchError, Setting, client, policy, subject
from e2e.cluster.controlplane import ControlPlane
from e2e.cluster.progress import phase, say
from millgate.kube.api import MODEL_DEPLOYMENT, KubeApi
from tests.controlplane.operator_process import OperatorProcess
from tests.controlplane.plane import Kubectl, control_plane, new_namespace

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
MEGABYTES = {500: 140.0, 1_000: 200.0, 10_000: 450.0}
CPU_PERCENT = 2.0
START_OBJECTS, START_SECONDS = 1_000, 5.0
PEERS = "500 objects: Argo Rollouts 144 MiB, 0.05 %, 0 requests/min; Flagger 93 MiB, 10 %, 6010 requests/min"
START_PEERS = "500 objects: Argo Rollouts 24.1 s; Flagger is never quiet"
ALL_PEERS = "500 objects: Argo Rollouts 129 s; Flagger 327 s"
# Everything that was listed at a start is looked at once more within this time; idle begins after it.
SETTLING_SECONDS = 60.0
_AT_ONCE = 16
_POLL_SECONDS = 0.05
# The page of the operator's metrics has two lines for each ModelDeployment: reading it often would be a load.
_SELDOM_SECONDS = 3.0


@dataclass
class Crowd:
    """ModelDeployments of one replica each, all promoted; it grows."""

    plane: ControlPlane
    api: KubeApi
    namespace: str
    operator: OperatorProcess
    size: int = 0

    async def grow(self, size: int) -> float:
        """Seconds from the first apply until all are promoted and idle."""
        began = time.time()
        slots = asyncio.Semaphore(_AT_ONCE)

        async def one(number: int) -> None:
            obj = subject(f"idle-{number}", "1", policy())
            placed = obj | {"metadata": obj["metadata"] | {"namespace": self.namespace}}
            async with slots:
                await self.api.apply(MODEL_DEPLOYMENT, placed, manager="kubectl")

        with phase(f"make {size - self.size} ModelDeployments"):
            async with asyncio.TaskGroup() as group:
                for number in range(self.size, size):
                    group.create_task(one(number))
        with phase(f"wait until {size} are promoted and idle"):
            await self._until(
                lambda: self._idle() >= size, f"{size} are idle", seconds=120 + size, poll_seconds=_SELDOM_SECONDS
            )
        self.size = size
        return time.time() - began

    def _idle(self) -> float:
        return self.operator.metric("millgate_rollout_info", stage="Idle", reason="Promoted")

    async def settled(self) -> float:
        """Seconds from now until the process has looked at every ModelDeployment and its queue is empty."""
        began = time.monotonic()
        log = self.operator.log_path

        def waits() -> bool:
            depth = self.operator.metric("millgate_queue_depth") + self.operator.metric("millgate_queue_busy")
            return depth > 0.0 or self.operator.metric("millgate_rollout_info") < self.size

        starts = len(_lines(log, "operator started"))
        await self._until(
            lambda: len(_lines(log, "looked at everything")) >= starts, "all were looked at once", seconds=300
        )
        took = time.monotonic() - began
        if await asyncio.to_thread(waits):
            await self._until(lambda: not waits(), "the queue is empty", seconds=300, poll_seconds=0.5)
            took = time.monotonic() - began
        return took

    async def _until(
        self, check: Callable[[], bool], what: str, *, seconds: float, poll_seconds: float = _POLL_SECONDS
    ) -> None:
        until = time.monotonic() + seconds
        while not await asyncio.to_thread(check):
            if time.monotonic() > until:
                raise BenchError(f"not within {seconds:.0f} s: {what}")
            if not self.operator.running():
                raise BenchError(f"the operator ended while this was waited for: {what}")
            await asyncio.sleep(poll_seconds)


@dataclass
class Window:
    """What the operator did between two moments (Unix seconds), by the audit log."""

    since: float
    until: float
    writes: list[str] = field(default_factory=list)
    reads: int = 0
    renewals: int = 0

    def count(self, events: Iterable[dict[str, Any]]) -> None:
        for event in events:
            at = datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp()
            if not self.since <= at <= self.until or not event.get("userAgent", "").startswith("millgate/"):
                continue
            what = event.get("objectRef", {})
            if what.get("resource") == "leases":
                self.renewals += 1
            elif event["verb"] in WRITES:
                self.writes.append(f"{event['verb']} {what.get('resource')} {what.get('name')}")
            else:
                self.reads += 1


def _lines(log: Path, message: str) -> list[str]:
    return [line for line in log.read_text().splitlines() if f'"{message}"' in line]


@asynccontextmanager
async def _crowd() -> AsyncIterator[Crowd]:
    async with AsyncExitStack() as stack:
        plane = stack.enter_context(control_plane(audit=True))
        namespace = stack.enter_context(new_namespace(Kubectl(plane.kubeconfig), "idle"))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        operator = stack.enter_context(OperatorProcess(plane, folder))
        await asyncio.to_thread(operator.leading)
        yield Crowd(plane, await stack.enter_async_context(await client(plane)), namespace, operator)


async def idle(setting: Setting) -> list[Figure]:
    """Writes, requests, memory and processor time of the operator beside idle ModelDeployments."""
    sizes = [500] if setting.quick else [500, 1_000, *([10_000] if setting.full else [])]
    figures: list[Figure] = []
    async with _crowd() as crowd:
        for size in sizes:
            took = await crowd.grow(size)
            figures.append(Figure("idle", f"{size:,} applied to all promoted", "s", (took,), peers=ALL_PEERS))
            long = size == START_OBJECTS and not setting.quick
            figures += await _watch(crowd, 600.0 if long else 60.0)
    return figures


async def _watch(crowd: Crowd, seconds: float) -> list[Figure]:
    operator, size = crowd.operator, crowd.size
    with phase("wait until nothing happens"):
        await crowd.settled()
        await asyncio.sleep(SETTLING_SECONDS)
    with phase(f"look at {size:,} idle ones for {seconds:.0f} s"):
        window = Window(time.time(), time.time() + seconds)
        spent = operator.cpu_seconds()
        await asyncio.sleep(seconds)
        percent = 100.0 * (operator.cpu_seconds() - spent) / seconds
        megabytes = operator.rss_megabytes()
    window.count(await asyncio.to_thread(lambda: list(crowd.plane.audit_events())))
    for write in window.writes[:10]:
        say(f"a write while idle: {write}")
    what = f"{size:,} idle for {seconds:.0f} s"
    rates = f"{window.reads / seconds * 60:.0f} reads and {window.renewals / seconds * 60:.0f} lease renewals a minute"
    worst = Statistic.WORST
    written = float(len(window.writes))
    return [
        Figure("idle", f"{what}: writes", "writes", (written,), at_most=0, statistic=worst, peers=PEERS, note=rates),
        Figure("idle", f"{what}: RSS", "MB", (megabytes,), at_most=MEGABYTES[size], statistic=worst),
        Figure("idle", f"{what}: of a core", "%", (percent,), at_most=CPU_PERCENT, statistic=worst),
    ]


async def start(setting: Setting) -> list[Figure]:
    """From the start of the process to everything looked at, beside 1,000 idle ModelDeployments."""
    samples = []
    async with _crowd() as crowd:
        await crowd.grow(START_OBJECTS)
        await crowd.settled()
        for _ in range(1 if setting.quick else 5):
            await asyncio.to_thread(crowd.operator.terminate)
            with phase("start the operator"):
                crowd.operator.start()
                samples.append(await crowd.settled())
            await asyncio.sleep(SETTLING_SECONDS)
    what = f"start of the process to {START_OBJECTS:,} looked at and an empty queue"
    return [Figure("start", what, "s", tuple(samples), at_most=START_SECONDS, peers=START_PEERS)]
