"""How the values of one feature or output are summed up: at most 20 buckets or categories, with round edges.

Two versions are trained on different rows, and only the edges that both have can be compared. So an edge is the
roundest number near its quantile: other rows of the same kind lead to the same number most of the time.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

MAX_BUCKETS: Final = 20
MAX_CATEGORIES: Final = 20
OTHER: Final = "__other__"
# An edge may stand this far from its quantile, in widths of a bucket. With 0.4 two versions that learned from 5,000
# rows each share 14 to 19 of their 19 edges, with 0.25 10 to 17; a shift looks the same in the common ones.
_TOLERANCE = 0.4
_LONGEST_CATEGORY = 100
_LARGEST = float(np.finfo(np.float64).max)

Count = Annotated[int, msgspec.Meta(ge=0)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Number = Annotated[float, msgspec.Meta(ge=-_LARGEST, le=_LARGEST)]


class Numeric(msgspec.Struct, frozen=True, tag="numeric", tag_field="kind", forbid_unknown_fields=True):
    """`counts[i]` values are in (edges[i - 1], edges[i]], the last ones above all edges. Missing ones are in none."""

    name: Name
    edges: tuple[Number, ...]
    counts: tuple[Count, ...]
    missing: Count = 0
    sum: Number = 0.0
    min: Number | None = None
    max: Number | None = None


class Categorical(msgspec.Struct, frozen=True, tag="categorical", tag_field="kind", forbid_unknown_fields=True):
    """`counts[i]` values are `categories[i]`, the last ones any other."""

    name: Name
    categories: tuple[Annotated[str, msgspec.Meta(max_length=_LONGEST_CATEGORY)], ...]
    counts: tuple[Count, ...]
    missing: Count = 0


def numeric(name: str, values: npt.NDArray[Any]) -> Numeric:
    """Of numbers and booleans in one dimension; NaN and infinite ones are missing."""
    numbers = values.astype(np.float64)
    present = numbers[np.isfinite(numbers)]
    missing = len(numbers) - len(present)
    if not len(present):
        return Numeric(name, (), (0,), missing)
    edges = edges_of(present)
    # side=left: a value that equals an edge belongs to the bucket below it, as `le` says
    places = np.searchsorted(np.array(edges), present, side="left")
    counts = np.bincount(places, minlength=len(edges) + 1)
    with np.errstate(over="ignore"):
        total = float(np.clip(present.sum(), -_LARGEST, _LARGEST))
    return Numeric(name, edges, tuple(counts.tolist()), missing, total, float(present.min()), float(present.max()))


def edges_of(values: npt.NDArray[np.float64]) -> tuple[float, ...]:
    """Each value its own bucket where they are few; else about one twentieth of the values in each."""
    distinct = np.unique(values)
    if len(distinct) < MAX_BUCKETS:
        return tuple(distinct.tolist())
    middles = np.arange(1, MAX_BUCKETS)
    # Quantiles that are values themselves: where many values are equal, the edge is that value.
    lows = np.quantile(values, (middles - _TOLERANCE) / MAX_BUCKETS, method="inverted_cdf")
    highs = np.quantile(values, (middles + _TOLERANCE) / MAX_BUCKETS, method="inverted_cdf")
    return ascending(roundest(float(low), float(high)) for low, high in zip(lows, highs, strict=True))


def even_edges(low: float, high: float) -> tuple[float, ...]:
    """At most 19 round numbers at even distances that span a range; none where the range has no width."""
    found: tuple[float, ...] = ()
    if not (low < high and np.isfinite(high - low)):
        return found
    for step in _steps_down_to(high - low):
        first, last = np.floor(low / step), np.ceil(high / step)
        if last - first >= MAX_BUCKETS - 1:
            break
        found = ascending(float(f"{factor * step:.15g}") for factor in np.arange(first, last + 1))
    return found


def ascending(edges: Iterable[float]) -> tuple[float, ...]:
    """In order, each once."""
    return tuple(sorted(set(edges)))


def roundest(low: float, high: float) -> float:
    """The number in [low, high] with the fewest digits, preferring 1, 2 and 5; `low` where the two are almost one."""
    if low <= 0 <= high:
        return 0.0
    for step in _steps_down_to(max(abs(low), abs(high))):
        # Of several multiples the one nearest to the middle.
        found = float(f"{round((low / 2 + high / 2) / step) * step:.15g}")
        if low <= found <= high:
            return found
    return low


def _steps_down_to(scale: float) -> Iterator[float]:
    """1, 0.5, 0.2, 0.1, 0.05, … times the power of ten above `scale`, for twelve decimals."""
    exponent = int(np.floor(np.log10(scale))) + 1
    for power in range(exponent, exponent - 13, -1):
        for factor in (1, 0.5, 0.2):
            step = float(f"{factor}e{power}")
            if step == 0:  # next to the smallest number that there is
                return
            yield step


def categorical(name: str, values: Sequence[Any]) -> Categorical:
    """The most frequent values, and how many there are of all others together."""
    found = Counter(values)
    missing = sum(found.pop(value) for value in [value for value in found if is_missing(value)])
    by_text: Counter[str] = Counter()
    for value, count in found.items():
        by_text[text_of(value)] += count
    candidates = [pair for pair in by_text.items() if len(pair[0]) <= _LONGEST_CATEGORY and pair[0] != OTHER]
    kept = sorted(candidates, key=lambda pair: (-pair[1], pair[0]))[:MAX_CATEGORIES]
    counts = [count for _, count in kept]
    others = by_text.total() - sum(counts)
    return Categorical(name, tuple(text for text, _ in kept), (*counts, others), missing)


def scattered(found: Categorical) -> bool:
    """Its categories are not even half of the values: an identifier, or free text."""
    return found.counts[-1] > sum(found.counts[:-1])


def is_missing(value: Any) -> bool:
    """None, NaN, pandas' NA and NaT: only of NaN and NaT it is true that they are not equal to themselves."""
    return value is None or type(value).__name__ == "NAType" or value != value  # noqa: PLR0124


def text_of(value: Any) -> str:
    """A category as a label: booleans as JSON writes them."""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    return str(value)
