"""The life of one operator process: stand by, lead, stop. Joins the parts, and says which end means which exit code."""

import asyncio
import logging
import signal
import time
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from millgate.controller.config import Config, identity
from millgate.controller.hints import WARM_UP_SECONDS, Hint, Hints
from millgate.controller.http import Health, ProbeServer
from millgate.controller.loop import Outside, Reconciler
from millgate.controller.observer import Observer
from millgate.controller.outside import evidence_reader, peaks, registries, workload_settings
from millgate.controller.pump import Pump, list_keys
from millgate.controller.resolver import Resolver
from millgate.controller.survey import Surveyor, sweep
from millgate.controller.telemetry import Key, Telemetry
from millgate.kube.api import KubeApi, KubeError
from millgate.kube.events import EventWriter
from millgate.kube.lease import Elector, LeaseTerms
from millgate.kube.login import LoginError
from millgate.kube.queue import WorkQueue

logger = logging.getLogger(__name__)

EXIT_CLEAN, EXIT_LOST = 0, 1
_FINISH_SECONDS = 1.0
_EVENTS_SECONDS = 0.5
_RETRY_LIST_SECONDS = 2.0
_WATCHES_LATEST_SECONDS = 3.0
# Rollouts that are to be taken back wait neither for others nor, up to that many, for each other: the first write of
# each of them is what brings its traffic back.
_MORE_IN_A_HURRY = 16


@dataclass(frozen=True)
class _End:
    """The first task of the process that ended: what that means, and its error."""

    means: str
    error: BaseException | None
    clean: bool


