"""How sure the model is of an answer: the largest of its class probabilities, found in its outputs and counted."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from millgate_serving.engine import Outputs
from millgate_serving.joining import joined
from millgate_serving.summary import Categorical, Numeric

EDGES: Final = tuple(round(0.05 * step, 2) for step in range(1, 21))
_SUM_TOLERANCE = 1e-3

Confidences = npt.NDArray[np.float64]


def place_in(answer: Outputs, predictions: Numeric | Categorical | None) -> int | None:
    """Which output holds probabilities, judged by the answer to the model's own example.

    One probability for each class, as a row that adds up to 1 or as a map (ZipMap); or a first output that is itself
    the probability of one class, which is what `predictions` says when it stayed between 0 and 1.
    """
    for number, (_, values) in enumerate(answer):
        if _is_map(values) or _adds_up(values):
            return number
    return 0 if predictions is not None and is_probability(predictions) else None


def is_probability(predictions: Numeric | Categorical) -> bool:
    """A number between 0 and 1 that is not only 0 and 1."""
    if not isinstance(predictions, Numeric) or not predictions.edges:
        return False
    low = predictions.edges[0] if predictions.min is None else predictions.min
    high = predictions.edges[-1] if predictions.max is None else predictions.max
    return 0 <= low < high <= 1 and any(0 < edge < 1 for edge in predictions.edges)


def of(values: Any) -> Confidences | None:
    """One a row; NaN where it is none. None for values of another form."""
    if isinstance(values, list):
        return np.array([max(row.values()) for row in values], np.float64) if _is_map(values) else None
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f" or values.ndim > 2:
        return None
    values = values.astype(np.float64)
    largest = np.maximum(values, 1 - values) if values.ndim == 1 else values.max(axis=1)
    return np.where((largest >= 0) & (largest <= 1 + _SUM_TOLERANCE), np.minimum(largest, 1.0), np.nan)


class ConfidenceCounts:
    """A histogram, and how many answers had no confidence."""

    def __init__(self, place: int | None) -> None:
        self.place = place
        self.counts = np.zeros(len(EDGES), np.int64)
        self.missing = 0
        self.sum = 0.0

    def add(self, answers: Sequence[Outputs]) -> None:
        place = self.place
        if place is None:
            return
        apart = [outputs[place][1] for outputs in answers]
        together = joined(apart) if apart else None
        for answered in apart if together is None else [together]:
            self._add(answered)

    def _add(self, answered: Any) -> None:
        values = of(answered)
        if values is None:
            self.missing += len(answered)
            return
        present = values[np.isfinite(values)]
        self.missing += len(values) - len(present)
        # side=left: a value that equals an edge belongs to the bucket below it, as `le` says
        self.counts += np.bincount(np.searchsorted(EDGES, present, side="left"), minlength=len(EDGES))
        self.sum += float(present.sum())


def _is_map(values: Any) -> bool:
    return isinstance(values, list) and bool(values) and isinstance(values[0], dict) and bool(values[0])


def _adds_up(values: Any) -> bool:
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f" or values.ndim != 2 or values.shape[1] < 2:
        return False
    return bool(len(values) and (values >= 0).all() and np.allclose(values.sum(axis=1), 1, atol=_SUM_TOLERANCE))
