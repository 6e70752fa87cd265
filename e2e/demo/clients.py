"""The demo's clients, one process in a pod: they send labelled rows to the live Service and keep every answer.

Rows are drawn at random, as those of independent users are: in turn, the failures of a model would come in runs.
Half of the requests travel on connections that are kept alive, each in constant use; the other half open a connection
of their own. Requests start on a fixed timetable, so a slow answer delays no other. Nothing is ever tried again.
It runs alone from one file with aiohttp and nothing else of ours, and is configured by its environment:
TARGET_URL, ROWS_FILE, REQUESTS_PER_SECOND, KEPT_CONNECTIONS, PORT, TIMEOUT_SECONDS.
"""

import asyncio
import contextlib
import json
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

LARGEST_PAGE = 20_000
KEPT, FRESH = "kept", "fresh"


@dataclass(frozen=True)
class Settings:
    target_url: str
    rows_file: Path
    requests_per_second: float
    kept_connections: int
    port: int
    timeout_seconds: float


def settings(environment: dict[str, str]) -> Settings:
    return Settings(
        environment["TARGET_URL"],
        Path(environment["ROWS_FILE"]),
        float(environment.get("REQUESTS_PER_SECOND", "100")),
        int(environment.get("KEPT_CONNECTIONS", "10")),
        int(environment.get("PORT", "8080")),
        float(environment.get("TIMEOUT_SECONDS", "5")),
    )


@dataclass(frozen=True)
class Row:
    body: bytes
    label: int


def read_rows(file: Path) -> tuple[Row, ...]:
    return tuple(
        Row(json.dumps({"rows": [each["row"]]}).encode(), each["label"]) for each in json.loads(file.read_text())
    )


class Samples:
    """Every answer in the order of its end; a reader asks for those after the ones it has."""

    def __init__(self) -> None:
        self._answers: list[tuple[Any, ...]] = []
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def add(self, answer: tuple[Any, ...]) -> None:
        _, _, code, version, connection, _, _, _ = answer
        self._answers.append(answer)
        self._counts[str(code), version or "", connection] += 1

    def page(self, since: int) -> dict[str, Any]:
        return {"answers": self._answers[since : since + LARGEST_PAGE]}

    def exposition(self) -> str:
        lines = [
            "# HELP demo_client_answers_total Answers as clients saw them; code 0 is a request without an answer.",
            "# TYPE demo_client_answers_total counter",
        ]
        lines += [
            f'demo_client_answers_total{{code="{code}",version="{version}",connection="{connection}"}} {count}'
            for (code, version, connection), count in sorted(self._counts.items())
        ]
        return "\n".join(lines) + "\n"


class Clients:
    """Sends rows and puts down for each: start, end, code, version, connection, row, right, error."""

    def __init__(self, chosen: Settings, rows: tuple[Row, ...], samples: Samples) -> None:
        self._settings = chosen
        self._rows = rows
        self._samples = samples
        self._draw = random.Random(0)  # noqa: S311 - the same rows in every run; nothing is secret
        self._open: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        count = self._settings.kept_connections
        share = self._settings.requests_per_second / 2
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(self._keep(count / share, number / share))
            group.create_task(self._open_anew(1 / share))

    async def _keep(self, period_seconds: float, offset_seconds: float) -> None:
        """One client with one connection, which it opens again only when the server has closed it."""
        async with self._session(aiohttp.TCPConnector(limit=1)) as session:
            async for _ in timetable(period_seconds, offset_seconds):
                await self._ask(session, KEPT)

    async def _open_anew(self, period_seconds: float) -> None:
        async with self._session(aiohttp.TCPConnector(limit=0, force_close=True)) as session:
            async for _ in timetable(period_seconds, 0.0):
                task = asyncio.create_task(self._ask(session, FRESH))
                self._open.add(task)
                task.add_done_callback(self._open.discard)

    def _session(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        timeout = aiohttp.ClientTimeout(total=self._settings.timeout_seconds)
        return aiohttp.ClientSession(connector=connector, timeout=timeout, headers={"Content-Type": "application/json"})

    async def _ask(self, session: aiohttp.ClientSession, connection: str) -> None:
        index = self._draw.randrange(len(self._rows))
        row = self._rows[index]
        started = time.time()
        code, version, right, error = 0, None, None, None
        try:
            async with session.post(self._settings.target_url, data=row.body) as response:
                code = response.status
                answer = await response.json()
            if code == 200:
                version, right = str(answer["version"]), answer["predictions"][0] == row.label
            else:
                error = str(answer["error"])
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError) as failure:
            error = f"{type(failure).__name__}: {failure}"
        self._samples.add((round(started, 4), round(time.time(), 4), code, version, connection, index, right, error))


async def timetable(period_seconds: float, offset_seconds: float) -> AsyncIterator[None]:
    """Ticks at fixed times. Ticks that were missed are left out: a client that was held up does not make up for it."""
    due = time.monotonic() + offset_seconds
    while True:
        await asyncio.sleep(due - time.monotonic())
        yield
        missed = max(0.0, time.monotonic() - due) // period_seconds
        due += period_seconds * (1 + missed)


def application(samples: Samples) -> web.Application:
    async def page(request: web.Request) -> web.Response:
        return web.json_response(samples.page(int(request.query.get("since", "0"))))

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(text=samples.exposition())

    made = web.Application()
    made.add_routes([web.get("/answers", page), web.get("/metrics", metrics)])
    return made


async def main() -> None:
    chosen = settings(dict(os.environ))
    samples = Samples()
    runner = web.AppRunner(application(samples), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=chosen.port).start()
    try:
        await Clients(chosen, read_rows(chosen.rows_file), samples).run()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
