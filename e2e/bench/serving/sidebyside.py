"""Measures servers one after the other on one core, in several rounds, and keeps each figure as soon as it is known.

In each round every server is a new process: two processes of the same program differ by a tenth, as their memory lies
elsewhere, and what the machine gives changes from one quarter of an hour to the next, for whoever is measured then. A
run in which others took more of the machine than allowed is discarded and repeated.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from e2e.bench.serving import environments, loadgen
from e2e.bench.serving.cases import Case
from e2e.bench.serving.host import Watch, memory
from e2e.bench.serving.process import Running, ServerError, free_ports, running
from e2e.bench.serving.servers import Server, Setting
from e2e.bench.serving.subject import Subject
from e2e.cluster.progress import phase, say

SERVER_CORE, LOAD_CORE = 0, 1
CALM_SHARE = 0.06
"""A server that is robbed of more may well refuse requests: nobody can hold that against it."""
_CALM_SECONDS = 5.0
"""Before a discarded run is repeated."""


@dataclass(frozen=True)
class Plan:
    """How much is measured, and how. `max_foreign` is a share of the machine's processor time."""

    seconds: float = 8.0
    warmup_seconds: float = 2.0
    rounds: int = 3
    connections: int = 16
    probe_seconds: float = 2.5
    """Of each of two runs that tell whether a server is faster beside a generator that sleeps or one that polls.

    Waking a sleeping one takes a fast server's time, as no client elsewhere would; one that never sleeps takes a little
    of what the two cores share, which slow servers feel.
    """
    max_foreign: float = CALM_SHARE
    attempts: int = 6

    @property
    def identity(self) -> dict[str, Any]:
        """What figures must have in common to stand in one table; how patient one was is not of it."""
        patience = {"max_foreign", "attempts"}
        return {name: value for name, value in asdict(self).items() if name not in patience}


