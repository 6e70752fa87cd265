"""`compare` of a gate: is the candidate worse than a reference? What is counted, against what, and by which margin."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from millgate.api.base import PositiveDecimal, Rule, SpecModel


class ComparePreset(StrEnum):
    ERRORS = "Errors"
    LATENCY = "Latency"
    PREDICTIONS = "Predictions"
    FEATURES = "Features"


class Statistic(StrEnum):
    RATE = "Rate"
    EXCEEDANCE = "Exceedance"
    MEAN = "Mean"
    DISTRIBUTION = "Distribution"


class Reference(StrEnum):
    STABLE = "Stable"
    BASELINE = "Baseline"
    BEFORE = "Before"
    TRAINING = "Training"


Selector = Annotated[str, StringConstraints(min_length=1, max_length=512)]
"""A metric with or without matchers, as in PromQL: 'http_requests_total{code=~"5.."}'."""

Label = Annotated[str, StringConstraints(max_length=63, pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]


_OF_COUNTERS = (Statistic.RATE, Statistic.MEAN)
_OF_HISTOGRAMS = (Statistic.EXCEEDANCE, Statistic.DISTRIBUTION)
_SHIPPED = (ComparePreset.PREDICTIONS, ComparePreset.FEATURES)


class Compare(SpecModel):
    """Is the candidate worse than a reference, by a test that may be looked at forever?"""

    preset: Annotated[
        ComparePreset | None,
        Field(
            description="What the serving image counts. `Errors`: the share of requests that the server failed. "
            "`Latency`: the share of requests slower than stable's `quantile`. `Predictions`, `Features`: how the "
            "model's answers or its inputs are distributed."
        ),
    ] = None
    statistic: Annotated[
        Statistic | None,
        Field(
            description="For metrics of your own. `Rate`: the share of `denominator` that is `numerator`. `Mean`: "
            "`numerator` per `denominator`, which need not count the same things. `Exceedance`: the share of "
            "`histogram` above stable's `quantile`. `Distribution`: the shape of `histogram`."
        ),
    ] = None
    numerator: Annotated[
        Selector | None, Field(description="A counter, for `Rate` and `Mean`. Namespace and pods are added to it.")
    ] = None
    denominator: Annotated[
        Selector | None, Field(description="A counter, for `Rate` and `Mean`. Namespace and pods are added to it.")
    ] = None
    histogram: Annotated[
        Selector | None,
        Field(description="A histogram without its suffix, for `Exceedance` and `Distribution`."),
    ] = None
    reference: Annotated[
        Reference,
        Field(
            description="Whom the candidate is held against. `Stable`: the stable revision at the same time. "
            "`Baseline`: fresh pods of it, as many as the candidate's. `Before`: its own last hour. "
            "`Training`: the distribution that the model was shipped with."
        ),
    ] = Reference.STABLE
    max_ratio: Annotated[
        PositiveDecimal | None,
        Field(
            description="The candidate's figure may be this many times the reference's before it counts as worse "
            "(non-inferiority margin); at least '1'. Left out: '1.2', and '2' against `Before`."
        ),
    ] = None
    pass_ratio: Annotated[
        PositiveDecimal | None,
        Field(description="Pass early, before `minSamples`, once it is proven that the ratio is below this."),
    ] = None
    min_effect: Annotated[
        PositiveDecimal | None,
        Field(
            description="The gate never fails for a smaller difference than this: of shares or means, or for a "
            "`Distribution` the population stability index, there '0.1' when left out."
        ),
    ] = None
    quantile: Annotated[
        PositiveDecimal | None,
        Field(description="For latency and `Exceedance`: the quantile of the reference, '0.99' when left out."),
    ] = None
    min_samples: Annotated[
        int,
        Field(
            ge=1,
            le=1_000_000_000,
            description="Requests that the candidate must have answered in the step before the gate can pass.",
        ),
    ] = 100
    segment_by: Annotated[
        Label | None,
        Field(
            description="A label of the counters. Each of its values, at most 20, is judged for itself, and a "
            "candidate that is worse in one of them fails."
        ),
    ] = None
    warmup_seconds: Annotated[
        int, Field(ge=0, le=3600, description="So long after a pod became ready its counters are left out.")
    ] = 0

    rules: ClassVar = (
        Rule(
            "has(self.preset) != has(self.statistic)",
            "exactly one of `preset` or `statistic` must be specified",
            lambda compare: (compare.preset is None) != (compare.statistic is None),
        ),
        Rule(
            "(has(self.statistic) && self.statistic in ['Rate', 'Mean']) == has(self.numerator) && "
            "has(self.numerator) == has(self.denominator)",
            "`numerator` and `denominator` must be specified when `statistic` is 'Rate' or 'Mean', and only then",
            lambda compare: (
                (compare.statistic in _OF_COUNTERS) == (compare.numerator is not None)
                and (compare.numerator is None) == (compare.denominator is None)
            ),
        ),
        Rule(
            "(has(self.statistic) && self.statistic in ['Exceedance', 'Distribution']) == has(self.histogram)",
            "`histogram` must be specified when `statistic` is 'Exceedance' or 'Distribution', and only then",
            lambda compare: (compare.statistic in _OF_HISTOGRAMS) == (compare.histogram is not None),
        ),
        Rule(
            "!has(self.maxRatio) || double(self.maxRatio) >= 1.0",
            "`maxRatio` must be greater than or equal to 1",
            lambda compare: compare.max_ratio is None or Decimal(compare.max_ratio) >= 1,
        ),
        Rule(
            "!has(self.passRatio) || double(self.passRatio) > (has(self.maxRatio) ? double(self.maxRatio) : "
            "self.reference == 'Before' ? 2.0 : 1.2)",
            "`passRatio` must be greater than `maxRatio`",
            lambda compare: (
                compare.pass_ratio is None
                or Decimal(compare.pass_ratio) > Decimal(compare.max_ratio or ("2" if compare.is_before else "1.2"))
            ),
        ),
        Rule(
            "!(has(self.maxRatio) || has(self.passRatio)) || !(has(self.preset) ? "
            "self.preset in ['Predictions', 'Features'] : self.statistic == 'Distribution')",
            "`maxRatio` and `passRatio` may not be specified for a distribution: its margin is `minEffect`",
            lambda compare: (
                (compare.max_ratio is None and compare.pass_ratio is None) or not compare.is_of_a_distribution
            ),
        ),
        Rule(
            "!has(self.quantile) || (has(self.preset) ? self.preset == 'Latency' : self.statistic == 'Exceedance')",
            "`quantile` may not be specified unless `preset` is 'Latency' or `statistic` is 'Exceedance'",
            lambda compare: (
                compare.quantile is None
                or compare.preset is ComparePreset.LATENCY
                or compare.statistic is Statistic.EXCEEDANCE
            ),
        ),
        Rule(
            "!has(self.quantile) || (double(self.quantile) >= 0.5 && double(self.quantile) < 1.0)",
            "`quantile` must be greater than or equal to 0.5 and less than 1",
            lambda compare: compare.quantile is None or Decimal("0.5") <= Decimal(compare.quantile) < 1,
        ),
        Rule(
            "self.reference != 'Training' || (has(self.preset) && self.preset in ['Predictions', 'Features'])",
            "`reference` must not be 'Training' unless `preset` is 'Predictions' or 'Features'",
            lambda compare: compare.reference is not Reference.TRAINING or compare.preset in _SHIPPED,
        ),
    )

    @property
    def is_before(self) -> bool:
        return self.reference is Reference.BEFORE

    @property
    def is_of_a_distribution(self) -> bool:
        return self.preset in _SHIPPED or self.statistic is Statistic.DISTRIBUTION
