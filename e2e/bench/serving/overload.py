"""Five times as many requests as a server can answer: what it still answers, how the rest is told, and what stays.

`python -m e2e.bench.serving.overload` measures the capacity in a closed loop, then sends half of it, five times of it
and half of it again in an open loop, with the server on core 0 and the load on core 1: with a model of 5 ms, which runs
in a thread with a queue before it, and with models of 0.8 ms and of microseconds, which run on the event loop. Then
one call that never ends trips its deadline.

The capacity of the first two is what 16 clients get, so that nobody is refused. The last one refuses nobody, and a
request on one of hundreds of connections costs more than on one of few, overload or not: its capacity is what as many
clients get as there are connections then.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from e2e.bench.serving import host, loadgen, overload_model, subject
from e2e.bench.serving.pinned import ask, pinned
from e2e.bench.serving.process import ServerError, free_ports
from e2e.cluster.progress import phase, say

TIMES = 5
MIN_GOODPUT = 0.8
MAX_REFUSAL_SECONDS = 0.05
MAX_GROWTH_MIB = 20.0
DEADLINE_SECONDS = 1.0
RECOVERY_SECONDS = 1.0
_LOOK_SECONDS = 0.25
_WARM_UP_SECONDS = 2
EPILOG = "exit code: 0 measured and every aim holds, 1 an aim does not, 2 nothing could be measured"


@dataclass(frozen=True)
class Overload:
    """One model, in requests a second. `after` is the last stage but its first second, in which it may recover."""

    model: str
    capacity: float
    offered: float
    sent: float
    goodput: float
    statuses: dict[str, int]
    unanswered: dict[str, int]
    ok_p99_ms: float
    refusal_p50_ms: float
    refusal_p99_ms: float
    after_statuses: dict[str, int]
    after_p99_ms: float
    generator_cpu_share: float
    capacity_cpu_share: float = 0.0
    overload_cpu_share: float = 0.0
    idle_mib: float = 0.0
    peak_mib: float = 0.0

    @property
    def goals(self) -> list[tuple[str, bool]]:
        share = self.goodput / self.capacity
        same = share * self.capacity_cpu_share / max(self.overload_cpu_share, 0.01)
        growth = self.peak_mib - self.idle_mib
        answered = set(self.statuses) <= {"200", "503"} and not self.unanswered
        return [
            (f"{self.model}: goodput {share:.0%} of capacity, at least {MIN_GOODPUT:.0%}", share >= MIN_GOODPUT),
            (f"for the same processor time {same:.0%}", same >= MIN_GOODPUT),
            (f"503 in {self.refusal_p99_ms:.1f} ms (99 %), below 50", self.refusal_p99_ms < MAX_REFUSAL_SECONDS * 1000),
            (f"memory grew by {growth:.1f} MiB, at most {MAX_GROWTH_MIB:g}", growth <= MAX_GROWTH_MIB),
            (f"nothing but 200 and 503: {self.statuses}, {self.unanswered}", answered),
            (f"a second later all is well: {self.after_statuses}", set(self.after_statuses) == {"200"}),
        ]


@dataclass(frozen=True)
class Stuck:
    """A call that never ends."""

    status: int
    seconds: float
    next_status: int

    @property
    def goals(self) -> list[tuple[str, bool]]:
        in_time = DEADLINE_SECONDS <= self.seconds < DEADLINE_SECONDS + 0.5
        return [
            (f"{self.status} after {self.seconds:.2f} s for a call that never ends", self.status == 504 and in_time),
            (f"the next request gets {self.next_status}", self.next_status == 200),
        ]


class Looks:
    """What a process costs while it is looked at: memory, and processor time by when."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self._began = time.monotonic()
        self.idle_mib = self.peak_mib = host.memory(pid).pss_mib
        self._cpu = [(0.0, host.cpu_seconds(pid))]
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            self.peak_mib = max(self.peak_mib, host.memory(self._pid).pss_mib)
            self._cpu.append((time.monotonic() - self._began, host.cpu_seconds(self._pid)))

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def cpu_share(self, begin: float, end: float) -> float:
        """Of a core, between these seconds."""
        inside = [(at, cpu) for at, cpu in self._cpu if begin <= at <= end] or self._cpu
        (first, before), (last, after) = inside[0], inside[-1]
        return (after - before) / max(last - first, _LOOK_SECONDS)


@contextmanager
def served(model: Path, folder: Path, **variables: str) -> Iterator[tuple[int, int]]:
    """The server's process id and port, once it is ready."""
    folder.mkdir()
    port = free_ports()
    named = {
        "MILLGATE_MODEL_NAME": "m",
        "MILLGATE_MODEL_PATH": str(model),
        "MILLGATE_TERMINATION_LOG": str(folder / "termination-log"),
        "MILLGATE_DRAIN_SECONDS": "0",
        "MILLGATE_ACCESS_LOG": "none",
    }
    with pinned(port, named | variables) as pid:
        yield pid, port


