"""Which part of the traffic a request belongs to, by the columns that a model declares as its segments.

The values come from the model's own files, never from a request, so that no client can make series.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from millgate_serving.constraints import Constraints
from millgate_serving.measured import Place
from millgate_serving.profile import Profile
from millgate_serving.signature import Column, Signature
from millgate_serving.summary import OTHER, Categorical, text_of
from millgate_serving.validation import Arrays, Layout

MAX_SEGMENTS: Final = 20
MIXED: Final = "__mixed__"
NOT_READ: Final = "__none__"
"""Of a request that was refused before its rows were known."""

_Key = Any


@dataclass(frozen=True, slots=True)
class _Values:
    """Those of one column, with how often training saw each; 1 where only an enumeration is known."""

    place: Place
    by_key: dict[_Key, tuple[str, int]]


class Segments:
    """`names` are all values that the label can have."""

    def __init__(self, columns: Sequence[_Values]) -> None:
        self._places = [column.place for column in columns]
        self._text_by_keys = _most_frequent(columns)
        self.names = (*self._text_by_keys.values(), OTHER, MIXED, NOT_READ)

    def of(self, arrays: Arrays) -> str:
        """Of several rows only where they agree."""
        keys: list[_Key] = []
        for place in self._places:
            array = arrays[place.array] if place.column is None else arrays[place.array][:, place.column]
            key = array.item(0)
            if len(array) > 1 and not (array == array[0]).all():
                return MIXED
            keys.append(key)
        try:
            return self._text_by_keys.get(tuple(keys), OTHER)
        except TypeError:  # no column of a signature holds what cannot be a key; were it so, nobody would be harmed
            return OTHER


def of_model(
    constraints: Constraints, signature: Signature, layout: Layout, profile: Profile | None
) -> Segments | None:
    """None where the model declares no segments."""
    if not constraints.segments:
        return None
    return Segments([_values(name, constraints, signature, layout, profile) for name in constraints.segments])


def _values(
    name: str, constraints: Constraints, signature: Signature, layout: Layout, profile: Profile | None
) -> _Values:
    number, column = next(pair for pair in enumerate(signature.columns) if pair[1].name == name)
    place = Place(0, number) if layout.matrix else Place(number, None)
    return _Values(place, _known(column, constraints, profile))


def _known(column: Column, constraints: Constraints, profile: Profile | None) -> dict[_Key, tuple[str, int]]:
    counts = _counts_in_training(column.name, profile)
    enum = constraints.of(column).enum
    if enum is None and column.type == "boolean":
        enum = (False, True)
    if enum is not None:
        return {value: (text_of(value), counts.get(text_of(value), 1)) for value in enum}
    whole = column.type in {"integer", "long"}
    return {int(text) if whole else text: (text, count) for text, count in counts.items()}


def _counts_in_training(name: str, profile: Profile | None) -> Mapping[str, int]:
    """Categories of a text; of whole numbers with few values each has a bucket of its own."""
    summary = next((one for one in profile.features if one.name == name), None) if profile else None
    if summary is None:
        return {}
    if isinstance(summary, Categorical):
        return dict(zip(summary.categories, summary.counts, strict=False))
    if summary.counts[-1] or not all(edge.is_integer() for edge in summary.edges):
        return {}  # buckets of many values, and not one for each
    return {str(int(edge)): count for edge, count in zip(summary.edges, summary.counts, strict=False)}


def _most_frequent(columns: Sequence[_Values]) -> dict[tuple[_Key, ...], str]:
    """At most 20; of several columns the combinations, the likeliest first, as if the columns were independent."""
    kept = [sorted(column.by_key.items(), key=lambda one: -one[1][1])[:MAX_SEGMENTS] for column in columns]
    combined = [
        (tuple(key for key, _ in parts), ",".join(text for _, (text, _) in parts), math.prod(n for _, (_, n) in parts))
        for parts in itertools.product(*kept)
    ]
    combined.sort(key=lambda one: -one[2])
    return {keys: text for keys, text, _ in combined[:MAX_SEGMENTS]}
