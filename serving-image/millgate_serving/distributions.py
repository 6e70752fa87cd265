"""Counts what a model is asked and what it answers, by the edges and categories of its profile.

A request only leaves its arrays here, which costs what appending to a list costs. They are counted when 64 rows have
come together, every half second, and before a scrape: one to five microseconds a row, after the answers have been sent.
The request that comes next waits for it, so few rows are counted at a time.
"""

import math
from collections import Counter
from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from millgate_serving.confidence import ConfidenceCounts
from millgate_serving.engine import Outputs
from millgate_serving.joining import joined
from millgate_serving.logs import Sparingly, described
from millgate_serving.measured import Measured, Variable, values_at
from millgate_serving.summary import Categorical, Numeric, is_missing, text_of
from millgate_serving.validation import Arrays

MAX_WAITING_ROWS = 64
MAX_WAITING_BYTES = 1 << 20  # a row with an image may have megabytes
_PIECE_ROWS = 256  # of one large request, whose comparisons with all edges would not stay in the processor's cache
TICK_SECONDS = 0.5
_LINES_PER_SECOND = 1


class NumericCounts:
    """All numeric variables of a side at once: `at_most[i, j]` values of variable i are at most its edge j.

    The first two columns are pseudo-edges, just below the smallest and at the largest value of training; missing edges
    are infinite.
    """

    def __init__(self, variables: Sequence[Variable]) -> None:
        self.variables = [variable for variable in variables if isinstance(variable.summary, Numeric)]
        self.summaries = [each.summary for each in self.variables if isinstance(each.summary, Numeric)]
        width = 2 + max((len(summary.edges) for summary in self.summaries), default=0)
        self._shape = len(self.variables), width
        self._dtypes: list[np.dtype[Any]] = []
        self._edges = np.empty((*self._shape, 1))
        self.at_most = np.zeros(self._shape, np.int64)
        self.totals, self.missing = (np.zeros(len(self.variables), np.int64) for _ in range(2))
        self.sums = np.zeros(len(self.variables))

    def out_of_range(self) -> list[int | None]:
        """Below the smallest or above the largest value of training; None where these are not known."""
        counts = (self.at_most[:, 0] + self.totals - self.at_most[:, 1]).tolist()
        return [
            None if summary.min is None or summary.max is None else count
            for summary, count in zip(self.summaries, counts, strict=True)
        ]

    def add(self, columns: list[npt.NDArray[Any] | None]) -> None:
        """The values of each variable, all of one length; None is a variable that did not come."""
        if not columns:
            return
        length = next((len(column) for column in columns if column is not None), 0)
        dtypes = [np.dtype(np.float64) if column is None else column.dtype for column in columns]
        if dtypes != self._dtypes:
            self._edges, self._dtypes = self._edges_in(dtypes), dtypes
        values = np.full((len(columns), length), np.nan)
        present = [number for number, column in enumerate(columns) if column is not None]
        for number in present:
            values[number] = columns[number]
        for start in range(0, length, _PIECE_ROWS):
            self._add(values[:, start : start + _PIECE_ROWS], present)

    def _add(self, values: npt.NDArray[np.float64], present: list[int]) -> None:
        finite = np.isfinite(values)
        if not finite.all():
            values[~finite] = np.nan
        # Ten times as fast as a loop of searchsorted over many variables and few rows; NaN is at most nothing.
        below = (values[:, None, :] <= self._edges).view(np.uint8)
        self.at_most += np.add.reduce(below, axis=2, dtype=np.int64)
        counted = np.add.reduce(finite.view(np.uint8), axis=1, dtype=np.int64)
        self.totals += counted
        self.missing[present] += values.shape[1] - counted[present]
        self.sums += np.add.reduce(values, axis=1, where=finite)

    def _edges_in(self, dtypes: list[np.dtype[Any]]) -> npt.NDArray[np.float64]:
        """As the model gets its values: 0.1 in float32 is larger than 0.1, but it is the same value."""
        edges = np.full((*self._shape, 1), np.inf)
        for row, summary, dtype in zip(edges[:, :, 0], self.summaries, dtypes, strict=True):
            kind = dtype.type if dtype.kind == "f" else np.float64
            row[0] = -np.inf if summary.min is None else np.nextafter(kind(summary.min), kind(-np.inf))
            row[1] = np.inf if summary.max is None else kind(summary.max)
            row[2 : 2 + len(summary.edges)] = np.array(summary.edges, kind)
        return edges


