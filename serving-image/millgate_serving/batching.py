"""Requests that wait for the model at the same time are asked about in one call: off unless it is configured.

Nobody is made to wait for others: while one call runs, those who come meanwhile gather before it, and whoever is next
takes them all along. It pays where a call costs much and a row little, and it is wrong for a model whose answer to a
row depends on the other rows of the call.
"""

from dataclasses import replace
from threading import Lock

import numpy as np

from millgate_serving.engine import Engine, Outputs
from millgate_serving.loading import ReadyModel
from millgate_serving.logs import log
from millgate_serving.stopping import Stoppable
from millgate_serving.validation import Arrays, Layout


class _Turn:
    """One request's rows; `outputs` are there once another one has taken them along, `alone` when that failed."""

    __slots__ = ("alone", "arrays", "kind", "outputs", "rows")

    def __init__(self, arrays: Arrays) -> None:
        self.arrays = arrays
        self.rows = len(arrays[0])
        self.kind = [(array.dtype, array.shape[1:]) for array in arrays]
        self.outputs: Outputs | None = None
        self.alone = False


class Batching:
    """An engine that asks another one, about at most `most_rows` at once unless one request has more."""

    def __init__(self, engine: Engine, most_rows: int) -> None:
        self._engine = engine
        self._most_rows = most_rows
        self._model = Lock()
        self._gathering = Lock()
        self._waiting: list[_Turn] = []
        self.calls = 0
        self.requests = 0

    @property
    def layout(self) -> Layout:
        return self._engine.layout

    @property
    def outputs(self) -> tuple[str, ...]:
        return self._engine.outputs

    def stop(self, thread: int) -> None:
        if isinstance(self._engine, Stoppable):
            self._engine.stop(thread)

    def run(self, arrays: Arrays) -> Outputs:
        """What the model raises is told to the request that caused it, never to those it was asked with."""
        mine = _Turn(arrays)
        with self._gathering:
            self._waiting.append(mine)
        with self._model:
            if mine.outputs is None and not mine.alone:
                self._run(self._taken(mine))
            if mine.outputs is None:
                self.calls += 1
                return self._engine.run(arrays)
        return mine.outputs

    def _taken(self, mine: _Turn) -> list[_Turn]:
        """Mine, and those who wait for the same kind of call."""
        taken, rows, left = [mine], mine.rows, []
        with self._gathering:
            for turn in self._waiting:
                if turn is mine:
                    continue
                if turn.kind == mine.kind and rows + turn.rows <= self._most_rows:
                    taken.append(turn)
                    rows += turn.rows
                else:
                    left.append(turn)
            self._waiting = left
        self.requests += len(taken)
        return taken

    def _run(self, turns: list[_Turn]) -> None:
        """One call for all of them. If it fails, each is asked about alone: one bad row must not fail the others."""
        if len(turns) == 1:
            turns[0].alone = True
            return
        try:
            joined = [np.concatenate(arrays) for arrays in zip(*(turn.arrays for turn in turns), strict=True)]
            answers = _split(self._engine.run(joined), [turn.rows for turn in turns])
            self.calls += 1
        except Exception:  # noqa: BLE001 - whoever it was raises it again, alone
            for turn in turns:
                turn.alone = True
            return
        for turn, outputs in zip(turns, answers, strict=True):
            turn.outputs = outputs


def batched(ready: ReadyModel, most_rows: int) -> ReadyModel:
    """The model asked in batches, if it answers two requests in one call as it answers them apart."""
    if most_rows < 2:
        return ready
    if ready.answered is None or not _is_row_wise(ready.engine, ready.answered.arrays):
        log("no batches: the model's answer to a row depends on the other rows, or that is not known", "warning")
        return ready
    return replace(ready, engine=Batching(ready.engine, most_rows))


def _is_row_wise(engine: Engine, arrays: Arrays) -> bool:
    """Asked of a row that the model is known to answer, and of itself once more among other rows."""
    first = [array[:1] for array in arrays]
    try:
        apart = engine.run(first)
        together = _split(engine.run([np.concatenate([array[:1], array]) for array in arrays]), [1, len(arrays[0])])[0]
    except Exception:  # noqa: BLE001 - a model that cannot be asked so is not asked so
        return False
    return all(_same(one, other) for (_, one), (_, other) in zip(apart, together, strict=True))


def _same(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray) and one.dtype.kind == "f":
        return bool(one.shape == other.shape and np.allclose(one, other, rtol=1e-5, atol=1e-6, equal_nan=True))
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return bool(one.shape == other.shape and one.tolist() == other.tolist())
    return type(one) is type(other)


def _split(outputs: Outputs, rows: list[int]) -> list[Outputs]:
    """By request. Raises ValueError when an output does not have one entry a row."""
    if any(len(values) != sum(rows) for _, values in outputs):
        raise ValueError("an output does not have one entry a row")
    parts, start = [], 0
    for count in rows:
        parts.append([(name, values[start : start + count]) for name, values in outputs])
        start += count
    return parts
