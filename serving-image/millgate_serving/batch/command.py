"""`millgate-serving score`: the command line, the model of the environment, progress, and every end of the process."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from millgate_serving import report as reports
from millgate_serving import settings
from millgate_serving.batch.batch import Batch, Options, Report
from millgate_serving.batch.problem import BatchError
from millgate_serving.batch.scoring import Columns
from millgate_serving.batch.state import State
from millgate_serving.failure import ExitCode, Reason, ServingError
from millgate_serving.loading import Progress, load
from millgate_serving.logs import configure, described, log
from millgate_serving.settings import Settings

_EPILOG = """\
The model is the one that the environment names, as for `serve`: MILLGATE_MODEL_NAME, MILLGATE_MODEL_VERSION and
MLFLOW_TRACKING_URI, or MILLGATE_MODEL_PATH. Every row passes the checks of a request. A row that does not goes into the
side file with its number and what is wrong, and so does one on which the model fails; the others are scored.

A result has the number of its row (from 1), the columns of --keep, `prediction`, and the model's further outputs.
Beside FILE lie FILE.progress.json while it is written, and FILE.report.json afterwards. The same command goes on where
it was ended, and does nothing when it has finished.

exit code: 0 done, 1 the files, the options or the model do not allow it, or too many rows were rejected,
           75 stopped, or the registry or the disk failed: start it again
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="millgate-serving score",
        description="Score a file of rows: CSV, JSON lines or Parquet, by the suffix of its name.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--input", type=Path, required=True, metavar="FILE", help=".csv, .jsonl, .ndjson or .parquet")
    made.add_argument("--output", type=Path, required=True, metavar="FILE", help="one of these, not the input's own")
    made.add_argument("--rejected", type=Path, metavar="FILE", help="JSON lines (default: OUTPUT.rejected.jsonl)")
    made.add_argument("--keep", type=_names, default=(), metavar="A,B", help="columns that go into the result")
    made.add_argument("--drop", type=_names, default=(), metavar="A,B", help="columns that are neither input nor kept")
    made.add_argument("--max-rejected", type=_share, default=1.0, metavar="SHARE", help="of all rows (default: 1)")
    made.add_argument("--chunk-rows", type=_count, default=1000, metavar="N", help="given at once (default: 1000)")
    made.add_argument("--progress-seconds", type=float, default=10.0, metavar="S", help="between lines (default: 10)")
    made.add_argument("--restart", action="store_true", help="forget what was scored, and replace the output")
    return made


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("a number from 0 to 1")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 10_000:
        raise argparse.ArgumentTypeError("a number from 1 to 10000")
    return value


def run(words: Sequence[str]) -> ExitCode:
    arguments = parser().parse_args(words)
    configure()
    termination_log = Path(os.environ.get("MILLGATE_TERMINATION_LOG") or settings.TERMINATION_LOG)
    try:
        configured = settings.read(os.environ)
        report = _scored(arguments, configured)
    except (BatchError, ServingError) as error:
        reason = error.reason if isinstance(error, ServingError) else "BatchInvalid"
        return _failed(termination_log, reason, str(error), error)
    except OSError as error:
        return _failed(termination_log, Reason.STORAGE_FAILED, f"{error.filename}: {error.strerror}", error)
    except Exception as error:  # noqa: BLE001 - a defect here says nothing about the model or the files
        log("score failed", level="error", **described(error))
        return _failed(termination_log, Reason.INTERNAL_ERROR, f"scoring raised {type(error).__name__}", error)
    if report is None:
        log("stopped", level="warning", message="start the same command again to go on")
        return ExitCode.CANNOT_TELL
    return _done(termination_log, report, arguments.max_rejected)


def _scored(arguments: argparse.Namespace, configured: Settings) -> Report | None:
    ready = load(configured, Progress())
    side = arguments.rejected or arguments.output.with_name(f"{arguments.output.name}.rejected.jsonl")
    options = Options(
        arguments.input,
        arguments.output,
        side,
        Columns(arguments.keep, arguments.drop),
        arguments.chunk_rows,
        arguments.restart,
    )
    batch = Batch(options, ready, configured.model_name, configured.model_version)
    finished = batch.finished()
    if finished is not None:
        log("finished before", report=str(arguments.output))
        return finished
    stopping = _Stopping()
    return batch.run(_Told(arguments.progress_seconds), stopping.asked)


class _Stopping:
    """SIGTERM and SIGINT: what is in hand is finished and kept."""

    def __init__(self) -> None:
        self._asked = False
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._ask)

    def _ask(self, *_: object) -> None:
        self._asked = True

    def asked(self) -> bool:
        return self._asked


class _Told:
    """Progress: a line of the log now and then, and on a terminal one line that changes."""

    def __init__(self, every_seconds: float) -> None:
        self._terminal = sys.stderr.isatty()
        self._every_seconds = 0.5 if self._terminal else every_seconds
        self._began = self._last = time.monotonic()
        self._first: State | None = None

    def __call__(self, state: State, size: int) -> None:
        now = time.monotonic()
        share = min(state.input_position / size, 1.0) if size else 1.0
        if self._first is None:
            self._first = State(state.identity, input_position=state.input_position, scored=state.rows)
        if now - self._last < self._every_seconds and not (self._terminal and state.input_position >= size):
            return
        self._last = now
        per_second = (state.rows - self._first.scored) / max(now - self._began, 1e-9)
        done = (state.input_position - self._first.input_position) / size if size else 1.0
        left = (1 - share) / done * (now - self._began) if done else None
        if self._terminal:
            self._line(state, share, per_second, left)
            return
        log(
            "scoring",
            rows=state.rows,
            rejected=state.rejected,
            percent=round(100 * share, 1),
            rowsPerSecond=round(per_second),
            secondsLeft=None if left is None else round(left),
        )

    def _line(self, state: State, share: float, per_second: float, left: float | None) -> None:
        end = "\n" if share == 1.0 else ""
        remaining = "" if left is None else f", {left:.0f} s left"
        text = f"{share:6.1%}  {state.rows:,} rows, {state.rejected:,} rejected, {per_second:,.0f}/s{remaining}"
        sys.stderr.write(f"\r{text:<78}{end}")
        sys.stderr.flush()


def _done(termination_log: Path, report: Report, max_rejected: float) -> ExitCode:
    rows = report.scored + report.rejected
    too_many = report.rejected > max_rejected * rows or (rows > 0 and report.scored == 0)
    document = msgspec.to_builtins(report)
    if too_many:
        message = f"{report.rejected} of {rows} rows were rejected: see {report.rejected_file}"
        document["error"] = {"reason": "TooManyRejected", "message": message}
    reports.write(termination_log, document)
    return ExitCode.FAIL if too_many else ExitCode.PASS


def _failed(termination_log: Path, reason: str, message: str, error: Exception) -> ExitCode:
    reports.write(termination_log, {"error": {"reason": str(reason), "message": message[:1000]}})
    if isinstance(error, ServingError):
        return error.exit_code
    return ExitCode.FAIL if isinstance(error, BatchError) else ExitCode.CANNOT_TELL
