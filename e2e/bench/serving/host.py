"""What a server costs: processor time and memory of its process tree, and how much of the machine others took."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_MIB = 1024.0


def tree(root: int) -> list[int]:
    """The process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def _stat(pid: int) -> list[str]:
    """The fields after the command's name; empty when the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def cpu_seconds(root: int) -> float:
    """User and system time of the tree, that of its ended children too."""
    return sum(sum(map(int, fields[11:15])) for pid in tree(root) if (fields := _stat(pid))) / _TICKS


@dataclass(frozen=True)
class Memory:
    """Of the tree, in MiB. PSS counts a page that n processes share as an nth for each."""

    rss_mib: float
    pss_mib: float
    processes: int


def memory(root: int) -> Memory:
    rss = pss = 0.0
    pids = tree(root)
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        sizes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines[1:])}
        rss += sizes["Rss"] / _MIB
        pss += sizes["Pss"] / _MIB
    return Memory(round(rss, 1), round(pss, 1), len(pids))


class Watch:
    """Measures from its making to `read`. Whatever this process and its descendants do is not foreign."""

    def __init__(self, server: int | None = None) -> None:
        self._server = server
        self._began = time.monotonic()
        self._busy, self._own, self._cpu = self._now()

    def read(self) -> tuple[float, float]:
        """CPU seconds of the server; foreign processor time as a share of all cores, with what the hypervisor stole."""
        busy, own, cpu = self._now()
        foreign = busy - self._busy - (own - self._own)
        cores = os.cpu_count() or 1
        return cpu - self._cpu, max(foreign, 0.0) / (time.monotonic() - self._began) / cores

    def _now(self) -> tuple[float, float, float]:
        server = 0.0 if self._server is None else cpu_seconds(self._server)
        return _busy_seconds(), cpu_seconds(os.getpid()), server


def _busy_seconds() -> float:
    """Of all cores: everything but idle and waiting for disks."""
    user, nice, system, _idle, _wait, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / _TICKS
