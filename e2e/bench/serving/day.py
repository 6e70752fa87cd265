"""A day's worth of requests at one server with everything on: does it grow, in memory or in series?

`python -m e2e.bench.serving.day` sends ten million on loopback, the server on core 0 and the load on core 1. Every two
seconds it reads the server's memory and its /metrics, and sends labels for a prediction of its own; a collector in this
process takes the spans of one request in a hundred. What the server needs to reach its working size is over after
the first tenth: from there on memory may not grow.
"""

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from e2e.bench.serving import host, loadgen, ours, subject
from e2e.bench.serving.pinned import pinned
from e2e.bench.serving.process import ServerError, free_ports
from e2e.cluster.processes import die_with_parent
from e2e.cluster.progress import phase, say

PERIOD_SECONDS = 2.0
MAX_GROWTH_MIB = 5.0
MAX_SCRAPE_SECONDS = 0.020
WARM_SHARE = 0.1
# As on a bad day: one in sixteen is refused, of which some in each of the ways that a client can be wrong.
WRONG = [b'{"rows":[{"f0":"x"}]}', b'{"rows":[', b"{}", b'{"rows":[{"f0":1e400}]}']
EPILOG = "exit code: 0 measured and every aim holds, 1 an aim does not, 2 nothing could be measured"


@dataclass(frozen=True)
class Look:
    """One look at the server, so many `seconds` after the first request."""

    seconds: float
    rss_mib: float
    pss_mib: float
    series: int
    requests: float
    scrape_seconds: float
    dropped: float


@dataclass(frozen=True)
class Day:
    """What came of it. Growth is that of the largest look after the first tenth over the first look after it."""

    requests: int
    seconds: float
    statuses: dict[str, int]
    p50_ms: float
    p99_ms: float
    cpu_us_per_request: float
    first_rss_mib: float
    growth_mib: float
    series: list[int]
    scrape_median_ms: float
    scrape_p95_ms: float
    scrape_max_ms: float
    dropped: float
    joined_labels: int
    spans: int

    @property
    def goals(self) -> list[tuple[str, bool]]:
        failed = {code for code in self.statuses if code.startswith("5") and code != "503"}
        return [
            (f"no answer is a failure: {self.statuses}", not failed),
            (
                f"memory grew by {self.growth_mib:.1f} MiB, at most {MAX_GROWTH_MIB:g}",
                self.growth_mib <= MAX_GROWTH_MIB,
            ),
            (f"series after the first tenth: {self.series}, one number", len(self.series) == 1),
            (
                f"/metrics in {self.scrape_p95_ms:.1f} ms (95 %), below 20",
                self.scrape_p95_ms < MAX_SCRAPE_SECONDS * 1000,
            ),
        ]


class Collector:
    """Takes spans over HTTP, and only counts the posts."""

    def __init__(self) -> None:
        self.posts = 0
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.posts += 1
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"


