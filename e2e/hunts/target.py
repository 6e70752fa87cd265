"""A real server of a small model, as a process on loopback, for as long as a hunt takes."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from e2e.bench.serving.host import memory
from e2e.cluster.paths import REPO_ROOT

TESTS = REPO_ROOT / "tests" / "serving"
_START_SECONDS = 180
_SAVE = "import sys, serving_models as m, pathlib; m.save(getattr(m, sys.argv[1])(), pathlib.Path(sys.argv[2]))"


class HuntError(Exception):
    """The hunt could not take place, or has found something."""


@dataclass(frozen=True)
class Target:
    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answers(self) -> dict[str, int]:
        """Predictions so far by status."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        connection.close()
        counts = (line.rpartition(" ") for line in lines if line.startswith("millgate_requests_total{"))
        return {labels.split('code="')[1][:3]: int(n) for labels, _, n in counts if n != "0"}

    def memory_mib(self) -> float:
        """Proportional set size."""
        return memory(self.pid).pss_mib


@contextmanager
def serving(folder: Path, model: str) -> Iterator[Target]:
    """One of the models of tests/serving, ready. Raises HuntError when it does not become ready."""
    saved = folder / model
    subprocess.run([sys.executable, "-c", _SAVE, model, saved], cwd=TESTS, check=True, capture_output=True)
    variables = {
        "MILLGATE_MODEL_NAME": "fraud",
        "MILLGATE_MODEL_VERSION": "8",
        "MILLGATE_MODEL_PATH": str(saved),
        "MILLGATE_PORT": "0",
        "MILLGATE_DRAIN_SECONDS": "0",
        "MILLGATE_FEEDBACK_ROWS": "1000",
        "MILLGATE_TERMINATION_LOG": str(folder / "termination-log"),
    }
    command = Path(sys.executable).with_name("millgate-serving")
    process = subprocess.Popen([command], env=os.environ | variables, stdout=subprocess.PIPE, text=True)
    try:
        yield Target(_port(process), process.pid)
    finally:
        process.terminate()
        process.wait(_START_SECONDS)


def _port(process: subprocess.Popen[str]) -> int:
    """Once the model is ready; from then on its log is read and thrown away."""
    port = 0
    for line in process.stdout or ():
        event = json.loads(line)
        port = event.get("port", port) if event["event"] == "listening" else port
        if event["event"] == "ready":
            threading.Thread(target=lambda: all(True for _ in process.stdout or ()), daemon=True).start()
            return port
    raise HuntError("the server ended before it was ready")
