"""The command line: `millgate-serving serve` (the default), `preflight`, `check`, `score`, and `profile`
for training code.
"""

import os
import signal
import sys
from types import FrameType

from millgate_serving import cgroup

# ONNX Runtime (since 1.29, on Linux too) and MLflow send usage data home unless they are told not to. A user's model is
# nobody's business, so this is not a setting.
_PRIVACY = {"ORT_DISABLE_TELEMETRY": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
_USAGE = (
    "usage: millgate-serving [serve | preflight | health | check NAME | score --input FILE --output FILE | profile …]"
)
_WITH_WORDS = frozenset({"check", "profile", "score"})  # the commands that have further words


def main() -> None:
    """Exit code 0, 1 (the model cannot be served) or 75 (nothing can be said about the model)."""
    command = sys.argv[1] if len(sys.argv) > 1 else "serve"
    if (len(sys.argv) > 2 and command not in _WITH_WORDS) or command not in {
        "serve",
        "preflight",
        "health",
        *_WITH_WORDS,
    }:
        print(_USAGE, file=sys.stderr)  # noqa: T201 - a command line
        raise SystemExit(2)
    if command == "health":
        from millgate_serving import health  # noqa: PLC0415 - nothing else is needed for it

        raise SystemExit(health.run())
    # Before the libraries are imported, which read these at once.
    os.environ.update(_PRIVACY)
    # A pod has the cores that it was given; the libraries count those of the node.
    threads = os.environ.get("MILLGATE_THREADS") or str(cgroup.threads(cgroup.cpus()))
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, threads)
    if command == "profile":
        from millgate_serving import profile_command  # noqa: PLC0415 - imports numpy

        raise SystemExit(profile_command.run(sys.argv[2:]))
    signal.signal(signal.SIGTERM, _end_at_once)
    if command == "check":
        from millgate_serving.checks import command as check  # noqa: PLC0415 - imports numpy

        raise SystemExit(check.run(sys.argv[2:]))
    if command == "score":
        from millgate_serving.batch import command as score  # noqa: PLC0415 - imports numpy

        raise SystemExit(score.run(sys.argv[2:]))
    from millgate_serving.commands import run  # noqa: PLC0415 - imports numpy

    raise SystemExit(run(command))


def _end_at_once(_signal: int, _frame: FrameType | None) -> None:
    """Until the server has taken over the signal: the first process of a container ignores what it does not handle.

    A server that was never ready owes nobody an answer (0); a stopped preflight or check can tell nothing, and a batch
    has not begun (75).
    """
    os._exit(75 if {"preflight", "check", "score"} & set(sys.argv[1:2]) else 0)
