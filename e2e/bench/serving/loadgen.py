"""The load generator: a small Go program, built once; `python -m e2e.bench.serving.loadgen -help` runs it."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from e2e.bench.serving.priority import before_all_else
from e2e.cluster.gobuild import Builder, Program
from e2e.cluster.processes import Runner

LOAD = Program("load", ".", home=Path(__file__).parent)


class LoadError(Exception):
    """The generator could not measure; the message is its own."""


def binary() -> Path:
    """The program's path; compiled where the cache does not have it."""
    return Builder(Runner()).build(LOAD)


def run(url: str, *flags: str, core: int | None = None, timeout_seconds: float | None = None) -> dict[str, Any]:
    """Its document (see -help) for these flags; pinned to one core if asked for.

    Raises LoadError when nothing could be measured, subprocess.TimeoutExpired when it takes too long.
    """
    pinned = ["taskset", "-c", str(core)] if core is not None else []
    command: Sequence[str | Path] = [*pinned, binary(), *flags, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        before_all_else(process.pid)
        try:
            document, _ = process.communicate(timeout=timeout_seconds)
        except BaseException:
            process.kill()
            raise
    if process.returncode == 2:
        raise LoadError(f"the load generator ended with 2: {' '.join(map(str, command))}")
    found: dict[str, Any] = msgspec.json.decode(document)
    return found


if __name__ == "__main__":
    program = str(binary())
    os.execv(program, [program, *sys.argv[1:]])  # noqa: S606 - the program that was just built
