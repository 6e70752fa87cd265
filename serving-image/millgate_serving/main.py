"""The command line: `millgate-serving serve` (the default) and `millgate-serving preflight`."""

import os
import signal
import sys
from types import FrameType

_USAGE = "usage: millgate-serving [serve | preflight]"


def main() -> None:
    """Exit code 0, 1 (the model cannot be served) or 75 (nothing can be said about the model)."""
    command = sys.argv[1] if len(sys.argv) > 1 else "serve"
    if len(sys.argv) > 2 or command not in {"serve", "preflight"}:
        print(_USAGE, file=sys.stderr)  # noqa: T201 - a command line
        raise SystemExit(2)
    # Before numpy is imported: a pod has the share of a core that it was given, not the cores of the node.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    signal.signal(signal.SIGTERM, _end_at_once)
    from millgate_serving.commands import run  # noqa: PLC0415 - imports numpy

    raise SystemExit(run(command))


def _end_at_once(_signal: int, _frame: FrameType | None) -> None:
    """Until the server has taken over the signal: the first process of a container ignores what it does not handle.

    A server that was never ready owes nobody an answer (0); a preflight that was stopped can tell nothing (75).
    """
    os._exit(75 if "preflight" in sys.argv else 0)
