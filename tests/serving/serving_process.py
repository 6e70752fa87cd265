"""The real server, as a process on loopback: started, asked and stopped the way a kubelet and a client do."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

COMMAND = Path(sys.executable).with_name("millgate-serving")
START_SECONDS = 180  # scikit-learn needs six seconds of one core, which a busy machine may not give for long


def environment(folder: Path, **variables: object) -> dict[str, str]:
    """What an operator would set; nothing of the developer's own MLflow settings gets through."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MILLGATE_", "MLFLOW_"))}
    defaults = {
        "MILLGATE_MODEL_NAME": "fraud",
        "MILLGATE_MODEL_VERSION": "8",
        "MILLGATE_REVISION": "r0000001",
        "MILLGATE_MODEL_DIR": folder / "models",
        "MILLGATE_TERMINATION_LOG": folder / "termination-log",
        "MILLGATE_PORT": 0,
        "MILLGATE_DRAIN_SECONDS": 0,
        "MILLGATE_REGISTRY_RETRY_SECONDS": 1,
        "MILLGATE_CONVERSION_SECONDS": 0,  # seconds of every start; test_serving_conversion.py asks for it
    }
    return clean | {name: str(value) for name, value in (defaults | variables).items()}


def preflight(folder: Path, **variables: object) -> tuple[int, dict]:
    """The exit code, and the result as the operator reads it."""
    done = subprocess.run(
        [COMMAND, "preflight"], env=environment(folder, **variables), timeout=START_SECONDS, check=False
    )
    content = (folder / "termination-log").read_bytes()
    assert len(content) <= 3500
    return done.returncode, json.loads(content)


class Server:
    """One `millgate-serving serve`; its log lines are parsed as they come."""

    def __init__(self, folder: Path, command: Sequence[str | Path] = (COMMAND,), **variables: object) -> None:
        self.folder = folder
        self.events: list[dict] = []
        self._changed = threading.Condition()
        self._ended = False
        self._reading = threading.Event()
        self._reading.set()
        self.process = subprocess.Popen(command, env=environment(folder, **variables), stdout=subprocess.PIPE)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self._reading.wait()
            with self._changed:
                self.events.append(json.loads(line))  # every line is JSON, whatever a library prints
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def pause_reading(self) -> None:
        """As a log collector that hangs: the pipe of standard output fills up."""
        self._reading.clear()

    def resume_reading(self) -> None:
        self._reading.set()

    def event(self, name: str) -> dict:
        """Wait for a log line."""

        def found() -> list[dict]:
            return [event for event in self.events if event["event"] == name]

        with self._changed:
            self._changed.wait_for(lambda: found() or self._ended, START_SECONDS)
        assert found(), f"no event '{name}' in {self.events}"
        return found()[0]

    @property
    def port(self) -> int:
        return self.event("listening")["port"]

    def wait_ready(self) -> "Server":
        self.event("ready")
        return self

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> "Answer":
        connection = self.connect()
        try:
            return ask(connection, method, path, body, **headers)
        finally:
            connection.close()

    def predict(self, document: object) -> "Answer":
        return self.request("POST", "/predict", json.dumps(document).encode())

    def samples(self) -> dict[tuple[str, str], float]:
        """Metrics by name and the one label that matters (`code` or `le`)."""
        text = self.request("GET", "/metrics").body.decode()
        return {
            (sample.name, sample.labels.get("code", sample.labels.get("le", ""))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def exit_code(self, seconds: float = START_SECONDS) -> int:
        return self.process.wait(seconds)

    def termination_log(self) -> dict:
        return json.loads((self.folder / "termination-log").read_bytes())


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def json(self) -> dict:
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """Every refusal and failure has this one form."""
        assert list(self.json) == ["error"]
        return self.json["error"]

    @property
    def closes(self) -> bool:
        return self.headers.get("connection") == "close"


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None, **headers: str
) -> Answer:
    defaults = {"content-type": "application/json"} if body is not None else {}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, defaults | named)
    return Answer(connection.getresponse())


@contextmanager
def serving(folder: Path, command: Sequence[str | Path] = (COMMAND,), **variables: object):
    """A server that is ended by its pid if the test has not ended it."""
    server = Server(folder, command, **variables)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
        server.process.stdout.close()


def eventually(condition, seconds: float = 20):
    """Poll until `condition` gives something true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError("not within the deadline")
