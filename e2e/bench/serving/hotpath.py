"""What one request costs inside the application, without sockets: `python -m e2e.bench.serving.hotpath`.

The figure is the processor time of the cheapest of many short batches: what others do on the machine makes a batch
dearer and never cheaper, so it can be compared from one change to the next also where a benchmark could not run.
"""

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from e2e.bench.serving import ours, subject
from e2e.bench.serving.cases import Asked, Case
from e2e.bench.serving.servers import SERVERS
from e2e.bench.serving.subject import Subject
from millgate_serving import settings
from millgate_serving.app import App
from millgate_serving.loading import Progress, load
from millgate_serving.metrics import Metrics

BATCHES = 400
OURS = [server for server in SERVERS if server.name.startswith("millgate")]
_EVER = 1e6


async def main(names: list[str], model: Subject, log: int) -> None:
    """A line for each case. `log` takes what the application writes to standard output."""
    for server in OURS:
        if names and server.name not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = model.onnx_tensor if server.name == "millgate-v2" else model.onnx_columns
            variables = ours.variables(Path(folder), 0, path, everything=server.name != "millgate-plain")
            os.environ.update({name: value for name, value in variables.items() if name.startswith("OTEL_")})
            configured = settings.read(variables)
            app = App(configured, Metrics(configured))
            app.observer.start(app.predicting)
            app.serve(load(configured, Progress()), 0.0)
            for case in server.cases:
                cheapest = await _cheapest(app, case, case.asked(model))
                os.write(log, f"{server.name:<15} {case.name:<17} {cheapest * 1e6:7.1f} µs\n".encode())
            app.observer.close()


async def _cheapest(app: App, case: Case, asked: list[Asked]) -> float:
    """Seconds a request."""
    batch = max(1, 200 // case.rows)
    cheapest = _EVER
    for _ in range(BATCHES):
        scopes = [
            (_scope(case, asked[number % len(asked)]), asked[number % len(asked)].body) for number in range(batch)
        ]
        began = time.process_time_ns()
        for scope, body in scopes:
            await app(scope, _received(body), _sent)
        cheapest = min(cheapest, (time.process_time_ns() - began) / batch / 1e9)
        await asyncio.sleep(0)
    return cheapest


def _scope(case: Case, asked: Asked) -> dict[str, Any]:
    """As uvicorn and the server's connections make it, for a request that has just been read."""
    headers = {"host": "millgate", **asked.headers, "content-length": str(len(asked.body))}
    now = time.monotonic()
    return {
        "type": "http",
        "method": "POST",
        "path": case.form.path,
        "raw_path": case.form.path.encode(),
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 50000),
        "state": {"arrived_at": now + _EVER, "closes_at": now + _EVER, "crowded": False},
    }


def _received(body: bytes) -> Any:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _sent(message: Any) -> None:
    if message.get("status", 200) != 200:
        raise AssertionError(message)


if __name__ == "__main__":
    screen = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # a line for each request is part of what is measured, and not of this
    asyncio.run(main(sys.argv[1:], subject.made(), screen))