class Operator:
    """Runs until `stop` is set (exit code 0), or until it may not or cannot act any longer (exit code 1).

    Whoever starts it starts it again: a process that lost its lease or its watches goes on as a new one, and not as
    something that has to find out what it missed.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._telemetry = Telemetry()
        self._health = Health()
        self._server = ProbeServer(self._health, self._telemetry.page)
        self._tasks: list[asyncio.Task[Any]] = []
        self._end: _End | None = None
        self._ended = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> int:
        """Raises LoginError when there is no way to log in to a cluster, OSError when the port is taken."""
        config = self._config
        self._start(stop.wait(), "asked to stop", clean=True)
        self._start(self._health.tick(), "the ticker ended")
        await self._server.start(config.listen_address, config.listen_port)
        logger.info("operator started", extra={"identity": identity(), "port": self._server.port})
        try:
            # The lease has a connection of its own: a flood of reconciles must not keep its renewals waiting.
            async with await KubeApi.connect(on_call=self._telemetry.called) as lease_api:
                elector = Elector(lease_api, _terms(config))
                await self._stand_and_lead(elector)
                if self._clean:
                    await elector.release()
            return EXIT_CLEAN if self._clean else EXIT_LOST
        finally:
            for task in self._tasks:
                task.cancel()
            await self._server.stop()

    async def _stand_and_lead(self, elector: Elector) -> None:
        self._start(self._elect(elector), "the lease is lost")
        self._health.ready = "the API server has not answered yet"
        await self._until(elector.reached)
        self._health.ready = ""  # a hot standby
        await self._until(elector.leading)
        if elector.leading.is_set():
            logger.info("leading", extra={"identity": identity()})
            self._telemetry.leads(leading=True)
            async with await KubeApi.connect(on_call=self._telemetry.called, may_write=elector.may_act) as api:
                await self._lead(api)
            self._telemetry.leads(leading=False)

    async def _until(self, event: asyncio.Event) -> None:
        """Until the event, or the end of the process."""
        waiting = {asyncio.create_task(event.wait()), asyncio.create_task(self._ended.wait())}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()

    async def _elect(self, elector: Elector) -> None:
        logger.error("the lease is lost", extra={"detail": await elector.run()})

    async def _lead(self, api: KubeApi) -> None:
        """Returns once the process is to end, with nothing of it at work any longer."""
        config, telemetry = self._config, self._telemetry
        queue: WorkQueue[Key] = WorkQueue(most_busy=config.concurrent_reconciles, more_first=_MORE_IN_A_HURRY)
        telemetry.watch_queue(queue)
        resolver = Resolver(config, registries(config), api, telemetry, wake=queue.add)
        # A failure goes before everything else that waits, other verdicts too: the way back must be short.
        observer = Observer(
            evidence_reader(config),
            telemetry,
            wake=lambda key, urgent: queue.add(key, first=urgent),
            clock=lambda: datetime.now(UTC),
        )
        events = EventWriter(api, identity())
        rates = peaks(config, wake=queue.add)
        outside = Outside(api, resolver, observer, events, telemetry, workload_settings(config), rates)
        pump = Pump(
            queue,
            Reconciler(outside).reconcile,
            telemetry,
            timeout_seconds=config.reconcile_timeout_seconds,
        )
        self._start(resolver.run(), "the registries are asked no longer")
        self._start(events.run(), "events are written no longer")
        surveyor = Surveyor(outside, queue, config.watch_namespaces)
        self._start(self._work(surveyor, queue, pump), "the work ended")
        await self._ended.wait()
        self._health.ready = "stopping"
        observer.close()
        rates.close()
        if self._health.pump is not None:
            self._health.pump.cancel()
        # Without the lease nothing may be finished any more.
        await pump.finish(_FINISH_SECONDS if self._clean else 0.0)
        if self._clean:
            await events.drain(_EVENTS_SECONDS)

    async def _work(self, surveyor: Surveyor, queue: WorkQueue[Key], pump: Pump) -> None:
        """List, look at all, watch, sweep. Waits for the CRD if need be: it may be installed after Millgate."""
        namespaces = self._config.watch_namespaces
        self._health.ready = "the ModelDeployments are not listed yet"
        known = await self._list(surveyor.api)
        self._health.pump = self._start(pump.run(), "nothing takes keys from the queue")
        hints = Hints(namespaces, known, lambda hint: self._take(queue, hint))
        self._health.ready = ""
        self._start(hints.died.wait(), "the watches ended")
        # They list everything when they begin, which takes three times as long as the first look: both at once hold up
        # the rollouts in flight. What changes in between is among what they list.
        overdue = asyncio.get_running_loop().call_later(_WATCHES_LATEST_SECONDS, hints.start)
        logger.info("listed", extra={"modelDeployments": len(known)})
        try:
            await self._look_at_all(surveyor, queue, known)
            hints.start()
            # What the watches listed at their beginning may have changed between the first look and that.
            await sweep(surveyor, first_seconds=WARM_UP_SECONDS + 5.0, seconds=self._config.sweep_seconds)
        finally:
            overdue.cancel()
            hints.stop()

    async def _look_at_all(self, surveyor: Surveyor, queue: WorkQueue[Key], known: Iterable[Key]) -> None:
        began = time.monotonic()
        try:
            await surveyor.look_at_all()
            logger.info("looked at everything", extra={"seconds": round(time.monotonic() - began, 2)})
        except KubeError as error:
            logger.warning("not everything could be looked at together", extra={"error": str(error)})
            for key in known:
                queue.add(key)

    async def _list(self, api: KubeApi) -> dict[Key, str]:
        while True:
            try:
                return await list_keys(api, self._config.watch_namespaces)
            except KubeError as error:
                self._health.ready = f"the ModelDeployments cannot be listed: {error}"
                logger.warning("the ModelDeployments cannot be listed", extra={"error": str(error)})
                await asyncio.sleep(_RETRY_LIST_SECONDS)

    def _take(self, queue: WorkQueue[Key], hint: Hint) -> None:
        self._telemetry.hinted(hint.kind)
        if not hint.listed or self._telemetry.in_flight(hint.key) or queue.is_busy(hint.key):
            queue.add(hint.key, first=hint.first)

    @property
    def _clean(self) -> bool:
        return self._end is not None and self._end.clean

    def _start(self, work: Coroutine[Any, Any, Any], end_means: str, *, clean: bool = False) -> asyncio.Task[Any]:
        """A task that is to run as long as the process; the first that ends, ends it."""

        def note(task: asyncio.Task[Any]) -> None:
            if self._end is None and not task.cancelled():
                error = task.exception()
                self._end = _End(end_means, error, clean)
                logger.log(logging.INFO if clean else logging.ERROR, "operator ends: %s", end_means, exc_info=error)
                self._ended.set()

        task = asyncio.create_task(work, name=end_means)
        task.add_done_callback(note)
        self._tasks.append(task)
        return task


async def run_process(config: Config) -> int:
    """Run until SIGTERM or SIGINT, or until the process must end by itself; the exit code."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        return await Operator(config).run(stop)
    except (LoginError, OSError) as error:
        logger.error("operator cannot start", extra={"error": str(error)})  # noqa: TRY400 - the cause is in the text
        return EXIT_LOST


def _terms(config: Config) -> LeaseTerms:
    lease = config.lease
    return LeaseTerms(
        namespace=lease.namespace,
        name=lease.name,
        identity=identity(),
        duration_seconds=lease.duration_seconds,
        renew_deadline_seconds=lease.renew_deadline_seconds,
        period_seconds=lease.period_seconds,
    )
