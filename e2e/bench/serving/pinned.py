"""The model server alone on core 0, for benchmarks that know of no other server."""

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from e2e.bench.serving.priority import before_all_else
from e2e.bench.serving.process import START_SECONDS, ServerError
from e2e.cluster.processes import die_with_parent

_OTHERS = ("MILLGATE_", "MLFLOW_")


@contextmanager
def pinned(port: int, variables: Mapping[str, str]) -> Iterator[int]:
    """The process id, once it is ready. `variables`: all of its settings but the port. Raises ServerError."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS)}
    process = subprocess.Popen(
        ["taskset", "-c", "0", str(Path(sys.executable).with_name("millgate-serving"))],
        env={**clean, **variables, "MILLGATE_PORT": str(port), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - what runs in threads here holds no lock at that moment
    )
    before_all_else(process.pid)
    try:
        _wait(port, process)
        yield process.pid
    finally:
        process.terminate()
        process.wait(60)


def ask(port: int, method: str, path: str, body: bytes | None = None) -> int:
    """The status of the answer, on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    began = time.monotonic()
    while process.poll() is None and time.monotonic() - began < START_SECONDS:
        try:
            if ask(port, "GET", "/readyz") == 200:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise ServerError("the server is not ready")
