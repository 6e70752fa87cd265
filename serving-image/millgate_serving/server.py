"""uvicorn with two changes: it stops as a lame duck, and a connection has a maximum age.

Stopping (promise: no request is lost). From SIGTERM on readiness says no and every answer says `Connection: close`,
while new connections are still accepted for the drain time, until every kube-proxy and every client has turned away.
Only then the listener closes, requests in flight are finished, and the process exits with 0.
"""

import asyncio
import random
import signal
import socket
import time
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from millgate_serving.app import App
from millgate_serving.asgi import error_body
from millgate_serving.logs import log
from millgate_serving.settings import Settings

# Longer than the idle time-outs of load balancers and clients (60 to 600 s): a request that is on its way when the
# server closes an idle connection is lost, so the other side has to be the one that closes.
_KEEP_ALIVE_SECONDS = 620
_FINISH_SECONDS = 30
_BACKLOG = 2048
_AGE_JITTER = 0.1
_TICKS_BETWEEN_COUNTS = 5  # uvicorn ticks ten times a second


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
            http=_protocol(settings.max_connection_age_seconds),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_FINISH_SECONDS,
        )
        super().__init__(config)
        self._app = app
        self._drain_seconds = settings.drain_seconds
        self._drained_at: float | None = None

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
        if counter % _TICKS_BETWEEN_COUNTS == 0:
            self._app.count()
        if self._drained_at is not None and time.monotonic() >= self._drained_at:
            self.should_exit = True
        return await super().on_tick(counter)


def _protocol(max_age_seconds: float) -> type[asyncio.Protocol]:
    class Protocol(HttpToolsProtocol):
        """Gives each connection the moment at which it is too old, and answers malformed HTTP in our error form."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            # The jitter keeps clients that were all started together from coming back together.
            jitter = random.uniform(1 - _AGE_JITTER, 1 + _AGE_JITTER)  # noqa: S311 - not a secret
            self.app_state: dict[str, Any] = {"closes_at": time.monotonic() + max_age_seconds * jitter}

        def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words are plain text
            body = error_body("the request is not valid HTTP/1.1")
            self.transport.write(
                b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
                b"content-length: %d\r\n\r\n%b" % (len(body), body)
            )
            self.transport.close()

    return Protocol
