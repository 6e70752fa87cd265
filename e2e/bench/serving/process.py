"""One server as a process on one core: started, waited for until it answers right, ended with all its children."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.bench.serving.cases import Asked, Case
from e2e.bench.serving.priority import before_all_else
from e2e.bench.serving.servers import ONE_THREAD, Server, Setting
from e2e.cluster.processes import die_with_parent

START_SECONDS = 120.0
END_SECONDS = 10.0
_POLL_SECONDS = 0.005


class ServerError(Exception):
    """The server did not start, or an answer of it is wrong."""


class Running:
    """A server that has given one right answer. `seconds` is from its start to its readiness and that answer."""

    def __init__(self, server: Server, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.server = server
        self.process = process
        self.port = port
        self.log = log
        self.seconds = 0.0

    @property
    def pid(self) -> int:
        return self.process.pid

    def url(self, case: Case) -> str:
        return f"http://127.0.0.1:{self.port}{case.form.path}"

    def check(self, case: Case, asked: list[Asked]) -> None:
        """Raises ServerError unless every body is answered with the labels that scikit-learn gives."""
        for each in asked:
            status, headers, body = self._asked(case, each)
            if status != 200:
                raise ServerError(f"{self.server.name}: {case.name} is answered with {status}: {body[:300]!r}")
            labels = case.form.labels(body, headers)
            if labels != each.labels:
                raise ServerError(f"{self.server.name}: {case.name}: the labels are {labels}, not {each.labels}")

    def _asked(self, case: Case, each: Asked) -> tuple[int, dict[str, str], bytes]:
        """A server that is robbed of its core says 503, and a client asks again."""
        for _ in range(20):
            answer = self._ask("POST", case.form.path, each.body, each.headers)
            if answer[0] != 503:
                break
            time.sleep(0.2)
        return answer

    def wait(self, case: Case, asked: list[Asked]) -> None:
        began = time.monotonic()
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self._ask("GET", self.server.ready_path)[0] == 200:
                    break
            if self.process.poll() is not None or time.monotonic() - began > START_SECONDS:
                raise ServerError(f"{self.server.name} is not ready: {self.log.read_text()[-2000:]}")
            time.sleep(_POLL_SECONDS)
        self.check(case, asked[:1])

    def _ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()


@contextmanager
def running(server: Server, setting: Setting, core: int) -> Iterator[Running]:
    """Ended with its whole session afterwards. Raises ServerError when it does not become ready."""
    start = server.start(setting)
    log = setting.folder / "log"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MILLGATE_", "MLFLOW_"))}
    first = server.cases[0]
    asked = first.asked(setting.subject)
    with log.open("wb") as output:
        began = time.monotonic()
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *start.words],
            env=clean | ONE_THREAD | start.variables,
            stdout=output,
            stderr=output,
            cwd=setting.folder,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - one call of the kernel, no lock
        )
    before_all_else(process.pid)
    try:
        made = Running(server, process, setting.port, log)
        made.wait(first, asked)
        made.seconds = time.monotonic() - began
        yield made
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """In order first; what is left of the session is killed. mlflow leaves a process behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def free_ports() -> int:
    """The first of three neighbours that nobody listens on: MLServer wants three."""
    for first in range(21000, 32000, 3):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + 3):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
    raise ServerError("no three free ports")