class CategoryCounts:
    """One categorical variable; the last count is that of all values that are no category of it."""

    def __init__(self, variable: Variable, summary: Categorical) -> None:
        self.variable = variable
        self.summary = summary
        self._places = {text: place for place, text in enumerate(summary.categories)}
        self.counts = [0] * (len(summary.categories) + 1)
        self.missing = 0

    def add(self, values: list[Any]) -> None:
        for value, count in Counter(values).items():
            if is_missing(value):
                self.missing += count
            else:
                self.counts[self._places.get(text_of(value), -1)] += count


class SideCounts:
    """Either all features or all outputs."""

    def __init__(self, variables: Sequence[Variable]) -> None:
        self.numeric = NumericCounts(variables)
        self.categorical = [
            CategoryCounts(variable, variable.summary)
            for variable in variables
            if isinstance(variable.summary, Categorical)
        ]
        self._arrays = {variable.place.array for variable in variables}

    def add(self, batch: Sequence[Sequence[Any]]) -> None:
        """Of each request its arrays."""
        if not batch:
            return
        whole = {number: self._whole([arrays[number] for arrays in batch]) for number in self._arrays}
        self.numeric.add([values_at(whole[v.place.array], v) for v in self.numeric.variables])
        for counts in self.categorical:
            values = values_at(whole[counts.variable.place.array], counts.variable)
            if values is not None:
                counts.add(values.tolist())

    @staticmethod
    def _whole(arrays: list[Any]) -> Any:
        """None where a model answers no arrays, or such that do not fit together."""
        return joined(arrays) if isinstance(arrays[0], np.ndarray) else None


class Distributions:
    """Requests are left from the event loop and from the model's thread, and counted in either, one at a time.

    Counting a row costs about a microsecond, so above `rows_per_second` the rest of a half second's requests is left
    out and counted as `left_out_rows`: whole requests, whatever is in them, so that no value is favoured.
    """

    def __init__(self, measured: Measured, rows_per_second: float = math.inf) -> None:
        self.measured = measured
        self.features = SideCounts(measured.features)
        self.outputs = SideCounts(measured.outputs)
        self.confidence = ConfidenceCounts(measured.confidence)
        self._active = bool(measured.features or measured.outputs) or measured.confidence is not None
        self._errors = Sparingly(_LINES_PER_SECOND)
        self._waiting: list[tuple[Arrays, Outputs | None]] = []
        self._rows = self._bytes = 0
        self._quota = rows_per_second * TICK_SECONDS
        self._room = self._quota
        self.left_out_rows = 0
        self._leaving, self.counting = Lock(), Lock()

    def leave(self, arrays: Arrays, outputs: Outputs | None) -> None:
        """What a request asked, and what was answered; None where the model has failed."""
        if self._active:
            rows = len(arrays[0])
            with self._leaving:
                if self._room <= 0:
                    self.left_out_rows += rows
                    return
                self._room -= rows
                self._waiting.append((arrays, outputs))
                self._rows += rows
                self._bytes += arrays[0].nbytes * len(arrays)  # columns are alike

    def tick(self) -> None:
        """Each half second: there is room again. What was above it is paid back first."""
        with self._leaving:
            self._room = min(self._quota, self._room + self._quota)
        self.count()

    @property
    def due(self) -> bool:
        return self._rows >= MAX_WAITING_ROWS or self._bytes >= MAX_WAITING_BYTES

    def count(self) -> None:
        """Count what waits. Nothing that goes wrong here may reach a client: it is logged."""
        with self.counting:
            with self._leaving:
                batch, self._waiting, self._rows, self._bytes = self._waiting, [], 0, 0
            if not batch:
                return
            try:
                self.features.add([arrays for arrays, _ in batch])
                answers = [outputs for _, outputs in batch if outputs is not None]
                self.outputs.add([[values for _, values in outputs] for outputs in answers])
                self.confidence.add(answers)
            except Exception as error:  # noqa: BLE001 - a defect of the counting
                self._errors.log("distributions not counted", "error", **described(error))
