"""uvicorn with three changes: it stops as a lame duck, its connections have limits, and its certificate may change.

Stopping (promise: no request is lost). From SIGTERM on readiness says no and every answer says `Connection: close`,
while new connections are still accepted for the drain time, until every kube-proxy and every client has turned away.
Only then the listener closes, requests in flight are finished, and the process exits with 0.
"""

import asyncio
import signal
import socket
import time
from types import FrameType
from typing import cast

import uvicorn

from millgate_serving.app import App
from millgate_serving.connection import KEEP_ALIVE_SECONDS, Connection, close_idle, connections
from millgate_serving.logs import log
from millgate_serving.settings import Settings
from millgate_serving.tls import EitherServer, certificate

_FINISH_SECONDS = 30
_BACKLOG = 2048
_TICKS_BETWEEN_COUNTS = 5  # uvicorn ticks ten times a second
_TICKS_BETWEEN_LOOKS = 20


def listen(port: int) -> socket.socket:
    """Both IP families where the host has both: in a pod either may be the only one."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG)
    return socket.create_server(("", port), backlog=_BACKLOG)


class Server(uvicorn.Server):
    """`stop` ends it, a signal drains it first."""

    def __init__(self, app: App, settings: Settings) -> None:
        config = uvicorn.Config(
            app,
            loop="uvloop",
            http=connections(settings, app),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # whoever sends X-Forwarded-For could name any client's address
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_FINISH_SECONDS,
        )
        super().__init__(config)
        self._app = app
        self._drain_seconds = settings.drain_seconds
        self._drained_at: float | None = None
        self._most_connections = settings.protection.max_connections
        self._certificate = None if settings.protection.tls is None else certificate(settings.protection.tls)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.predicting.runner.watch()
        if self._certificate is None or sockets is None:
            await super().startup(sockets)
            return
        await super().startup([])
        self.servers = [  # of uvicorn's own there is none
            cast("asyncio.Server", EitherServer(each, self._certificate, self._connection, self._most_connections))
            for each in sockets
        ]

    def _connection(self) -> asyncio.Protocol:
        make = cast("type[Connection]", self.config.http_protocol_class)
        return make(self.config, self.server_state, self.lifespan.state, asyncio.get_running_loop())

    def stop(self) -> None:
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Unlike uvicorn's: the signal is not raised again at the end, so the process exits with 0."""
        if self._app.draining:
            self.should_exit |= sig == signal.SIGINT  # a developer's second Ctrl-C
            return
        self._app.draining = True
        seconds = self._drain_seconds if self._app.ready else 0  # what was never ready was never sent a request
        self._drained_at = time.monotonic() + seconds
        log("draining", signal=signal.Signals(sig).name, seconds=seconds)

    async def on_tick(self, counter: int) -> bool:
        now = time.monotonic()
        self._app.predicting.tick()
        if counter % _TICKS_BETWEEN_LOOKS == 0:
            self._look_around(now)
        if counter % _TICKS_BETWEEN_COUNTS == 0:
            self._app.count()
        if self._drained_at is not None and time.monotonic() >= self._drained_at:
            self.should_exit = True
        return await super().on_tick(counter)

    def _look_around(self, now: float) -> None:
        """What need not be looked at for every request."""
        close_idle(self.server_state.connections, now)
        self._app.predicting.admission.refresh()
        if self._certificate is not None:
            self._certificate.refresh()