class Client:
    """Asks the server now and then, as Prometheus and as one who knows the labels."""

    def __init__(self, port: int, asked: subject.Subject) -> None:
        self._port = port
        self._asked = asked
        self._number = 0
        self.joined = 0

    def ask(self, method: str, path: str, document: object = None, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        body = None if document is None else json.dumps(document).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, named | {"authorization": f"Bearer {ours.KEY}"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def label(self) -> None:
        self._number += 1
        place = self._number % len(self._asked.rows)
        row = dict(zip(subject.NAMES, self._asked.rows[place], strict=True))
        name = f"labelled-{self._number}"
        self.ask("POST", "/predict", {"rows": [row]}, x_request_id=name)
        status, body = self.ask("POST", "/feedback", {"id": name, "labels": [self._asked.labels[place]]})
        self.joined += json.loads(body)["joined"] if status == 200 else 0

    def look(self, pid: int, began: float) -> Look:
        started = time.perf_counter()
        _, body = self.ask("GET", "/metrics")
        seconds = time.perf_counter() - started
        memory = host.memory(pid)
        samples = [line.rpartition(" ") for line in body.decode().splitlines() if not line.startswith("#")]

        def total(name: str) -> float:
            return sum(float(value) for series, _, value in samples if series.partition("{")[0] == name)

        since = time.monotonic() - began
        requests, dropped = total("millgate_requests_total"), total("millgate_dropped_total")
        return Look(since, memory.rss_mib, memory.pss_mib, len(samples), requests, seconds, dropped)


@contextmanager
def served(model: Path, folder: Path, port: int, collector: Collector) -> Iterator[int]:
    """The server's process id, once it is ready."""
    variables = ours.variables(folder, port, model, everything=True)
    variables |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "MILLGATE_TRACE_SHARE": "0.01"}
    # Small files, so that they are turned over all the time.
    variables |= {"MILLGATE_PREDICTION_LOG_FILE_MEBIBYTES": "2"}
    with pinned(port, variables) as pid:
        yield pid


def bodies(asked: subject.Subject, file: Path) -> None:
    lines = []
    for number, row in enumerate(asked.rows):
        right = json.dumps({"rows": [dict(zip(subject.NAMES, row, strict=True))]}, separators=(",", ":")).encode()
        lines.append(WRONG[number // 16 % len(WRONG)] if number % 16 == 0 else right)
    file.write_bytes(b"\n".join(lines) + b"\n")


def measured(requests: int, connections: int, folder: Path) -> tuple[Day, list[Look]]:
    """Raises ServerError or LoadError."""
    asked, collector, port = subject.made(), Collector(), free_ports()
    lines, out = folder / "bodies", folder / "load.json"
    bodies(asked, lines)
    flags = ["-number", str(requests), "-connections", str(connections), "-body-lines", str(lines), "-out", str(out)]
    flags += ["-header", f"authorization: Bearer {ours.KEY}", "-interval", "30s", "-progress"]
    command = ["taskset", "-c", "1", str(loadgen.binary()), *flags, f"http://127.0.0.1:{port}/predict"]
    with served(asked.onnx_columns, folder, port, collector) as pid:
        client, looks, began, cpu = Client(port, asked), [], time.monotonic(), host.cpu_seconds(pid)
        with subprocess.Popen(command, preexec_fn=die_with_parent) as load:  # noqa: PLW1509 - no thread holds a lock yet
            while load.poll() is None:
                client.label()
                looks.append(client.look(pid, began))
                time.sleep(PERIOD_SECONDS)
        looks.append(client.look(pid, began))
        cpu = host.cpu_seconds(pid) - cpu
    if load.returncode == 2:
        raise loadgen.LoadError("the load generator could not measure")
    found = json.loads(out.read_bytes())
    return _day(found, looks, cpu, client.joined, collector.posts), looks


def _day(found: Any, looks: list[Look], cpu_seconds: float, joined: int, spans: int) -> Day:
    """`found` is the load generator's document."""
    latency, answered = found["latency"], found["answered"]
    warm = [look for look in looks if look.requests >= WARM_SHARE * looks[-1].requests] or looks[-1:]
    scrapes = [look.scrape_seconds * 1000 for look in warm]
    return Day(
        requests=answered,
        seconds=found["seconds"],
        statuses=found["status"],
        p50_ms=latency["p50Seconds"] * 1000,
        p99_ms=latency["p99Seconds"] * 1000,
        cpu_us_per_request=cpu_seconds / max(answered, 1) * 1e6,
        first_rss_mib=warm[0].rss_mib,
        growth_mib=max(look.rss_mib for look in warm) - warm[0].rss_mib,
        series=sorted({look.series for look in warm}),
        scrape_median_ms=median(scrapes),
        scrape_p95_ms=quantiles([*scrapes, scrapes[-1]], n=20)[-1],
        scrape_max_ms=max(scrapes),
        dropped=looks[-1].dropped,
        joined_labels=joined,
        spans=spans,
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.bench.serving.day", description=__doc__, epilog=EPILOG)
    parser.add_argument("--requests", type=int, default=10_000_000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the figures and every look there")
    arguments = parser.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory() as folder, phase(f"{arguments.requests} requests"):
            day, looks = measured(arguments.requests, arguments.connections, Path(folder))
    except (ServerError, loadgen.LoadError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    document = asdict(day) | {"looks": [asdict(look) for look in looks]}
    if arguments.json:
        arguments.json.write_text(json.dumps(document, indent=1))
    say("done")
    print(json.dumps(asdict(day), indent=1))
    for said, holds in day.goals:
        print(f"{'holds' if holds else 'DOES NOT HOLD'}: {said}")
    return 0 if all(holds for _, holds in day.goals) else 1


if __name__ == "__main__":
    raise SystemExit(main())
