"""One batch from its first row, or from where it was left, to its report."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from millgate_serving import __version__
from millgate_serving.batch import state as states
from millgate_serving.batch.problem import BatchError
from millgate_serving.batch.results import JsonLinesWriter, Writer, finish, partial, writer
from millgate_serving.batch.rows import Reader, reader
from millgate_serving.batch.scoring import PREDICTION, ROW, Columns, Scorer
from millgate_serving.batch.state import Identity, State
from millgate_serving.loading import ReadyModel

CHECKPOINT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Options:
    """`rejected` is the side file for rows without a prediction."""

    input: Path
    output: Path
    rejected: Path
    columns: Columns
    chunk_rows: int = 1000
    restart: bool = False


class Report(msgspec.Struct, frozen=True, rename="camel"):
    """What a batch came to. It lies beside the output, and is the termination message."""

    identity: Identity
    output: str
    scored: int
    rejected: int
    seconds: float
    rejected_file: str = ""


Tell = Callable[[State, int], None]
"""Is given the state and the size of the input, in the unit of its positions, after each chunk."""


class Batch:
    """Raises BatchError where the files or the options do not allow it."""

    def __init__(self, options: Options, ready: ReadyModel, name: str, version: str) -> None:
        self._options = options
        self._ready = ready
        if options.output.suffix == options.input.suffix and options.output.resolve() == options.input.resolve():
            raise BatchError("--output: it is the input")
        self._reader: Reader = reader(options.input)
        self._scorer = Scorer(ready, options.columns, is_text=self._reader.is_text)
        if self._reader.columns is not None:
            self._scorer.check_columns(self._reader.columns)
        found = options.input.stat()
        columns = options.columns
        self.identity = Identity(
            str(options.input),
            found.st_size,
            found.st_mtime_ns,
            *(name, version, ready.digest, columns.keep, columns.drop, __version__),
        )

    def finished(self) -> Report | None:
        """The report of the same batch, if it is done: a Job may be started once more after its end.

        Raises BatchError where another output is in the way.
        """
        options = self._options
        if options.restart or states.file_of(options.output).exists():
            return None
        report: Report | None = states.read(states.report_of(options.output), Report)
        if report is not None and report.identity == self.identity and options.output.exists():
            return report
        if options.output.exists():
            raise BatchError(f"--output: {options.output} is there already; --restart replaces it")
        return None

    def run(self, tell: Tell, stopping: Callable[[], bool]) -> Report | None:
        """The report; None when it was stopped, and may be taken up again."""
        state = self._state()
        if not state.complete and not self._score(state, tell, stopping):
            return None
        return self._end(state)

    def _state(self) -> State:
        options = self._options
        known: State | None = None if options.restart else states.read(states.file_of(options.output), State)
        if known is None:
            return State(self.identity)
        if known.identity != self.identity:
            changed = [
                name
                for name in Identity.__struct_fields__
                if getattr(known.identity, name) != getattr(self.identity, name)
            ]
            message = f"{options.output} was begun with another {changed[0]}"
            raise BatchError(f"{message}: --restart scores everything again")
        return known

    def _score(self, state: State, tell: Tell, stopping: Callable[[], bool]) -> bool:
        """Whether it came to the end."""
        options = self._options
        began, before = time.monotonic(), state.seconds
        names = [ROW, *options.columns.keep, PREDICTION, *self._ready.engine.outputs[1:]]
        output = writer(options.output, state.output_position, names)
        rejected = JsonLinesWriter(options.rejected, state.rejected_position)
        kept = began
        for chunk in self._reader.chunks(state.input_position, options.chunk_rows):
            found = self._scorer.score(state.rows + 1, chunk.rows)
            output.write(found.results)
            rejected.write(found.rejected)
            state.scored += len(found.results)
            state.rejected += len(found.rejected)
            state.input_position = chunk.position
            now = time.monotonic()
            state.seconds = before + now - began
            stop = stopping()
            if stop or now - kept >= CHECKPOINT_SECONDS:
                self._keep(state, output, rejected)
                kept = now
            tell(state, self._reader.size)
            if stop:
                output.close()
                rejected.close()
                return False
        state.complete = True
        self._keep(state, output, rejected)
        output.close()
        rejected.close()
        return True

    def _keep(self, state: State, output: Writer, rejected: Writer) -> None:
        state.output_position = output.checkpoint()
        state.rejected_position = rejected.checkpoint()
        states.write(states.file_of(self._options.output), state)

    def _end(self, state: State) -> Report:
        """Names for the files, the report, and last the end of the state: what is cut off here is done again."""
        options = self._options
        finish(options.output, state.output_position)
        if state.rejected:
            finish(options.rejected, state.rejected_position)
        else:
            partial(options.rejected).unlink(missing_ok=True)
            options.rejected.unlink(missing_ok=True)  # of an earlier batch
        report = Report(
            self.identity,
            str(options.output),
            state.scored,
            state.rejected,
            round(state.seconds, 3),
            str(options.rejected) if state.rejected else "",
        )
        states.write(states.report_of(options.output), report)
        states.file_of(options.output).unlink(missing_ok=True)
        return report
