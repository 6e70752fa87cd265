"""What one request costs inside the server, without sockets: `python -m e2e.bench.serving.hotpath`.

The figure is the processor time of the cheapest of many short batches: what others do on the machine makes a batch
dearer and never cheaper, so it can be compared from one change to the next also where a benchmark could not run.
"""

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

from uvicorn.server import ServerState

from e2e.bench.serving import ours, subject
from e2e.bench.serving.cases import Asked, Case
from e2e.bench.serving.servers import SERVERS
from e2e.bench.serving.subject import Subject
from millgate_serving import settings
from millgate_serving.app import App
from millgate_serving.connection import Connection
from millgate_serving.loading import Progress, load
from millgate_serving.metrics import Metrics
from millgate_serving.server import Server

BATCHES = 400
LEARNT = 100
"""Calls after which the server knows that the model is fast."""
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
            app.observer.start()
            app.serve(load(configured, Progress()), 0.0)
            for case in server.cases:
                cheapest = await _cheapest(app, Server(app, configured), case, case.asked(model))
                os.write(log, f"{server.name:<15} {case.name:<17} {cheapest * 1e6:7.1f} µs\n".encode())
            app.observer.close()


async def _cheapest(app: App, server: Server, case: Case, asked: list[Asked]) -> float:
    """Seconds a request."""
    connection = _connected(server)
    batch = max(1, 200 // case.rows)
    sent = [_request(case, asked[number % len(asked)]) for number in range(batch)]
    cheapest = _EVER
    for _ in range(BATCHES):
        for _ in range(LEARNT):  # again, as what disturbs the machine makes the model look slow
            app.predicting.runner.learn(0.0001)
        began = time.process_time_ns()
        for request in sent:
            connection.data_received(request)
        cheapest = min(cheapest, (time.process_time_ns() - began) / batch / 1e9)
        await asyncio.sleep(0)
    return cheapest


def _connected(server: Server) -> Connection:
    """As uvicorn makes it for a client's connection."""
    config = server.config
    config.load()
    protocol = cast("type[Connection]", config.http_protocol_class)
    connection = protocol(config, ServerState(), {}, asyncio.get_running_loop())
    connection.connection_made(_Transport())
    return connection


class _Transport(asyncio.Transport):
    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not bytes(data[:13]).startswith(b"HTTP/1.1 200 "):
            raise AssertionError(bytes(data))

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 50000) if name == "peername" else default


def _request(case: Case, asked: Asked) -> bytes:
    headers = {"host": "127.0.0.1:8080", **asked.headers, "content-length": str(len(asked.body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {case.form.path} HTTP/1.1\r\n{lines}\r\n".encode() + asked.body


if __name__ == "__main__":
    screen = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # a line for each request is part of what is measured, and not of this
    asyncio.run(main(sys.argv[1:], subject.made(), screen))
