"""What the two commands do once the environment is read, and how every end of a process is told."""

import os
from pathlib import Path

from millgate_serving import report, settings
from millgate_serving.failure import ExitCode, Reason, ServingError
from millgate_serving.loading import Progress, load
from millgate_serving.logs import configure, described, log
from millgate_serving.serve import Serving
from millgate_serving.settings import Settings


def run(command: str) -> ExitCode:
    configure()
    termination_log = Path(os.environ.get("MILLGATE_TERMINATION_LOG") or settings.TERMINATION_LOG)
    try:
        configured = settings.read(os.environ)
        return Serving(configured).run() if command == "serve" else preflight(configured)
    except ServingError as error:
        report.write(termination_log, report.result(Progress(), error))
        return error.exit_code


def preflight(configured: Settings) -> ExitCode:
    """Fetch, hash, load and answer the own input example, before any traffic; the termination log tells the result."""
    progress, failure = Progress(), None
    try:
        load(configured, progress)
    except ServingError as error:
        failure = error
    except Exception as error:  # noqa: BLE001 - an unknown fault says nothing about the model: 75, not 1
        log("preflight failed", level="error", **described(error))
        failure = ServingError(Reason.INTERNAL_ERROR, f"the preflight raised {type(error).__name__}")
    report.write(configured.termination_log, report.result(progress, failure))
    return failure.exit_code if failure else ExitCode.PASS
