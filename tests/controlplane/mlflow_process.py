"""A real MLflow server for tests: started late, stopped, started with other settings; asked by its REST interface."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.controlplane.prometheus_process import free_port

Json = dict[str, Any]
READY_SECONDS = 240.0


class MlflowProcess:
    """One `mlflow server` on loopback, with a port of its own and its data kept from start to start."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def uri(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def uri_by_address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def knows_only_its_name(self) -> str:
        """An option by which requests to its address are refused, as those to a Service's name are by default."""
        return f"--allowed-hosts=localhost:{self.port}"

    def start(self, *options: str) -> None:
        with self._folder.joinpath("log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "mlflow", "server", "--workers=1", "--host=127.0.0.1"),
                    *(f"--port={self.port}", f"--backend-store-uri=sqlite:///{self._folder}/mlflow.db"),
                    *(f"--default-artifact-root={self._folder}/artifacts", *options),
                ],
                cwd=self._folder,
                env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def healthy(self) -> bool:
        assert self._process is not None, "not started"
        assert self._process.poll() is None, self._folder.joinpath("log").read_text()[-2000:]
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self) -> None:
        if self._process is None:
            return
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(20)
        self._process = None

    def wait(self) -> None:
        until = time.monotonic() + READY_SECONDS
        while not self.healthy():
            assert time.monotonic() < until, "MLflow is not ready"
            time.sleep(0.1)

    def register(self, model: str) -> str:
        """One more version of a model, made on first use. Returns its number."""
        self._post("registered-models/create", {"name": model}, may_fail=True)
        source = {"name": model, "source": f"s3://models/{model}"}
        made = self._post("model-versions/create", source)
        return str(made["model_version"]["version"])

    def alias(self, model: str, alias: str, version: str) -> None:
        self._post("registered-models/alias", {"name": model, "alias": alias, "version": version})

    def _post(self, path: str, body: Json, *, may_fail: bool = False) -> Json:
        request = urllib.request.Request(
            f"{self.uri}/api/2.0/mlflow/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                found: Json = json.loads(answer.read())
                return found
        except urllib.error.HTTPError:
            if not may_fail:
                raise
            return {}