@dataclass(frozen=True)
class Asked:
    """A model, one request to it, how many clients ask for its capacity and on how many connections overload comes."""

    name: str
    model: Path
    body: bytes
    clients: int
    connections: int


def measured(asked: Asked, seconds: float, folder: Path) -> Overload:
    """Raises ServerError or LoadError."""
    folder.mkdir()
    body = folder / "body.json"
    body.write_bytes(asked.body)
    with served(asked.model, folder / "server") as (pid, port):
        url = f"http://127.0.0.1:{port}/predict"
        flags = ["-body", str(body), "-poll"]
        closed = ["-connections", str(asked.clients), "-warmup", f"{_WARM_UP_SECONDS}s", "-duration", f"{seconds}s"]
        cpu = host.cpu_seconds(pid)
        alone = loadgen.run(url, *flags, *closed, core=1)
        cpu = host.cpu_seconds(pid) - cpu
        capacity = alone["status"].get("200", 0) / alone["seconds"]
        looks = Looks(pid)
        half, many = capacity / 2, capacity * TIMES
        steps = f"{seconds}s@{half:.0f},{seconds}s@{many:.0f},{seconds}s@{half:.0f}"
        opened = ["-connections", str(asked.connections), "-max-late", "50ms", "-steps", steps, "-series"]
        found = loadgen.run(url, *flags, *opened, core=1)
        looks.end()
    return replace(
        _overload(asked.name, capacity, seconds, found),
        capacity_cpu_share=cpu / (alone["seconds"] + _WARM_UP_SECONDS),
        overload_cpu_share=looks.cpu_share(seconds, 2 * seconds),
        idle_mib=looks.idle_mib,
        peak_mib=looks.peak_mib,
    )


def _overload(name: str, capacity: float, seconds: float, found: Any) -> Overload:
    """`found` is the load generator's document."""
    during = [each for each in found["series"] if seconds < each["endSeconds"] <= 2 * seconds]
    after = [each for each in found["series"] if each["endSeconds"] > 2 * seconds + RECOVERY_SECONDS]
    statuses, took = _statuses(during), max(len(during), 1)
    by_status = found["serviceByStatus"]
    nothing = {"p50Seconds": 0.0, "p99Seconds": 0.0}
    good, refused = by_status.get("200", nothing), by_status.get("503", nothing)
    return Overload(
        model=name,
        capacity=capacity,
        offered=capacity * TIMES,
        sent=sum(statuses.values()) / took,
        goodput=statuses.get("200", 0) / took,
        statuses=statuses,
        unanswered=found["errors"],
        ok_p99_ms=good["p99Seconds"] * 1000,
        refusal_p50_ms=refused["p50Seconds"] * 1000,
        refusal_p99_ms=refused["p99Seconds"] * 1000,
        after_statuses=_statuses(after),
        after_p99_ms=max((each["p99Seconds"] for each in after), default=0.0) * 1000,
        generator_cpu_share=found["generatorCpuShare"],
    )


def _statuses(intervals: list[Any]) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in intervals:
        for status, count in each["status"].items():
            total[status] = total.get(status, 0) + count
    return total


def stuck(model: Path, folder: Path) -> Stuck:
    with served(model, folder, MILLGATE_DEADLINE_SECONDS=str(DEADLINE_SECONDS)) as (_, port):
        began = time.monotonic()
        status = ask(port, "POST", "/predict", overload_model.body(overload_model.FOR_EVER))
        seconds = time.monotonic() - began
        return Stuck(status, seconds, ask(port, "POST", "/predict", overload_model.body(1)))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.bench.serving.overload", description=__doc__, epilog=EPILOG)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each stage")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the figures there")
    arguments = parser.parse_args(argv)
    seconds = arguments.seconds
    try:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            slow, fast = overload_model.save(folder / "rounds"), subject.made()
            one = json.dumps({"rows": [dict(zip(subject.NAMES, fast.rows[0], strict=True))]}).encode()
            many, few = (overload_model.body(rounds) for rounds in (overload_model.ROUNDS, overload_model.FEW_ROUNDS))
            found: list[Overload | Stuck] = []
            for asked in (
                Asked("5 ms, in a thread", slow, many, 16, 400),
                Asked("0.8 ms, on the event loop", slow, few, 16, 800),
                Asked("microseconds, on the event loop", fast.onnx_columns, one, 800, 800),
            ):
                with phase(asked.name):
                    found.append(measured(asked, seconds, folder / f"{len(found)}"))
            with phase("a call that never ends"):
                found.append(stuck(slow, folder / "stuck"))
    except (ServerError, loadgen.LoadError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    document = [asdict(each) for each in found]
    if arguments.json:
        arguments.json.write_text(json.dumps(document, indent=1))
    say("done")
    print(json.dumps(document, indent=1))
    held = True
    for each in found:
        for said, holds in each.goals:
            print(f"{'holds' if holds else 'DOES NOT HOLD'}: {said}")
            held &= holds
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
