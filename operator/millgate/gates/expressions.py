"""The PromQL that reads a rollout's counters: all of its gates in one query.

Every selector names the namespace and the revisions, so that no other model's and no older pod's counters can vote.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from millgate.gates.counters import TAG, TAG_MARK, Owner
from millgate.gates.latency import HISTORY_SECONDS
from millgate.gates.measures import Measure, SegmentMeasure
from millgate.gates.presets import DURATION_BUCKET, Reads, Wanted
from millgate.gates.selectors import any_of, narrowed, quoted
from millgate.gates.shapes import ShapeMeasure


@dataclass(frozen=True)
class Scope:
    """Whose counters are read."""

    namespace: str
    owners: tuple[Owner, ...]


def counters_expression(scope: Scope, reads: Iterable[Reads], wanted: Iterable[Wanted], fresh_seconds: int) -> str:
    """All counters of a rollout in one query: each one's last sample, if it is not older than `fresh_seconds`.

    An instant selector would go back five minutes, and would see markers of staleness that are written after the fact;
    `last_over_time` gives the same answer whenever it is asked, and keeps the name of the metric. What users' selectors
    find is tagged, since two of them may find the same series. Raises QueryRefusedError.
    """
    preset = [one for one in reads if not one.by_pod]
    exported = {"counts": _counts(scope, preset), "shapes": _shapes(scope, preset)}
    parts = {tag: selector for tag, selector in exported.items() if selector is not None} | _own(scope, wanted)
    return _joined({tag: f"last_over_time({selector}[{fresh_seconds}s])" for tag, selector in parts.items()})


def _own(scope: Scope, wanted: Iterable[Wanted]) -> dict[str, str]:
    """The user's selectors by tag. Raises QueryRefusedError."""
    return {
        one.tag: narrowed(one.selector, scope.namespace, scope.owners, suffix=one.suffix, le=one.le) for one in wanted
    }


def _counts(scope: Scope, reads: Iterable[Reads]) -> str | None:
    measures = [one.measure if isinstance(one, SegmentMeasure) else one for one in reads]
    shares = [one for one in measures if isinstance(one, Measure)]
    if not shares:
        return None
    names = sorted({family for one in shares for family in one.families})
    bounds = sorted({one.part.le for one in shares if one.part.le is not None})
    return _selector(scope, names, [f"le=~{quoted(any_of(['', *bounds]))}"])


def _shapes(scope: Scope, reads: Iterable[Reads]) -> str | None:
    names = sorted({family for one in reads if isinstance(one, ShapeMeasure) for family in one.families})
    return _selector(scope, names, []) if names else None


def _selector(scope: Scope, names: Sequence[str], more: Sequence[str]) -> str:
    matchers = [
        f"__name__=~{quoted(any_of(names))}",
        f"namespace={quoted(scope.namespace)}",
        f"revision=~{quoted(any_of([owner.hash for owner in scope.owners]))}",
        *more,
    ]
    return f"{{{','.join(matchers)}}}"


def _joined(parts: Mapping[str, str]) -> str:
    """Several expressions as one. `or` tells series apart by their labels alone, without the name: hence the tag."""
    if len(parts) == 1 and not any(TAG_MARK in tag for tag in parts):
        return next(iter(parts.values()))
    return " or ".join(f'label_replace({text},{quoted(TAG)},{quoted(tag)},"","")' for tag, text in parts.items())


def history_expression(scope: Scope, wanted: Iterable[Wanted], *, preset: bool) -> str:
    """How many requests stable answered within each latency bound, over the hour before; also by the user's histograms.

    Raises QueryRefusedError.
    """
    exported = {"latency": _selector(scope, [DURATION_BUCKET], [])} if preset else {}
    parts = exported | _own(scope, wanted)
    return _joined({tag: f"sum by (le) (increase({text}[{HISTORY_SECONDS}s]))" for tag, text in parts.items()})
