"""From raw counters on a grid to what happened between two points, pod by pod, for the pods of each revision.

The rules are those of facts/gates.md 2.1. `increase()` and `rate()` of Prometheus are not used: they extrapolate, they
lose the first sample of every series, and a series that is born at its first error always loses that error.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Generic, Protocol, TypeVar

TAG = "millgate_counter"
"""The label that a query puts on series which a user's selector found: their names alone do not tell what they are."""
TAG_MARK = ":"
"""Stands in the tag of a user's selector. Tags without it only keep the parts of a query apart."""


class CounterSeries(Protocol):
    """A counter as it was read: labels, and (Unix seconds, value) at points of the grid."""

    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def samples(self) -> Sequence[tuple[float, float]]: ...


def family_of(labels: Mapping[str, str]) -> str:
    """What a series is: the tag that a query put on it, else its metric."""
    tag = labels.get(TAG, "")
    return tag if TAG_MARK in tag else labels.get("__name__", "")


Key = tuple[str, ...]
"""What one counter of a pod counts, in the words of what reads it: ('whole', 'tenant-a'), ('score', '0.5')."""
Deltas = Mapping[Key, float]
A = TypeVar("A")


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


class Reads(Protocol[A]):
    """Which counters a gate reads, and what they make: see `millgate.gates.measures`."""

    @property
    def families(self) -> Sequence[str]:
        """The metrics, or the tags of a user's selectors, whose series it reads."""
        ...

    @property
    def by_pod(self) -> bool:
        """Pods' names tell the revision; else the label `revision` does."""
        ...

    def key(self, labels: Mapping[str, str]) -> Key | None:
        """What a series of its families counts; None where it is not read."""
        ...

    def proves(self, key: Key) -> bool:
        """A pod with a sample of this counter was scraped; what it lacks beside was zero."""
        ...

    def place(self, labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        """The labels that say where a series was scraped: a pod that is scraped twice has two of them."""
        ...

    def arm(self, deltas: Deltas, present: Mapping[Key, int]) -> A | None:
        """What a pod did, from the increases of its counters and how many series of each were there at the end."""
        ...

    def total(self, arms: Sequence[A]) -> A:
        """What several pods did together."""
        ...


@dataclass(frozen=True)
class Owner:
    """A revision as its series name it. `workload_name`: its Deployment, after which its pods are named."""

    hash: str
    workload_name: str = ""

    @cached_property
    def pod_pattern(self) -> str:
        return f"{re.escape(self.workload_name)}-[a-z0-9]+-[a-z0-9]+"

    def owns(self, labels: Mapping[str, str], *, by_pod: bool) -> bool:
        if by_pod:
            return re.fullmatch(self.pod_pattern, labels.get("pod", "")) is not None
        return labels.get("revision", "") == self.hash


@dataclass(frozen=True)
class Interval(Generic[A]):
    """Between two neighbouring grid points (Unix seconds). An arm of which nothing fresh was read is None.

    `stable` is the side that the candidate is held against. `pods`: how many of (candidate, stable) were counted.
    `cold`: a pod was there and left out, because it had not been seen for long enough.
    """

    start: int
    end: int
    candidate: A | None
    stable: A | None
    pods: tuple[int, int] = (0, 0)
    cold: bool = False


Seen = Mapping[str, int]
"""The point of the grid (Unix seconds) at which each pod was first seen."""
NO_PODS: Seen = {}


@dataclass
class _Target:
    """The series of one pod as one scrape target shows them, by point of the grid."""

    counters: dict[Key, list[Mapping[int, float]]] = field(default_factory=dict)
    proofs: list[Mapping[int, float]] = field(default_factory=list)

    def knows(self, point: int) -> bool:
        return any(point in values for values in self.proofs)

    def between(self, reads: Reads[A], start: int, end: int) -> A | None:
        """What was counted, or None when this target cannot say it.

        A pod that was not there at `start` is only taken note of: its requests and its events are left out alike.
        """
        if not (self.knows(start) and self.knows(end)):
            return None
        deltas = {key: sum(_delta(values, start, end) for values in several) for key, several in self.counters.items()}
        present = {key: sum(end in values for values in several) for key, several in self.counters.items()}
        return reads.arm(deltas, present)

    def at(self, reads: Reads[A], point: int) -> A | None:
        totals = {key: sum(values.get(point, 0.0) for values in several) for key, several in self.counters.items()}
        return reads.arm(totals, {})


_Pods = dict[str, dict[tuple[tuple[str, str], ...], _Target]]


class Answer:
    """What Prometheus said, sorted by what a series is, so that each gate looks at its own alone."""

    def __init__(self, series: Iterable[CounterSeries]) -> None:
        self._families: dict[str, list[tuple[CounterSeries, Mapping[int, float]]]] = defaultdict(list)
        for one in series:
            values = {round(time): value for time, value in one.samples if math.isfinite(value)}
            self._families[family_of(one.labels)].append((one, values))

    def table(self, reads: Reads[A], *, candidate: Owner, reference: Owner) -> "Table[A]":
        sides: tuple[_Pods, _Pods] = ({}, {})
        for family in reads.families:
            for series, values in self._families.get(family, ()):
                labels = series.labels
                key = reads.key(labels)
                side = next(
                    (i for i, owner in enumerate((candidate, reference)) if owner.owns(labels, by_pod=reads.by_pod)),
                    None,
                )
                if key is None or side is None:
                    continue
                pod = labels.get("pod") or labels.get("instance", "")
                target = sides[side].setdefault(pod, {}).setdefault(reads.place(labels), _Target())
                target.counters.setdefault(key, []).append(values)
                if reads.proves(key):
                    target.proofs.append(values)
        return Table(reads, *sides)


class Table(Generic[A]):
    """The counters of one gate: by side, pod and scrape target."""

    def __init__(self, reads: Reads[A], candidate: _Pods, reference: _Pods) -> None:
        self._reads = reads
        self._sides = (candidate, reference)

    def seen(self, points: Sequence[int], known: Seen) -> Seen:
        """When each pod was first seen, `known` being what was seen before these points."""
        found = dict(known)
        for side, pods in zip(("candidate", "reference"), self._sides, strict=True):
            for pod, targets in pods.items():
                name = f"{side}/{pod}"
                if name in found:
                    continue
                first = next((p for p in points if any(target.knows(p) for target in targets.values())), None)
                if first is not None:
                    found[name] = first
        return found

    def intervals(
        self, points: Sequence[int], *, seen: Seen = NO_PODS, warmup_seconds: int = 0
    ) -> Iterator[Interval[A]]:
        """What both sides did between each two neighbouring `points`.

        With `warmup_seconds` a pod's counters are left out of intervals that begin before it has been seen so long.
        """
        for start, end in pairwise(points):
            # Pods that came only later are no matter: read live, nothing was known of them.
            cold = {
                pod for pod, first in seen.items() if warmup_seconds and first <= end and start - first < warmup_seconds
            }
            (candidate, counted), (reference, held) = (
                self._arm(side, pods, start, end, cold)
                for side, pods in zip(("candidate", "reference"), self._sides, strict=True)
            )
            yield Interval(start, end, candidate, reference, (counted, held), cold=bool(cold))

    def standing(self, point: int) -> A | None:
        """What the counters of a pod of the candidate stand at, for those that never change."""
        for _, targets in sorted(self._sides[0].items()):
            for _, target in sorted(targets.items()):
                if target.knows(point):
                    return target.at(self._reads, point)
        return None

    def _arm(self, side: str, pods: _Pods, start: int, end: int, cold: set[str]) -> tuple[A | None, int]:
        warm = (targets for pod, targets in pods.items() if f"{side}/{pod}" not in cold)
        arms = [arm for targets in warm if (arm := self._pod(targets, start, end)) is not None]
        return (self._reads.total(arms) if arms else None), len(arms)

    def _pod(self, targets: Mapping[tuple[tuple[str, str], ...], _Target], start: int, end: int) -> A | None:
        """A pod that is scraped twice (two jobs, two replicas of Prometheus behind a proxy) counts once."""
        for place in sorted(targets):
            arm = targets[place].between(self._reads, start, end)
            if arm is not None:
                return arm
        return None


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
