"""Pods that only count: the metrics pages of many rollouts' pods, and a real Prometheus that scrapes them."""

import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path

from tests.controlplane.prometheus_process import PrometheusProcess

CANDIDATE, STABLE = "r0000000new", "r0000000old"
LATENCIES = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "+Inf")
EDGES = (*(str(edge / 10) for edge in range(1, 20)), "+Inf")
PAGES = 8
Line = tuple[str, float]
"""A series as it stands on a page, and how much it grows a second."""


def namespace(number: int) -> str:
    return f"fleet-{number}"


def lines_of(number: int, stable_pods: int) -> Iterator[Line]:
    """The series of one rollout: `stable_pods` of stable and one of the candidate, ten requests a second each."""
    pods = [(STABLE, f"m-{STABLE}-5d8f-s{pod}") for pod in range(stable_pods)] + [(CANDIDATE, f"m-{CANDIDATE}-6c9b-c0")]
    for revision, pod in pods:
        own = f'namespace="{namespace(number)}",pod="{pod}",revision="{revision}",model="m",version="2"'
        yield f'millgate_requests_total{{{own},code="200"}}', 10.0
        yield f"millgate_request_errors_total{{{own}}}", 0.1
        yield f"millgate_request_duration_seconds_count{{{own}}}", 10.0
        for index, le in enumerate(LATENCIES, 1):
            yield f'millgate_request_duration_seconds_bucket{{{own},le="{le}"}}', 10.0 * index / len(LATENCIES)
        for index, le in enumerate(EDGES, 1):
            yield f'millgate_prediction_bucket{{{own},output="score",le="{le}"}}', 10.0 * index / len(EDGES)
        for code, rate in (("200", 9.9), ("500", 0.1)):
            yield f'http_requests_total{{{own},code="{code}"}}', rate
        yield f"tokens_total{{{own}}}", 1000.0


def _serve(pages: list[list[Line]], cores: set[int], told: Connection) -> None:
    os.sched_setaffinity(0, cores)
    began = time.monotonic()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            number = int(self.path.rpartition("/")[2])
            seconds = 3600 + time.monotonic() - began
            body = "".join(f"{series} {int(rate * seconds)}\n" for series, rate in pages[number]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Scrapes are no news."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.send(server.server_port)
    server.serve_forever()


class Fleet(PrometheusProcess):
    """The Prometheus of a fleet: it scrapes all pages of `address` every `scrape_seconds`."""

    def __init__(self, folder: Path, address: str, scrape_seconds: int, cores: set[int]) -> None:
        super().__init__(folder, address)
        self._cores = cores
        targets = "".join(
            f"""
- job_name: page-{number}
  honor_labels: true
  metrics_path: /{number}
  static_configs: [{{targets: ["{address}"]}}]"""
            for number in range(PAGES)
        )
        folder.joinpath("prometheus.yml").write_text(
            f"global: {{scrape_interval: {scrape_seconds}s, scrape_timeout: {scrape_seconds}s}}\n"
            f"scrape_configs:{targets}\n"
        )

    def start(self) -> None:
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self._cores)  # what is started inherits it
        try:
            super().start()
        finally:
            os.sched_setaffinity(0, before)


@contextmanager
def fleet(folder: Path, rollouts: int, *, stable_pods: int, scrape_seconds: int, cores: set[int]) -> Iterator[Fleet]:
    """A Prometheus that scrapes the pods of so many rollouts; it and the pods run on `cores` alone."""
    pages: list[list[Line]] = [[] for _ in range(PAGES)]
    for number in range(rollouts):
        pages[number % PAGES] += lines_of(number, stable_pods)
    here, there = multiprocessing.Pipe()
    exporter = multiprocessing.Process(target=_serve, args=(pages, cores, there), daemon=True)
    exporter.start()
    prometheus = Fleet(folder, f"127.0.0.1:{here.recv()}", scrape_seconds, cores)
    try:
        prometheus.start()
        yield prometheus
    finally:
        prometheus.stop()
        exporter.terminate()
        exporter.join()
