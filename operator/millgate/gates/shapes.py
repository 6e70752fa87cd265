"""Distributions as counters tell of them: histograms with bounds, counters by category, and what was missing.

Numeric buckets are kept as Prometheus has them, cumulative: so the histograms of two versions, which may have been
given other bounds, can still be held against each other at the bounds that both have.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from millgate.gates.counters import Deltas, Key, family_of
from millgate.gates.measures import Place, place_of

BUCKET, CATEGORY, MISSING = "le", "category", "missing"
ABSENT = "__missing__"
"""The category of what had no value."""
OTHER = "__other__"
"""The category of all categories that have no counter of their own."""


@dataclass(frozen=True)
class Shape:
    """How often a variable fell below each bound (cumulative), and into each category."""

    cumulative: Mapping[str, float] = field(default_factory=dict)
    categories: Mapping[str, float] = field(default_factory=dict)

    def __add__(self, other: "Shape") -> "Shape":
        return Shape(_sum(self.cumulative, other.cumulative), _sum(self.categories, other.categories))

    @property
    def total(self) -> float:
        return max(self.cumulative.values(), default=0.0) + sum(self.categories.values())


Shapes = Mapping[str, Shape]
"""By variable: an output of the model, one of its features, or ('') the one thing that a histogram observes."""


@dataclass(frozen=True)
class Bins:
    """The buckets in which two shapes are held against each other."""

    bounds: tuple[str, ...]
    categories: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.bounds) + len(self.categories)

    def shared_with(self, shape: Shape) -> "Bins":
        """The bins that `shape` has as well."""
        categories = tuple(name for name in self.categories if name in shape.categories)
        return Bins(_closed([bound for bound in self.bounds if bound in shape.cumulative]), categories)

    def counts(self, shape: Shape) -> tuple[float, ...] | None:
        """How many fell into each bin; None where the shape was not counted at these bounds."""
        if any(bound not in shape.cumulative for bound in self.bounds):
            return None
        below = [shape.cumulative[bound] for bound in self.bounds]
        numeric = [max(0.0, count - before) for before, count in zip([0.0, *below], below, strict=False)]
        named = {name: shape.categories.get(name, 0.0) for name in self.categories}
        if OTHER in named:
            named[OTHER] += sum(count for name, count in shape.categories.items() if name not in named)
        return (*numeric, *named.values())


def common_bins(candidate: Shape, reference: Shape) -> Bins:
    """The bounds and the categories that both have; all other categories are the one of others."""
    bounds = sorted(set(candidate.cumulative) & set(reference.cumulative), key=float)
    return Bins(_closed(bounds), tuple(sorted(set(candidate.categories) & set(reference.categories))))


def _closed(bounds: Sequence[str]) -> tuple[str, ...]:
    """Without a last bucket that holds everything it is not known how many there were."""
    return tuple(bounds) if bounds and math.isinf(float(bounds[-1])) else ()


def _sum(one: Mapping[str, float], other: Mapping[str, float]) -> Mapping[str, float]:
    if not one or not other:
        return one or other
    return {key: one.get(key, 0.0) + other.get(key, 0.0) for key in {**one, **other}}


@dataclass(frozen=True)
class ShapeMeasure:
    """The series that tell of distributions. `variable` is the label that names each of several."""

    buckets: str
    categories: str | None = None
    missing: str | None = None
    variable: str | None = None
    segment_by: str | None = None
    by_pod: bool = False

    @property
    def families(self) -> Sequence[str]:
        return tuple(family for family in (self.buckets, self.categories, self.missing) if family is not None)

    def key(self, labels: Mapping[str, str]) -> Key | None:
        kind = {self.buckets: BUCKET, self.categories: CATEGORY, self.missing: MISSING}[family_of(labels)]
        named = [labels.get(label, "") for label in (self.variable, self.segment_by) if label is not None]
        return ("/".join(named), kind, ABSENT if kind == MISSING else labels.get(kind, ""))

    def proves(self, key: Key) -> bool:
        return key[1] != MISSING

    def place(self, labels: Mapping[str, str]) -> Place:
        own = (self.variable, self.segment_by)
        return tuple(pair for pair in place_of(labels, by_pod=self.by_pod) if pair[0] not in own)

    def arm(self, deltas: Deltas, present: Mapping[Key, int]) -> Shapes | None:
        del present  # the buckets of a histogram come with one scrape, all or none
        shapes: dict[str, tuple[dict[str, float], dict[str, float]]] = {}
        for (variable, kind, bucket), count in deltas.items():
            cumulative, categories = shapes.setdefault(variable, ({}, {}))
            (cumulative if kind == BUCKET else categories)[bucket] = count
        return {variable: Shape(*counts) for variable, counts in shapes.items()}

    def total(self, arms: Sequence[Shapes]) -> Shapes:
        total: dict[str, Shape] = {}
        for one in arms:
            for variable, shape in one.items():
                total[variable] = total[variable] + shape if variable in total else shape
        return total