class Run(msgspec.Struct, frozen=True, rename="camel"):
    """One run of the load generator against one server. Latencies in milliseconds."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_microseconds: float
    foreign: float
    generator_share: float


class Cell(msgspec.Struct, rename="camel"):
    """A case of a server, a run a round: closed loop at its maximum, and open loop at half of that."""

    runs: list[Run] = []
    halves: list[Run] = []
    discarded: int = 0
    polling: bool | None = None


class Found(msgspec.Struct, rename="camel"):
    """What is known of a server so far. Memory in MiB, after the load."""

    plan: dict[str, Any]
    packages: list[str]
    start_seconds: list[float] = []
    discarded_starts: int = 0
    rss_mib: float = 0.0
    pss_mib: float = 0.0
    processes: int = 0
    cells: dict[str, Cell] = {}


class TooLoudError(Exception):
    """Others took too much of the machine in every attempt."""


class Bench:
    """Files of results lie in `folder`, one a server; a finished figure is not measured again."""

    def __init__(self, plan: Plan, subject: Subject, folder: Path) -> None:
        self._plan = plan
        self._subject = subject
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def file(self, server: Server) -> Path:
        return self._folder / f"{server.name}.json"

    def measure(self, server: Server, number: int) -> None:
        """What is not known yet of that round, the first being 0. Raises TooLoudError, or ServerError."""
        programs = environments.installed(server) if server.requirements else Path()
        found = self._known(server)
        todo = [case for case in server.cases if not _is_done(found.cells.get(case.name), number)]
        if not todo:
            return
        with tempfile.TemporaryDirectory(prefix="millgate-bench-") as name:
            setting = Setting(programs, Path(name), free_ports(), self._subject)
            with self._started(server, setting, found, number) as one:
                for case in todo:
                    self._case(one, case, found, number)

    def _known(self, server: Server) -> Found:
        plan = self._plan.identity
        try:
            found = msgspec.json.decode(self.file(server).read_bytes(), type=Found)
            if found.plan == plan:
                return found
            say(f"{server.name}: what is known was measured by another plan, so it is measured again")
        except FileNotFoundError:
            pass
        return Found(plan, environments.packages(server))

    def keep(self, server: Server, found: Found) -> None:
        part = self.file(server).with_suffix(".part")
        part.write_bytes(msgspec.json.format(msgspec.json.encode(found)))
        part.rename(self.file(server))

    @contextmanager
    def _started(self, server: Server, setting: Setting, found: Found, number: int) -> Iterator[Running]:
        for _ in range(self._plan.attempts):
            watch = Watch()
            with running(server, setting, SERVER_CORE) as one:
                _, foreign = watch.read()
                if foreign <= self._plan.max_foreign:
                    if len(found.start_seconds) <= number:
                        found.start_seconds.append(round(one.seconds, 3))
                    self.keep(server, found)
                    say(f"{server.name}: ready after {one.seconds:.2f} s")
                    yield one
                    return
            found.discarded_starts += 1
            say(f"{server.name}: start discarded, others took {foreign:.1%} of the machine")
            time.sleep(_CALM_SECONDS)
        raise TooLoudError(f"{server.name}: others took too much of the machine in {self._plan.attempts} starts")

    def _case(self, one: Running, case: Case, found: Found, number: int) -> None:
        cell = found.cells.setdefault(case.name, Cell())
        asked = case.asked(self._subject)
        one.check(case, asked)
        folder = Path(tempfile.mkdtemp(dir=one.log.parent))
        files: list[Path] = []
        for each in asked:
            files.append(folder / str(len(files)))
            files[-1].write_bytes(each.body)
        headers = [f"{name}: {value}" for name, value in asked[0].headers.items() if name != "content-type"]
        flags = ["-content-type", asked[0].headers["content-type"]]
        flags += [word for header in headers for word in ("-header", header)]
        flags += [word for file in files for word in ("-body", str(file))]
        with phase(f"{one.server.name}: {case.name}"):
            if cell.polling is None:
                cell.polling = self._is_faster_beside_polling(one, case, flags)
            polling = [*flags, f"-poll={str(cell.polling).lower()}"]
            if len(cell.runs) <= number:
                cell.runs.append(self._quiet_run(one, case, polling, cell))
                self._note(one, found)
            if len(cell.halves) <= number:
                half = cell.runs[number].requests_per_second / 2
                cell.halves.append(self._quiet_run(one, case, [*polling, "-rate", f"{half:.1f}"], cell))
                self._note(one, found)

    def _is_faster_beside_polling(self, one: Running, case: Case, flags: list[str]) -> bool:
        plan = replace(self._plan, seconds=self._plan.probe_seconds)
        asleep, polling = (self._run(one, case, [*flags, f"-poll={way}"], plan) for way in ("false", "true"))
        return polling.requests_per_second > asleep.requests_per_second

    def _note(self, one: Running, found: Found) -> None:
        now = memory(one.pid)
        if now.pss_mib > found.pss_mib:
            found.rss_mib, found.pss_mib, found.processes = now.rss_mib, now.pss_mib, now.processes
        self.keep(one.server, found)

    def _quiet_run(self, one: Running, case: Case, flags: list[str], cell: Cell) -> Run:
        for _ in range(self._plan.attempts):
            run = self._run(one, case, flags, self._plan)
            if run.foreign <= self._plan.max_foreign:
                say(
                    f"{one.server.name}: {case.name}: {run.requests_per_second:.0f}/s, p50 {run.p50_ms:.2f} ms, "
                    f"p99 {run.p99_ms:.2f} ms, {run.cpu_microseconds:.0f} µs a request"
                )
                return run
            cell.discarded += 1
            say(f"{one.server.name}: {case.name}: discarded, others took {run.foreign:.1%} of the machine")
            time.sleep(_CALM_SECONDS)
        raise TooLoudError(f"{one.server.name}: {case.name}: others took too much of the machine in every run")

    def _run(self, one: Running, case: Case, flags: list[str], plan: Plan) -> Run:
        """The warm-up is a run of its own, so that the server's processor time is that of counted requests only."""
        shared = ["-connections", str(plan.connections), *flags]
        loadgen.run(one.url(case), "-duration", f"{plan.warmup_seconds}s", *shared, core=LOAD_CORE)
        watch = Watch(one.pid)
        found = loadgen.run(one.url(case), "-duration", f"{plan.seconds}s", *shared, core=LOAD_CORE)
        cpu, foreign = watch.read()
        if foreign <= CALM_SHARE and (found["errors"] or set(found["status"]) != {"200"}):
            raise ServerError(f"{one.server.name}: {case.name}: {found['status']}, errors {found['errors']}")
        return Run(
            requests_per_second=round(found["requestsPerSecond"], 1),
            p50_ms=round(found["latency"]["p50Seconds"] * 1e3, 3),
            p99_ms=round(found["latency"]["p99Seconds"] * 1e3, 3),
            cpu_microseconds=round(cpu / max(found["answered"], 1) * 1e6, 1),
            foreign=round(foreign, 4),
            generator_share=round(found["generatorCpuShare"], 2),
        )


def _is_done(cell: Cell | None, number: int) -> bool:
    return cell is not None and len(cell.halves) > number
