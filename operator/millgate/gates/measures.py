"""What a gate's counters make: shares of requests or means, whole or by segment.

Each is added up over the pods of a revision. Nothing is divided in PromQL, so that NaN cannot occur.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from millgate.gates.counters import NOTHING, TAG, Arm, Deltas, Key, family_of

OWN_LABELS = frozenset(
    {"__name__", "model", "version", "revision", "code", "le", "output", "feature", "category", "segment"}
)
"""The labels that the model server gives its series. All others say where a series was scraped."""
SCRAPE_LABELS = frozenset(
    {"cluster", "container", "endpoint", "instance", "job", "monitor", "prometheus", "prometheus_replica", "replica"}
    | {"receive", "service"}
)
"""The labels that say where a series of another server was scraped. What its other labels mean is its own business."""

N = TypeVar("N", int, float)
WHOLE, PART = "whole", "part"
Place = tuple[tuple[str, str], ...]
Arms = Mapping[str, Arm]
"""What one revision did, by segment."""


@dataclass(frozen=True)
class Counter:
    """The series that make one counter: of a `family` (a metric, or the tag of a user's selector), perhaps one bucket.

    `le` is the bucket's bound as Prometheus has it, for a selector must match it exactly.
    """

    family: str
    le: str | None = None

    def counts(self, labels: Mapping[str, str]) -> bool:
        return family_of(labels) == self.family and (self.le is None or labels.get("le") == self.le)


@dataclass(frozen=True)
class Measure:
    """`part` of `whole`. With `complement` the part counts what did *not* happen (a bucket: not slower).

    Where the part is not `bounded` by the whole (tokens per request) the quotient is a mean, and no share.
    """

    whole: Counter
    part: Counter
    complement: bool = False
    bounded: bool = True
    by_pod: bool = False

    @property
    def families(self) -> Sequence[str]:
        return tuple(dict.fromkeys((self.whole.family, self.part.family)))

    def key(self, labels: Mapping[str, str]) -> Key | None:
        if self.whole.counts(labels):
            return (WHOLE,)
        return (PART,) if self.part.counts(labels) else None

    def proves(self, key: Key) -> bool:
        return key[0] == WHOLE

    def place(self, labels: Mapping[str, str]) -> Place:
        return place_of(labels, by_pod=self.by_pod)

    def arm(self, deltas: Deltas, present: Mapping[Key, int]) -> Arm | None:
        whole, part = deltas.get((WHOLE,), 0.0), deltas.get((PART,), 0.0)
        if not self.complement:
            return Arm(whole, min(whole, part) if self.bounded else part)
        if present.get((PART,), 0) < present.get((WHOLE,), 0):
            return None  # a bucket that was not read is unknown, not zero: all requests would look slow
        return Arm(whole, min(whole, max(0.0, whole - part)))

    def total(self, arms: Sequence[Arm]) -> Arm:
        return sum(arms, NOTHING)


@dataclass(frozen=True)
class SegmentMeasure:
    """A measure taken apart by the values of a label. Series without the label make a segment of their own, ''."""

    measure: Measure
    label: str

    @property
    def families(self) -> Sequence[str]:
        return self.measure.families

    @property
    def by_pod(self) -> bool:
        return self.measure.by_pod

    def key(self, labels: Mapping[str, str]) -> Key | None:
        key = self.measure.key(labels)
        return None if key is None else (*key, labels.get(self.label, ""))

    def proves(self, key: Key) -> bool:
        return self.measure.proves(key)

    def place(self, labels: Mapping[str, str]) -> Place:
        return tuple(pair for pair in self.measure.place(labels) if pair[0] != self.label)

    def arm(self, deltas: Deltas, present: Mapping[Key, int]) -> Arms | None:
        segments = sorted({key[1] for key in deltas})
        arms = {segment: self.measure.arm(_of(segment, deltas), _of(segment, present)) for segment in segments}
        known = {segment: arm for segment, arm in arms.items() if arm is not None}
        return known if len(known) == len(arms) else None

    def total(self, arms: Sequence[Arms]) -> Arms:
        total: dict[str, Arm] = {}
        for one in arms:
            for segment, arm in one.items():
                total[segment] = total.get(segment, NOTHING) + arm
        return total


def _of(segment: str, values: Mapping[Key, N]) -> dict[Key, N]:
    return {key[:1]: value for key, value in values.items() if key[1] == segment}


def place_of(labels: Mapping[str, str], *, by_pod: bool) -> Place:
    def says_where(label: str) -> bool:
        return label in SCRAPE_LABELS if by_pod else label not in OWN_LABELS and label != TAG

    return tuple(sorted((label, value) for label, value in labels.items() if says_where(label)))
