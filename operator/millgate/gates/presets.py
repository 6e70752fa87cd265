"""What a Compare gate reads: the series that the serving image exports, or those that a user names."""

from dataclasses import dataclass, replace

from millgate.api.defaults import QUANTILE
from millgate.api.spec import Compare, ComparePreset, Reference, Statistic
from millgate.gates.counters import TAG_MARK
from millgate.gates.latency import Bound
from millgate.gates.measures import Counter, Measure, SegmentMeasure
from millgate.gates.shapes import ShapeMeasure

REQUESTS = "millgate_requests_total"
ERRORS = "millgate_request_errors_total"
DURATION_COUNT = "millgate_request_duration_seconds_count"
DURATION_BUCKET = "millgate_request_duration_seconds_bucket"


def _shapes_of(side: str, variable: str) -> ShapeMeasure:
    return ShapeMeasure(
        f"millgate_{side}_bucket", f"millgate_{side}_category_total", f"millgate_{side}_missing_total", variable
    )


PREDICTIONS = _shapes_of("prediction", "output")
FEATURES = _shapes_of("feature", "feature")
TRAINING = {
    ComparePreset.PREDICTIONS: _shapes_of("training_prediction", "output"),
    ComparePreset.FEATURES: _shapes_of("training_feature", "feature"),
}

Reads = Measure | SegmentMeasure | ShapeMeasure


@dataclass(frozen=True)
class Wanted:
    """A user's selector, and the tag that its series are given. Of a histogram: which of its counters, which bucket."""

    tag: str
    selector: str
    suffix: str = ""
    le: str | None = None


def statistic_of(compare: Compare) -> Statistic:
    match compare.preset:
        case ComparePreset.ERRORS:
            return Statistic.RATE
        case ComparePreset.LATENCY:
            return Statistic.EXCEEDANCE
        case ComparePreset.PREDICTIONS | ComparePreset.FEATURES:
            return Statistic.DISTRIBUTION
        case None:
            return compare.statistic or Statistic.RATE


def needs_bound(compare: Compare) -> bool:
    return statistic_of(compare) is Statistic.EXCEEDANCE


def quantile_of(compare: Compare) -> float:
    return float(compare.quantile or QUANTILE)


def reads_of(name: str, compare: Compare, bound: Bound | None) -> Reads | None:
    """The counters of the gate of that name; None while it does not know its bound yet."""
    statistic = statistic_of(compare)
    if statistic is Statistic.DISTRIBUTION:
        return _shape(name, compare)
    measure = _exceedance(name, compare, bound) if statistic is Statistic.EXCEEDANCE else _quotient(name, compare)
    if measure is None or compare.segment_by is None:
        return measure
    return SegmentMeasure(measure, compare.segment_by)


def _shape(name: str, compare: Compare) -> ShapeMeasure:
    label = compare.segment_by
    match compare.preset:
        case ComparePreset.PREDICTIONS | ComparePreset.FEATURES:
            preset = PREDICTIONS if compare.preset is ComparePreset.PREDICTIONS else FEATURES
            return replace(preset, segment_by=label)
        case _:
            return ShapeMeasure(tag_of(name, "bucket"), segment_by=label, by_pod=True)


def _quotient(name: str, compare: Compare) -> Measure:
    if compare.preset is not None:
        return Measure(whole=Counter(REQUESTS), part=Counter(ERRORS))
    whole, part = Counter(tag_of(name, "whole")), Counter(tag_of(name, "part"))
    return Measure(whole, part, bounded=statistic_of(compare) is Statistic.RATE, by_pod=True)


def _exceedance(name: str, compare: Compare, bound: Bound | None) -> Measure | None:
    if bound is None:
        return None
    if compare.preset is not None:
        return Measure(Counter(DURATION_COUNT), Counter(DURATION_BUCKET, bound.le), complement=True)
    return Measure(Counter(tag_of(name, "whole")), Counter(tag_of(name, "part")), complement=True, by_pod=True)


def wanted_by(name: str, compare: Compare, bound: Bound | None) -> tuple[Wanted, ...]:
    """The user's selectors that the gate reads; none for a preset."""
    if compare.numerator is not None and compare.denominator is not None:
        whole, part = tag_of(name, "whole"), tag_of(name, "part")
        return Wanted(whole, compare.denominator), Wanted(part, compare.numerator)
    if compare.histogram is None:
        return ()
    if statistic_of(compare) is Statistic.DISTRIBUTION:
        return (Wanted(tag_of(name, "bucket"), compare.histogram, "_bucket"),)
    if bound is None:
        return ()
    below = Wanted(tag_of(name, "part"), compare.histogram, "_bucket", bound.le)
    return Wanted(tag_of(name, "whole"), compare.histogram, "_count"), below


def tag_of(name: str, role: str) -> str:
    return f"{name}{TAG_MARK}{role}"


def training_of(compare: Compare) -> ShapeMeasure | None:
    """The series that tell of the distribution that the model was shipped with, where that is the reference."""
    if compare.reference is not Reference.TRAINING or compare.preset is None:
        return None
    return TRAINING.get(compare.preset)


def described(compare: Compare, bound: Bound | None) -> str:
    """How the gate's events read after a share: '1.2 % of 300 …'."""
    if compare.preset is ComparePreset.ERRORS:
        return "requests failed"
    if compare.preset is ComparePreset.LATENCY:
        return f"requests took longer than {bound.le} s" if bound else "requests were slow"
    if compare.histogram is not None:
        return f"{compare.histogram} above {bound.le}" if bound else f"{compare.histogram} above the quantile"
    return f"{compare.denominator} are {compare.numerator}"


def noun_of(compare: Compare) -> str:
    """What a gate of a distribution looks at."""
    match compare.preset:
        case ComparePreset.PREDICTIONS:
            return "predictions"
        case ComparePreset.FEATURES:
            return "features"
        case _:
            return f"values of {compare.histogram}"
