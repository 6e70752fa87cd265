"""Millgate's own server in the comparison: as delivered, and with everything on that a careful team would turn on."""

import http.server
import threading
from dataclasses import replace
from functools import cache
from pathlib import Path

from e2e.bench.serving.cases import Form

KEY = "0f3c9d1be2a84c0f9a7761d45e8b2c60"


def variables(folder: Path, port: int, model: Path, *, everything: bool) -> dict[str, str]:
    """What the operator sets on a pod; `folder` is the server's own."""
    plain = {
        "MILLGATE_MODEL_NAME": "m",
        "MILLGATE_MODEL_VERSION": "1",
        "MILLGATE_REVISION": "r0000001",
        "MILLGATE_MODEL_PATH": str(model),
        "MILLGATE_MODEL_DIR": str(folder / "models"),
        "MILLGATE_TERMINATION_LOG": str(folder / "termination-log"),
        "MILLGATE_PORT": str(port),
        "MILLGATE_DRAIN_SECONDS": "0",
    }
    return plain | (_everything(folder) if everything else {})


def _everything(folder: Path) -> dict[str, str]:
    """Beside what is always on: checks of inputs and of answers, deadlines, metrics, distributions.

    A line of the log for every request is more than a team would keep. The cache is off: it would answer the same
    bodies by itself.
    """
    keys = folder / "keys"
    keys.write_text(f"bench {KEY}\nsomebody-else sha256:{'0' * 64}\n")
    return {
        "MILLGATE_API_KEYS_FILE": str(keys),
        "MILLGATE_RATE_PER_SECOND": "1000000",
        "MILLGATE_ACCESS_LOG": "all",
        "MILLGATE_ACCESS_LOG_LINES_PER_SECOND": "0",
        "MILLGATE_MASK_FIELDS": "f0,f1",
        "MILLGATE_PREDICTION_LOG": str(folder / "predictions"),
        "MILLGATE_PREDICTION_LOG_SHARE": "0.01",
        "MILLGATE_FEEDBACK_ROWS": "10000",
        "MILLGATE_TRACE_SHARE": "0.01",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{_collector()}",
    }


def guarded(form: Form) -> Form:
    """The same with the key that the server asks for."""

    def body(rows: list[list[float]]) -> tuple[bytes, dict[str, str]]:
        content, headers = form.body(rows)
        return content, headers | {"authorization": f"Bearer {KEY}"}

    return replace(form, body=body)


class _Collector(http.server.BaseHTTPRequestHandler):
    """Takes traces and forgets them."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@cache
def _collector() -> int:
    """The port on which this process stands in for an OpenTelemetry collector."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port: int = server.server_address[1]
    return port
