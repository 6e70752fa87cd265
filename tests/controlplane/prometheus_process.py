"""A real Prometheus for tests: started, frozen, stopped, emptied; fed by scrapes of a page or by writes of the past."""

import math
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from e2e.cluster.controlplane import ControlPlane

READY_SECONDS = 30.0
SCRAPE_SECONDS = 0.5
# Prometheus takes samples from the past, but not from any past: yesterday's noon is old enough for a story.
NOON = int(time.time()) // 86_400 * 86_400 - 43_200


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Page:
    """A metrics page that a test writes. It carries the labels `namespace` and `pod` itself, as discovery would."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._series: dict[str, float] = {}
        page = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = page.text().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Scrapes are no news."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def set(self, name: str, value: float, **labels: str) -> None:
        with self._lock:
            self._series[_selector(name, labels)] = value

    def drop(self, **labels: str) -> None:
        """Every series with these labels is gone from the next scrape on."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        with self._lock:
            self._series = {k: v for k, v in self._series.items() if not all(label in k for label in wanted)}

    def text(self) -> str:
        with self._lock:
            return "".join(f"{series} {value!r}\n" for series, value in self._series.items())

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _selector(name: str, labels: Mapping[str, str]) -> str:
    matchers = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{name}{{{matchers}}}"


class PrometheusProcess:
    """One Prometheus on loopback. It scrapes `page`, and takes remote writes of samples from any past time."""

    def __init__(self, folder: Path, page: Page | str, *, flags: Sequence[str] = ()) -> None:
        """`page`: what it scrapes, or its address."""
        address = page if isinstance(page, str) else page.address
        self._folder = folder
        self._flags = flags
        self._binary = ControlPlane.prometheus()
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        folder.joinpath("prometheus.yml").write_text(
            f"""
global: {{scrape_interval: {int(SCRAPE_SECONDS * 1000)}ms, scrape_timeout: {int(SCRAPE_SECONDS * 1000)}ms}}
storage: {{tsdb: {{out_of_order_time_window: 7d}}}}
scrape_configs:
- job_name: page
  honor_labels: true
  static_configs: [{{targets: ["{address}"]}}]
"""
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        with self._folder.joinpath("log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._binary,
                    f"--config.file={self._folder}/prometheus.yml",
                    f"--storage.tsdb.path={self._folder}/data",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    "--web.enable-remote-write-receiver",
                    *self._flags,
                ],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + READY_SECONDS
        while not self._is_ready():
            assert self._process.poll() is None, self._folder.joinpath("log").read_text()[-2000:]
            assert time.monotonic() < deadline, "Prometheus is not ready"
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    @contextmanager
    def stopped(self) -> Iterator[None]:
        self.stop()
        try:
            yield
        finally:
            self.start()

    def empty(self) -> None:
        """Stopped, its data gone, and started again."""
        self.stop()
        shutil.rmtree(self._folder / "data")
        self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It accepts connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        tasks = Path(f"/proc/{self._process.pid}/task")
        # A thread that waits for a processor may still answer: it stops when it gets one.
        while any(stat.read_text().rpartition(")")[2].split()[0] != "T" for stat in tasks.glob("*/stat")):
            time.sleep(0.01)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def write(self, series: Iterable[tuple[Mapping[str, str], Iterable[tuple[float, float]]]]) -> None:
        """Store samples at (Unix seconds, value), in past time as well (remote write 1.0)."""
        body = b"".join(_field(1, _time_series(labels, samples)) for labels, samples in series)
        request = urllib.request.Request(
            f"{self.url}/api/v1/write",
            data=_snappy(body),
            headers={
                "Content-Type": "application/x-protobuf",
                "Content-Encoding": "snappy",
                "X-Prometheus-Remote-Write-Version": "0.1.0",
            },
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 204


def _time_series(labels: Mapping[str, str], samples: Iterable[tuple[float, float]]) -> bytes:
    written = b"".join(
        _field(1, _field(1, name.encode()) + _field(2, value.encode())) for name, value in sorted(labels.items())
    )
    for moment, value in samples:
        written += _field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + _varint(math.floor(moment * 1000)))
    return written


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field of a protocol buffer."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def _snappy(body: bytes) -> bytes:
    """Snappy's block format with nothing compressed: literals only."""
    parts = [_varint(len(body))]
    for start in range(0, len(body), 65536):
        literal = body[start : start + 65536]
        parts += [bytes([61 << 2]), struct.pack("<H", len(literal) - 1), literal]
    return b"".join(parts)
