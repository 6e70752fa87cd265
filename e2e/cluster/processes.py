"""Starts processes so that they can be found again, and ends exactly those.

Everything started for a cluster carries `MILLGATE_CLUSTER_STATE=<state folder>` in its environment, which every
descendant inherits. That mark is how `down` finds them: no process id is written down, so none can be stale or belong
to somebody else by now, and it works whatever was killed before.
"""

import ctypes
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.paths import ClusterError

MARK = "MILLGATE_CLUSTER_STATE"
PR_SET_PDEATHSIG = 1
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """For `preexec_fn`: the kernel kills this process when the thread that started it ends."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def enter_network(pid: int) -> None:
    """Move this thread (and those it starts) into the network namespace of `pid`."""
    descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(descriptor, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(descriptor)


def marked_environment(state: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    return {**os.environ, **(extra or {}), MARK: str(state)}


@dataclass(frozen=True)
class Result:
    """What a finished command left."""

    code: int
    out: str
    err: str


class Runner:
    """Runs commands for one cluster; tests put another one in its place."""

    def __init__(self, state: Path | None = None) -> None:
        self._state = state

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> Result:
        """Wait for the command; a failing one raises ClusterError with the end of what it said."""
        words = [str(word) for word in argv]
        environment = {**os.environ, **(env or {})}
        if self._state:
            environment = marked_environment(self._state, env)
        try:
            done = subprocess.run(
                words, cwd=cwd, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
            )
        except FileNotFoundError as missing:
            raise ClusterError(f"{words[0]} is not installed") from missing
        result = Result(done.returncode, done.stdout, done.stderr)
        if check and result.code:
            raise ClusterError(f"{' '.join(words)} ended with {result.code}:\n{(result.err or result.out)[-3000:]}")
        return result


def _environ(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it ended, or is another user's
        return []


def command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def marked(state: Path) -> Iterator[int]:
    """The live processes of the cluster whose state folder this is."""
    mark = f"{MARK}={state}".encode()
    for entry in os.listdir("/proc"):  # noqa: PTH208  a Path per process would be waste
        if entry.isdigit() and mark in _environ(int(entry)):
            yield int(entry)


def _parent(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[1])


def lineage() -> set[int]:
    """This process and those above it: never to be ended by its own clean-up."""
    pids, pid = set(), os.getpid()
    while pid > 0:
        pids.add(pid)
        pid = _parent(pid)
    return pids


def _kill(pid: int, mark: bytes) -> int | None:
    """Signal `pid` if it still carries the mark: read again once the process is held, so no recycled id is hit."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    try:
        if mark in _environ(pid):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            return handle
    except ProcessLookupError:
        pass
    os.close(handle)
    return None


def _await_end(handle: int, seconds: float) -> None:
    """A namespace's first process has ended only when all in it have; its environment is gone long before that."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    ended = poll.poll(max(0.0, seconds) * 1000)
    os.close(handle)
    if not ended:
        raise ClusterError("a process of the cluster does not end")


def end_marked(state: Path, *, deadline_seconds: float = 20.0) -> int:
    """Kill every process of the cluster and wait until they are gone; gives how many there were."""
    spared = lineage()
    mark = f"{MARK}={state}".encode()
    until = time.monotonic() + deadline_seconds
    ended = 0
    while pids := set(marked(state)) - spared:
        handles = [handle for pid in pids if (handle := _kill(pid, mark)) is not None]
        for handle in handles:
            _await_end(handle, until - time.monotonic())
        ended += len(handles)
    return ended
