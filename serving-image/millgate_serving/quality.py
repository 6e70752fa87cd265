"""How good the predictions were, once it is known what was right: counts from which accuracy, Brier score, calibration
or mean errors of any time span follow. Pure: no request, no clock.
"""

from collections.abc import Callable, Sequence
from typing import Final, Literal

from millgate_serving.confidence import is_probability
from millgate_serving.distribution_text import escaped, header
from millgate_serving.summary import Categorical, Numeric

Kind = Literal["class", "probability", "value"]
Label = bool | int | float | str

BINS: Final = 10
MAX_VERSIONS: Final = 5
OTHER_VERSION: Final = "__other__"


def kind_of(predictions: Numeric | Categorical | None, output_type: str) -> Kind:
    """What the first output of the model is, by its distribution or else by the type that the signature gives it."""
    if predictions is None:
        return "value" if output_type.startswith(("float", "double")) else "class"
    if isinstance(predictions, Categorical):
        return "class"
    return "probability" if is_probability(predictions) else "value"


class Quality:
    """Of one version. Bins hold confidences in [i/10, (i+1)/10), the last one 1 as well."""

    def __init__(self) -> None:
        self.rows = 0
        self.correct = 0
        self.brier_sum = 0.0
        self.absolute_error_sum = 0.0
        self.squared_error_sum = 0.0
        self.bin_rows = [0] * BINS
        self.bin_correct = [0] * BINS
        self.bin_confidence_sum = [0.0] * BINS

    def add_class(self, *, correct: bool, confidence: float | None) -> None:
        """Confidence calibration (Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2).

        With two classes whose probabilities add up to 1, (confidence - correct)² is the Brier score itself (Brier
        1950); with more it is that of the statement "this answer is right".
        """
        self.rows += 1
        self.correct += correct
        if confidence is None:
            return
        self.brier_sum += (confidence - correct) ** 2
        place = min(int(confidence * BINS), BINS - 1)
        self.bin_rows[place] += 1
        self.bin_correct[place] += correct
        self.bin_confidence_sum[place] += confidence

    def add_value(self, predicted: float, label: float) -> None:
        self.rows += 1
        self.absolute_error_sum += abs(predicted - label)
        self.squared_error_sum += (predicted - label) ** 2


class Qualities:
    """By version: that of this server, and a few others whose answers were judged here too."""

    def __init__(self, version: str, kind: Kind, *, confident: bool) -> None:
        self._confident = confident
        self.kind = kind
        self._by_version = {version: Quality()}
        self.unknown = 0
        self.repeated = 0

    def of(self, version: str) -> Quality:
        """Versions are named by clients, so only a few get series of their own."""
        found = self._by_version.get(version)
        if found is None:
            name = version if len(self._by_version) < MAX_VERSIONS and version.isdecimal() else OTHER_VERSION
            found = self._by_version.setdefault(name, Quality())
        return found

    def lines(self, labels: str) -> list[str]:
        """Prometheus text; all series are there from the start, at zero."""
        name = "millgate_feedback_unknown_total"
        lines = [
            *header(name, "counter", "Labels whose request this server does not know (any more)."),
            f"{name}{{{labels}}} {self.unknown}",
        ]
        name = "millgate_feedback_repeated_total"
        lines += [
            *header(name, "counter", "Labels for predictions that had one already; the first one counts."),
            f"{name}{{{labels}}} {self.repeated}",
        ]
        lines += self._family(labels, "rows_total", "Predictions whose label is known.", lambda q: q.rows)
        if self.kind == "value":
            text = "Sum of the absolute errors; by rows it is the mean absolute error."
            lines += self._family(labels, "absolute_error_total", text, lambda q: q.absolute_error_sum)
            text = "Sum of the squared errors; by rows it is the mean squared error."
            return lines + self._family(labels, "squared_error_total", text, lambda q: q.squared_error_sum)
        lines += self._family(labels, "correct_total", "Predictions that were right.", lambda q: q.correct)
        return lines + self._calibration(labels) if self._confident else lines

    def _calibration(self, labels: str) -> list[str]:
        text = "Sum of (confidence - right)²; by rows it is the Brier score."
        lines = self._family(labels, "brier_total", text, lambda q: q.brier_sum)
        text = "Predictions whose label is known, by the lower end of their confidence."
        lines += self._bins(labels, "calibration_rows_total", text, lambda q: q.bin_rows)
        text = "Predictions that were right, by the lower end of their confidence."
        lines += self._bins(labels, "calibration_correct_total", text, lambda q: q.bin_correct)
        text = "Sum of the confidences, by their lower end."
        return lines + self._bins(labels, "calibration_confidence_total", text, lambda q: q.bin_confidence_sum)

    def _family(self, labels: str, name: str, text: str, value: Callable[[Quality], float]) -> list[str]:
        full = f"millgate_feedback_{name}"
        return [
            *header(full, "counter", text),
            *(
                f'{full}{{{labels},of_version="{escaped(version)}"}} {value(quality)!r}'
                for version, quality in self._by_version.items()
            ),
        ]

    def _bins(self, labels: str, name: str, text: str, values: Callable[[Quality], Sequence[float]]) -> list[str]:
        full = f"millgate_feedback_{name}"
        return [
            *header(full, "counter", text),
            *(
                f'{full}{{{labels},of_version="{escaped(version)}",bin="{place / BINS}"}} {value!r}'
                for version, quality in self._by_version.items()
                for place, value in enumerate(values(quality))
            ),
        ]
