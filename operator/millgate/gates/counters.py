"""From raw counters on a grid to what happened between two points: requests and events of each revision.

The rules are those of facts/gates.md 2.1. `increase()` and `rate()` of Prometheus are not used: they extrapolate, they
lose the first sample of every series, and a series that is born at its first error always loses that error.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

OWN_LABELS = frozenset({"__name__", "model", "version", "revision", "code", "le"})
"""The labels that the model server gives its series. All others say where a series was scraped."""


class CounterSeries(Protocol):
    """A counter as it was read: labels, and (Unix seconds, value) at points of the grid."""

    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def samples(self) -> Sequence[tuple[float, float]]: ...


@dataclass(frozen=True)
class Measure:
    """Which counters make a share. With `complement` the part counts what did *not* happen (a bucket: not slower)."""

    whole: str
    part: str
    part_le: str | None = None
    complement: bool = False


@dataclass(frozen=True)
class Arm:
    """What one revision did in an interval: requests, and those of them that were events (errors, slow answers)."""

    requests: float
    events: float

    def __add__(self, other: "Arm") -> "Arm":
        return Arm(self.requests + other.requests, self.events + other.events)

    @property
    def share(self) -> float | None:
        return self.events / self.requests if self.requests > 0 else None


NOTHING = Arm(0.0, 0.0)


@dataclass(frozen=True)
class Interval:
    """Between two neighbouring grid points (Unix seconds). An arm of which nothing fresh was read is None."""

    start: int
    end: int
    candidate: Arm | None
    stable: Arm | None


@dataclass
class _Target:
    """The series of one pod as one scrape target shows them, by point of the grid."""

    whole: list[dict[int, float]] = field(default_factory=list)
    part: list[dict[int, float]] = field(default_factory=list)

    def knows(self, point: int) -> bool:
        return any(point in values for values in self.whole)

    def between(self, start: int, end: int, *, complement: bool) -> Arm | None:
        """What was counted, or None when this target cannot say it.

        A pod that was not there at `start` is only taken note of: its requests and its events are left out alike.
        """
        if not (self.knows(start) and self.knows(end)):
            return None
        if complement and _present(self.part, end) < _present(self.whole, end):
            return None  # a bucket that was not read is unknown, not zero: all requests would look slow
        whole = sum(_delta(values, start, end) for values in self.whole)
        part = sum(_delta(values, start, end) for values in self.part)
        return Arm(whole, min(whole, max(0.0, whole - part if complement else part)))


Pods = Mapping[str, Mapping[tuple[tuple[str, str], ...], _Target]]


def intervals(
    series: Iterable[CounterSeries],
    measure: Measure,
    points: Sequence[int],
    *,
    candidate: str,
    stable: str,
) -> Iterator[Interval]:
    """What both revisions did between each two neighbouring `points`. `candidate` and `stable` are revision hashes."""
    revisions = _by_revision(series, measure)
    for start, end in pairwise(points):
        yield Interval(
            start,
            end,
            _arm(revisions.get(candidate, {}), start, end, complement=measure.complement),
            _arm(revisions.get(stable, {}), start, end, complement=measure.complement),
        )


def _arm(pods: Pods, start: int, end: int, *, complement: bool) -> Arm | None:
    seen = [arm for targets in pods.values() if (arm := _pod(targets, start, end, complement=complement)) is not None]
    return sum(seen, NOTHING) if seen else None


def _pod(
    targets: Mapping[tuple[tuple[str, str], ...], _Target], start: int, end: int, *, complement: bool
) -> Arm | None:
    """A pod that is scraped twice (two jobs, two replicas of Prometheus behind a proxy) counts once."""
    for name in sorted(targets):
        arm = targets[name].between(start, end, complement=complement)
        if arm is not None:
            return arm
    return None


def _by_revision(series: Iterable[CounterSeries], measure: Measure) -> Mapping[str, Pods]:
    found: dict[str, dict[str, dict[tuple[tuple[str, str], ...], _Target]]] = defaultdict(lambda: defaultdict(dict))
    for one in series:
        name = one.labels.get("__name__")
        is_part = name == measure.part and (measure.part_le is None or one.labels.get("le") == measure.part_le)
        if name != measure.whole and not is_part:
            continue
        pod = one.labels.get("pod") or one.labels.get("instance", "")
        place = tuple(sorted((key, value) for key, value in one.labels.items() if key not in OWN_LABELS))
        target = found[one.labels.get("revision", "")][pod].setdefault(place, _Target())
        (target.part if is_part else target.whole).append(
            {round(time): value for time, value in one.samples if math.isfinite(value)}
        )
    return found


def _present(series: Sequence[Mapping[int, float]], point: int) -> int:
    return sum(point in values for values in series)


def _delta(values: Mapping[int, float], start: int, end: int) -> float:
    """The increase of one counter whose pod is known at both points.

    A value below the one before is a counter that began again at zero. A counter that was not there at `start` was
    zero then, since its pod was there; one that is gone at `end` says nothing.
    """
    after = values.get(end)
    if after is None:
        return 0.0
    before = values.get(start, 0.0)
    return after if after < before else after - before
