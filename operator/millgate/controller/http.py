"""/livez, /readyz and /metrics: how Kubernetes and Prometheus see the operator."""

import asyncio
import time
from collections.abc import Callable

from aiohttp import web

STALL_SECONDS = 10.0
_TICK_SECONDS = 1.0


class Health:
    """What the probes ask.

    Live: the event loop turns, and the task that feeds the queue's keys to the reconciles runs (once there is one).
    Ready: a leader that has listed all ModelDeployments, or a hot standby that has reached the API server.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ticked = clock()
        self.ready = "not started"  # why not; empty when ready
        self.pump: asyncio.Task[None] | None = None

    async def tick(self) -> None:
        while True:
            self._ticked = self._clock()
            await asyncio.sleep(_TICK_SECONDS)

    def trouble(self) -> str:
        """Empty when live."""
        if self._clock() - self._ticked > STALL_SECONDS:
            return f"the event loop stood still for {self._clock() - self._ticked:.0f} s"
        if self.pump is not None and self.pump.done():
            return "nothing takes keys from the queue"
        return ""


class ProbeServer:
    """The HTTP server of the operator. `port` is the one that was bound, also when 0 was asked for."""

    def __init__(self, health: Health, page: Callable[[], bytes]) -> None:
        self._health = health
        self._page = page
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, address: str, port: int) -> None:
        app = web.Application()
        app.add_routes(
            [web.get("/livez", self._livez), web.get("/readyz", self._readyz), web.get("/metrics", self._metrics)]
        )
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, address, port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _livez(self, _request: web.Request) -> web.Response:
        return _answer(self._health.trouble())

    async def _readyz(self, _request: web.Request) -> web.Response:
        return _answer(self._health.trouble() or self._health.ready)

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._page(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


def _answer(trouble: str) -> web.Response:
    return web.Response(status=503 if trouble else 200, text=f"{trouble or 'ok'}\n")
