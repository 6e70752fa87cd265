"""A stand-in for Prometheus that answers what it is told to, and knows when it gave the first bad answer.

The peers were measured with one too: what counts is the time from an answer to the route, and a scrape's own time would
only hide it.
"""

import asyncio
import re
import time
from enum import Enum, auto
from types import TracebackType
from typing import Self

from aiohttp import web

LOOPBACK = "127.0.0.1"
GOOD, BAD = "0", "9"
_MODEL = re.compile(r'model="([^"]+)"')


def question(name: str, namespace: str) -> str:
    """The PromQL that a gate asks about one ModelDeployment."""
    return f'bench_badness{{namespace="{namespace}",model="{name}"}}'


class Mode(Enum):
    """How it answers, whatever it is asked."""

    ANSWERS = auto()
    EMPTY = auto()
    NAN = auto()
    HANGS = auto()


class Metrics:
    """An HTTP server on loopback with the part of Prometheus' API that a `Query` gate uses. In the caller's event loop.

    `first_bad`: when the first bad answer about a model was ready to be sent, in Unix seconds.
    """

    def __init__(self) -> None:
        self.first_bad: dict[str, float] = {}
        self.questions = 0
        self._bad: set[str] = set()
        self._mode = Mode.ANSWERS
        self._goes_on = asyncio.Event()
        self._goes_on.set()
        self._port = 0
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.behave(Mode.ANSWERS)
        await self.refuse()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._port}"

    def turns_bad(self, *names: str) -> None:
        """From now on the answers about these models say that they are bad."""
        self._bad.update(names)

    def behave(self, mode: Mode) -> None:
        self._mode = mode
        if mode is Mode.HANGS:
            self._goes_on.clear()
        else:
            self._goes_on.set()

    async def listen(self) -> None:
        """At the port it had before, if it had one."""
        app = web.Application()
        app.router.add_route("*", "/api/v1/query", self._query)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, LOOPBACK, self._port).start()
        self._port = self._runner.addresses[0][1]

    async def refuse(self) -> None:
        """Connections are refused until `listen`."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _query(self, request: web.Request) -> web.Response:
        self.questions += 1
        asked = dict(request.query) | {key: str(value) for key, value in (await request.post()).items()}
        found = _MODEL.search(asked["query"])
        name = found.group(1) if found else ""
        await self._goes_on.wait()
        value = "NaN" if self._mode is Mode.NAN else BAD if name in self._bad else GOOD
        samples = [{"metric": {}, "value": [float(asked["time"]), value]}] if self._mode is not Mode.EMPTY else []
        answer = web.json_response({"status": "success", "data": {"resultType": "vector", "result": samples}})
        if value == BAD and samples:
            self.first_bad.setdefault(name, time.time())
        return answer
