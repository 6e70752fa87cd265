"""What was answered to the last so many rows, in a few bytes each: enough to judge an answer when its label comes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from millgate_serving import confidence
from millgate_serving.engine import Outputs
from millgate_serving.joining import joined
from millgate_serving.summary import text_of

_LARGEST_EXACT = 2.0**53

Codes = npt.NDArray[np.float64] | npt.NDArray[np.int64]


class Recall:
    """A ring of rows; when it is full, the oldest rows make room. Not thread-safe: its owner holds a lock."""

    def __init__(self, rows: int, place: int | None, *, numeric: bool) -> None:
        self._place = place
        self._numeric = numeric
        self._next = 0
        self._requests = np.zeros(rows, np.int64)
        self._row = np.zeros(rows, np.int32)
        self._answers: Codes = np.zeros(rows) if numeric else np.zeros(rows, np.int64)
        self._confidences = np.full(rows, np.nan)
        self._judged = np.ones(rows, np.bool_)

    def remember(self, batch: Sequence[tuple[str, Outputs]]) -> None:
        """The answers to some requests. Outputs of another form than one value a row are not remembered."""
        answers = self._codes([outputs[0][1] for _, outputs in batch])
        if answers is None:
            if len(batch) > 1:  # one that does not fit must not take the others with it
                for one in batch:
                    self.remember([one])
            return
        lengths = [len(outputs[0][1]) for _, outputs in batch]
        total, size = len(answers), len(self._requests)
        starts = np.cumsum([0, *lengths[:-1]])
        rows = np.arange(total) - np.repeat(starts, lengths)
        requests = np.repeat(np.array([hash(request_id) for request_id, _ in batch], np.int64), lengths)
        sure = self._sure([outputs for _, outputs in batch], total)
        kept = slice(max(total - size, 0), None)
        places = ((self._next + np.arange(total)) % size)[kept]
        self._requests[places] = requests[kept]
        self._row[places] = rows[kept]
        self._answers[places] = answers[kept]
        self._confidences[places] = sure[kept]
        self._judged[places] = False
        self._next = (self._next + total) % size

    def _codes(self, answers: Sequence[Any]) -> Codes | None:
        values = joined(answers)
        return None if values is None else _codes(values, numeric=self._numeric)

    def _sure(self, answers: Sequence[Outputs], total: int) -> npt.NDArray[np.float64]:
        if self._place is not None:
            values = joined([outputs[self._place][1] for outputs in answers])
            found = None if values is None else confidence.of(values)
            if found is not None and len(found) == total:
                return found
        return np.full(total, np.nan)

    def find(self, request_id: str) -> npt.NDArray[np.int64]:
        """The places of its rows, in order; of an id that was used twice, those of the last use. Empty if unknown."""
        places = np.flatnonzero(self._requests == hash(request_id)).astype(np.int64)
        if not len(places):
            return places
        age = (self._next - 1 - places) % len(self._requests)
        newest_first = places[np.argsort(age, kind="stable")]
        first_rows = np.flatnonzero(self._row[newest_first] == 0)
        return newest_first[: first_rows[0] + 1][::-1] if len(first_rows) else newest_first[:0]

    def judge(self, place: int) -> tuple[float | int, float | None] | None:
        """The answer's code and its confidence, once; None from then on."""
        if self._judged[place]:
            return None
        self._judged[place] = True
        sure = float(self._confidences[place])
        return self._answers[place].item(), None if np.isnan(sure) else sure


def code_of(value: Any) -> int:
    """Classes are told apart by their text, as in metrics, but 1 and true are the same."""
    if isinstance(value, bool | int | np.bool_ | np.integer):
        return int(value) if -(2**62) < int(value) < 2**62 else hash(int(value))
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_EXACT:
        return int(value)
    return hash(text_of(value))


def _codes(answers: Any, *, numeric: bool) -> Codes | None:
    values = answers if isinstance(answers, np.ndarray) else np.array(answers, dtype=object)
    if values.ndim != 1:
        return None
    if numeric:
        return values.astype(np.float64) if values.dtype.kind in "iufb" else None
    if values.dtype.kind in "ib":
        return values.astype(np.int64)
    plain: Sequence[Any] = values.tolist()
    return np.array([code_of(value) for value in plain], np.int64)
