"""The operator as a real process on a control plane: started with a configuration file, waited for, killed, asked."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from e2e.cluster.controlplane import ControlPlane
from tests.controlplane.plane import REPOSITORY

Json = dict[str, Any]


class OperatorProcess:
    """One `millgate-operator`. Its configuration has every field that a test gives, and a port of its own choosing.

    `pod` names it in the lease: two processes that are to be rivals need different names, one that is to be the
    restarted container of another one needs the same.
    """

    def __init__(
        self,
        plane: ControlPlane,
        folder: Path,
        *,
        pod: str = "operator-a",
        env: dict[str, str] | None = None,
        **config: Any,
    ) -> None:
        self._folder = folder
        self._env = {
            **{key: value for key, value in os.environ.items() if not key.startswith("MILLGATE_")},
            "KUBECONFIG": str(plane.kubeconfig),
            "POD_NAME": pod,
            "POD_NAMESPACE": "default",
            "PYTHONPATH": str(REPOSITORY / "operator"),
            **(env or {}),
        }
        self._config = {"listenAddress": "127.0.0.1", "listenPort": 0, "allowedImagePrefixes": ["*"], **config}
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0  # the length of its log, in bytes, when it was started last
        self.log_path = folder / f"{pod}.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if error is not None:
            sys.stderr.write(f"--- the last lines of {self.log_path}\n")
            sys.stderr.writelines(f"{json.dumps(line)}\n" for line in self.logs()[-40:])

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    def start(self, **config: Any) -> Self:
        """Start it (again), with fields of the configuration changed."""
        self._config |= config
        path = self._folder / f"{self.log_path.stem}.yaml"
        path.write_text(yaml.safe_dump(self._config))
        with self.log_path.open("ab") as log:
            self._started_at = log.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "millgate.controller", "--config", str(path)],
                env=self._env,
                stdout=log,
                stderr=log,
            )
        return self

    def ready(self, seconds: float = 60.0) -> Self:
        """Wait until it answers ready: as a leader that watches, or as a hot standby."""
        until = time.monotonic() + seconds
        while self.get("/readyz")[0] != 200:
            assert self.running(), f"it ended: {self.logs()[-5:]}"
            assert time.monotonic() < until, f"not ready within {seconds} s: {self.get('/readyz')}"
            time.sleep(0.05)
        return self

    def leading(self, seconds: float = 60.0) -> Self:
        """Wait until it holds the lease and watches."""
        until = time.monotonic() + seconds
        while not (self.metric("millgate_leader") == 1.0 and self.get("/readyz")[0] == 200):
            assert self.running(), f"it ended: {self.logs()[-5:]}"
            assert time.monotonic() < until, f"it does not lead within {seconds} s"
            time.sleep(0.05)
        return self

    def terminate(self, seconds: float = 10.0) -> int:
        """SIGTERM, as the kubelet does; the exit code."""
        return self.end(signal.SIGTERM, seconds)

    def kill(self) -> int:
        """SIGKILL: nothing is cleaned up."""
        return self.end(signal.SIGKILL, 10.0)

    def end(self, number: signal.Signals, seconds: float) -> int:
        assert self._process is not None, "not started"
        self._process.send_signal(number)
        return self._process.wait(seconds)

    def wait(self, seconds: float) -> int:
        """Wait until it ends by itself; the exit code."""
        assert self._process is not None, "not started"
        return self._process.wait(seconds)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "not started"
        self._process.send_signal(number)

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def logs(self, *, since: int = 0) -> list[Json]:
        """What it logged, over all its starts; a line that is not JSON is an error of its own."""
        if not self.log_path.exists():
            return []
        text = self.log_path.read_bytes()[since:].decode()
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def port(self) -> int | None:
        """The port that the process that runs now has bound."""
        started = [line["port"] for line in self.logs(since=self._started_at) if line["message"] == "operator started"]
        return started[0] if started else None

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; (0, reason) when it does not answer."""
        if self.port() is None:
            return 0, "it does not listen yet"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port()}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except (OSError, ValueError) as error:
            return 0, str(error)

    def metric(self, name: str, /, **labels: str) -> float:
        """The sum of the series of this name that have these labels."""
        found = 0.0
        status, page = self.get("/metrics")
        for line in page.splitlines() if status == 200 else ():
            series, _, value = line.rpartition(" ")
            wanted = [f'{key}="{text}"' for key, text in labels.items()]
            if series.partition("{")[0] == name and all(label in series for label in wanted):
                found += float(value)
        return found

    def rss_megabytes(self) -> float:
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0]) / 1024

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
