"""Distributions as Prometheus text: those that are counted, and beside them the constant ones of training.

The part of a line before its number never changes, so it is made once: a scrape of 64 features is 1,500 lines.
"""

from collections.abc import Sequence

from millgate_serving.confidence import EDGES
from millgate_serving.distributions import Distributions, SideCounts
from millgate_serving.summary import OTHER, Categorical, Numeric

_SIDES = {"feature": "feature", "prediction": "output"}
_WHOSE = {"feature": "Features of the requests", "prediction": "Outputs of the model"}


def header(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


class DistributionText:
    """`labels` are the ones that every series carries."""

    def __init__(self, distributions: Distributions, labels: str) -> None:
        self._distributions = distributions
        measured = distributions.measured
        self._sides = [
            _SideText("feature", distributions.features, labels),
            _SideText("prediction", distributions.outputs, labels),
        ]
        name = "millgate_profile_info"
        self._constant = [
            *header(name, "gauge", "Where edges and categories come from: training, example or none."),
            f'{name}{{{labels},source="{measured.source}"}} 1',
        ]
        name = "millgate_profile_left_out"
        self._constant += header(name, "gauge", "Features and outputs of the model whose distribution is not counted.")
        self._constant.append(f'{name}{{{labels},part="features"}} {measured.features_left_out}')
        self._constant.append(f'{name}{{{labels},part="outputs"}} {measured.outputs_left_out}')
        self._left_out = f"millgate_uncounted_rows_total{{{labels}}} "
        self._confidence = [
            *(f'millgate_confidence_bucket{{{labels},le="{edge}"}} ' for edge in (*EDGES, "+Inf")),
            f"millgate_confidence_sum{{{labels}}} ",
            f"millgate_confidence_count{{{labels}}} ",
            f"millgate_confidence_missing_total{{{labels}}} ",
        ]
        if measured.source == "training":
            for side in self._sides:
                self._constant += side.training

    def lines(self) -> list[str]:
        """Exact up to the last answer: what waits is counted first."""
        self._distributions.count()
        with self._distributions.counting:
            sides = [line for side in self._sides for line in side.lines()]
            return [*self._constant, *sides, *self._confidence_lines(), *self._left_out_lines()]

    def _left_out_lines(self) -> list[str]:
        name = "millgate_uncounted_rows_total"
        text = "Rows whose values were not counted, as there were too many at once."
        return [*header(name, "counter", text), f"{self._left_out}{self._distributions.left_out_rows}"]

    def _confidence_lines(self) -> list[str]:
        counted, name = self._distributions.confidence, "millgate_confidence"
        if counted.place is None:
            return []
        up_to = counted.counts.cumsum().tolist()
        values = [*up_to, up_to[-1], counted.sum, up_to[-1], counted.missing]
        lines = [f"{prefix}{value}" for prefix, value in zip(self._confidence, values, strict=True)]
        return [
            *header(name, "histogram", "The largest of the class probabilities of an answer."),
            *lines[:-1],
            *header(f"{name}_missing_total", "counter", "Answers whose probabilities were none."),
            lines[-1],
        ]


class _SideText:
    """The families of one side. `name` is feature or prediction, as in the names of its metrics."""

    def __init__(self, name: str, counts: SideCounts, labels: str) -> None:
        self._counts = counts
        self._label = _SIDES[name]
        self._labels = labels
        self._now = _Families(f"millgate_{name}", f"{_WHOSE[name]}, as they come.")
        self._numeric = [self._numeric_prefixes(self._now, summary) for summary in counts.numeric.summaries]
        self._categorical = [self._category_prefixes(self._now, each.summary) for each in counts.categorical]
        self._missing = [self._prefix(self._now.missing, summary.name) for summary in self._summaries()]
        self._out_of_range = [self._prefix(self._now.out_of_range, s.name) for s in counts.numeric.summaries]
        self.training = self._training(_Families(f"millgate_training_{name}", f"{_WHOSE[name]} in training."))

    def _summaries(self) -> Sequence[Numeric | Categorical]:
        return [*self._counts.numeric.summaries, *(each.summary for each in self._counts.categorical)]

    def lines(self) -> list[str]:
        numeric, categorical = self._counts.numeric, self._counts.categorical
        totals, sums = numeric.totals.tolist(), numeric.sums.tolist()
        histograms: list[str] = []
        for row, prefixes in enumerate(self._numeric):
            # The first two columns are the smallest and the largest value of training, those behind are unused.
            counts = numeric.at_most[row, 2 : len(prefixes) - 1].tolist()
            values = [*counts, totals[row], sums[row], totals[row]]
            histograms += [f"{prefix}{value}" for prefix, value in zip(prefixes, values, strict=True)]
        categories: list[str] = []
        for prefixes, each in zip(self._categorical, categorical, strict=True):
            categories += [f"{prefix}{value}" for prefix, value in zip(prefixes, each.counts, strict=True)]
        missing = [*numeric.missing.tolist(), *(each.missing for each in categorical)]
        out_of_range = [
            f"{prefix}{value}"
            for prefix, value in zip(self._out_of_range, numeric.out_of_range(), strict=True)
            if value is not None
        ]
        missing_lines = [f"{prefix}{value}" for prefix, value in zip(self._missing, missing, strict=True)]
        return self._now.of(histograms, categories, missing_lines, out_of_range)

    def _training(self, families: "_Families") -> list[str]:
        histograms: list[str] = []
        for summary in self._counts.numeric.summaries:
            total = 0
            values: list[float] = []
            for count in summary.counts:
                total += count
                values.append(total)
            prefixes = self._numeric_prefixes(families, summary)
            values += [summary.sum, total]
            histograms += [f"{prefix}{value}" for prefix, value in zip(prefixes, values, strict=True)]
        categories: list[str] = []
        for each in self._counts.categorical:
            prefixes = self._category_prefixes(families, each.summary)
            categories += [f"{prefix}{value}" for prefix, value in zip(prefixes, each.summary.counts, strict=True)]
        missing = [f"{self._prefix(families.missing, summary.name)}{summary.missing}" for summary in self._summaries()]
        return families.of(histograms, categories, missing, [])

    def _numeric_prefixes(self, families: "_Families", summary: Numeric) -> list[str]:
        """One for each edge and +Inf, then those of sum and count."""
        name = families.histogram
        bounds = [*(repr(edge) for edge in summary.edges), "+Inf"]
        buckets = [self._prefix(f"{name}_bucket", summary.name, f',le="{bound}"') for bound in bounds]
        return [*buckets, self._prefix(f"{name}_sum", summary.name), self._prefix(f"{name}_count", summary.name)]

    def _category_prefixes(self, families: "_Families", summary: Categorical) -> list[str]:
        return [
            self._prefix(families.category, summary.name, f',category="{escaped(category)}"')
            for category in (*summary.categories, OTHER)
        ]

    def _prefix(self, metric: str, name: str, more: str = "") -> str:
        return f'{metric}{{{self._labels},{self._label}="{escaped(name)}"{more}}} '


class _Families:
    """The names of one distribution's metrics, and their lines in order."""

    def __init__(self, name: str, text: str) -> None:
        self.histogram = name
        self.category = f"{name}_category_total"
        self.missing = f"{name}_missing_total"
        self.out_of_range = f"{name}_out_of_range_total"
        self._text = text

    def of(
        self, histograms: list[str], categories: list[str], missing: list[str], out_of_range: list[str]
    ) -> list[str]:
        parts = [
            (self.histogram, "histogram", self._text, histograms),
            (self.category, "counter", self._text, categories),
            (self.missing, "counter", f"{self._text} Those that had no value.", missing),
            (self.out_of_range, "counter", f"{self._text} Those outside of what training saw.", out_of_range),
        ]
        return [line for name, kind, text, lines in parts if lines for line in (*header(name, kind, text), *lines)]
