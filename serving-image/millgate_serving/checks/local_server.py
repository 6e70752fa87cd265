"""A version's real server as a process of this pod, on loopback: what latency and memory are measured of."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from millgate_serving import loading
from millgate_serving.checks.subject import Subject
from millgate_serving.checks.verdict import CheckReason, cannot_tell
from millgate_serving.failure import Reason, ServingError
from millgate_serving.loading import Progress

_START_SECONDS = 600
_STOP_SECONDS = 20
# Of the pod's settings those that change what the model costs. Who may ask, what is logged and kept, and above all the
# cache of answers are left out: every request of a check is one that the model has to answer.
_KEPT = frozenset(
    f"MILLGATE_{name}"
    for name in ("ALLOW_CODE_EXECUTION", "CONVERSION_SECONDS", "MAX_FEATURES", "THREADS", "CONCURRENCY", "QUEUE")
)
_RUN = "import runpy, sys; sys.argv = ['millgate-serving', 'serve']; "
_RUN += "from millgate_serving.main import main; main()"


class LocalServer:
    """Ready when it is made. `port` on 127.0.0.1."""

    def __init__(self, subject: Subject, process: subprocess.Popen[bytes]) -> None:
        self.subject = subject
        self.process = process
        self.port = 0
        self._ready = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_ready(self) -> None:
        """Ends the check when the server ends before, or is not ready in time."""
        with self._changed:
            in_time = self._changed.wait_for(lambda: self._ready or not self._reader.is_alive(), _START_SECONDS)
        if self._ready:
            return
        if not in_time:
            raise cannot_tell(CheckReason.NOT_MEASURABLE, f"{self._role} was not ready after {_START_SECONDS} s")
        raise self._gone()

    def check_alive(self) -> None:
        """Ends the check when the server has ended: under its own load that is the version's fault."""
        if self.process.poll() is not None:
            raise self._gone()

    @property
    def _role(self) -> str:
        return f"the server of {'the candidate' if self.subject.is_candidate else 'the stable version'}"

    def _gone(self) -> Exception:
        code = self.process.wait(_STOP_SECONDS)
        if code == -signal.SIGKILL:
            message = "was killed, most likely because it needs more memory than the container's limit"
            return self.subject.at_fault(CheckReason.BOUND_EXCEEDED, message)
        if code < 0:
            return self.subject.at_fault(CheckReason.MODEL_RAISED, f"ended its server with signal {-code}")
        return cannot_tell(Reason.INTERNAL_ERROR, f"{self._role} ended with {code}")

    def _read(self) -> None:
        stream = self.process.stdout
        for line in stream or ():
            with suppress(msgspec.DecodeError):
                event: Any = msgspec.json.decode(line)
                with self._changed:
                    self.port = event.get("port", self.port) if event.get("event") == "listening" else self.port
                    self._ready = self._ready or event.get("event") == "ready"
                    self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()


@contextmanager
def running(subject: Subject, cpus: frozenset[int] | None = None) -> Iterator[LocalServer]:
    """A server that has loaded the version; stopped at the end. `cpus`: the cores it may use, else all of ours."""
    with tempfile.TemporaryDirectory(prefix="millgate-check-") as scratch, _on_cores(cpus):
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own words
            [sys.executable, "-c", _RUN], env=_environment(subject, Path(scratch)), stdout=subprocess.PIPE
        )
    server = LocalServer(subject, process)
    try:
        server.wait_ready()
        yield server
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _on_cores(cpus: frozenset[int] | None) -> Iterator[None]:
    """Threads inherit the cores of the one that starts them, so a process has to be started on the right ones."""
    before = os.sched_getaffinity(0)
    if cpus is not None:
        os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _environment(subject: Subject, scratch: Path) -> Mapping[str, str]:
    settings, progress = subject.settings, Progress()
    try:
        loading.on_disk(settings, progress)
    except ServingError as error:
        raise subject.ended(error) from error
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MILLGATE_", "OTEL_")) or name in _KEPT
    }
    own = {
        "MILLGATE_MODEL_NAME": settings.model_name,
        "MILLGATE_MODEL_VERSION": settings.model_version,
        "MILLGATE_MODEL_SOURCE": settings.source,
        "MILLGATE_MODEL_DIGEST": progress.manifest.digest if progress.manifest else "",
        "MILLGATE_MODEL_DIR": str(settings.model_dir),
        "MILLGATE_MODEL_PATH": str(settings.model_path or ""),
        "MILLGATE_PORT": "0",
        "MILLGATE_DRAIN_SECONDS": "0",
        "MILLGATE_MAX_CONNECTION_AGE_SECONDS": "86400",
        "MILLGATE_TERMINATION_LOG": str(scratch / "termination-log"),
        "MLFLOW_TRACKING_URI": settings.registry.tracking_uri,
    }
    return clean | own
