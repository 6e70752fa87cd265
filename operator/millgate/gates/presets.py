"""What a Compare gate reads: the series that the serving image exports, or those that a user names."""

from dataclasses import dataclass, replace
from hashlib import sha256

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
    """A user's selector; of a histogram, which of its counters and which bucket."""

    selector: str
    suffix: str = ""
    le: str | None = None

    @property
    def tag(self) -> str:
        """What its series are tagged with. Gates that want the same share one tag, so that it is read once."""
        text = "\n".join((self.selector, self.suffix, self.le or ""))
        return f"own{TAG_MARK}{sha256(text.encode()).hexdigest()[:12]}"


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


def reads_of(compare: Compare, bound: Bound | None) -> Reads | None:
    """The counters of a gate; None while it does not know its bound yet."""
    statistic = statistic_of(compare)
    if statistic is Statistic.DISTRIBUTION:
        return _shape(compare)
    if statistic is Statistic.EXCEEDANCE and bound is None:
        return None
    measure = _preset(compare, bound) if compare.preset is not None else _own(compare, bound)
    # A share is held against the past as a whole: the hour of a segment alone is mostly too short to be a yardstick.
    whole = compare.is_before and statistic is not Statistic.MEAN
    return measure if compare.segment_by is None or whole else SegmentMeasure(measure, compare.segment_by)


def _shape(compare: Compare) -> ShapeMeasure:
    match compare.preset:
        case ComparePreset.PREDICTIONS:
            return replace(PREDICTIONS, segment_by=compare.segment_by)
        case ComparePreset.FEATURES:
            return replace(FEATURES, segment_by=compare.segment_by)
        case _:
            (buckets,) = wanted_by(compare, None)
            return ShapeMeasure(buckets.tag, segment_by=compare.segment_by, by_pod=True)


def _preset(compare: Compare, bound: Bound | None) -> Measure:
    if compare.preset is ComparePreset.ERRORS or bound is None:
        return Measure(whole=Counter(REQUESTS), part=Counter(ERRORS))
    return Measure(Counter(DURATION_COUNT), Counter(DURATION_BUCKET, bound.le), complement=True)


def _own(compare: Compare, bound: Bound | None) -> Measure:
    whole, part = (Counter(one.tag) for one in wanted_by(compare, bound))
    statistic = statistic_of(compare)
    above = statistic is Statistic.EXCEEDANCE
    return Measure(whole, part, complement=above, bounded=statistic is not Statistic.MEAN, by_pod=True)


def wanted_by(compare: Compare, bound: Bound | None) -> tuple[Wanted, ...]:
    """The user's selectors that the gate reads, (whole, part) or the one histogram; none for a preset."""
    if compare.numerator is not None and compare.denominator is not None:
        return Wanted(compare.denominator), Wanted(compare.numerator)
    if compare.histogram is None:
        return ()
    if statistic_of(compare) is Statistic.DISTRIBUTION:
        return (Wanted(compare.histogram, "_bucket"),)
    if bound is None:
        return ()
    return Wanted(compare.histogram, "_count"), Wanted(compare.histogram, "_bucket", bound.le)


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
