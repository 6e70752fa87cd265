"""One candidate on one kind of traffic: what both revisions answer in an interval, as expected and as drawn.

Requests are a Poisson process, and so are those of them that fail or are slow: independent ones, whose means add up.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from random import Random
from typing import NamedTuple

from millgate.gates.latency import HISTORY_SECONDS
from millgate.simulate.candidates import SEGMENTS, Candidate, Harm
from millgate.simulate.chance import clustered, poisson
from millgate.simulate.cluster import Cluster, Cohort, State
from millgate.simulate.counts import EDGES, Cell, Counts
from millgate.simulate.traffic import Traffic

LATENCY_BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The bounds of the serving image's latency histogram."""


class Group(NamedTuple):
    """Pods that became ready at the same time (Unix seconds), and their share of all requests."""

    ready: float
    share: float
    pods: int


class Flow(NamedTuple):
    """Who gets the requests. A baseline is pods of stable that are as young as the candidate's."""

    stable: Group
    candidate: tuple[Group, ...]
    baseline: tuple[Group, ...] = ()

    @property
    def share(self) -> float:
        return sum(group.share for group in self.candidate)


class Side(NamedTuple):
    """What one set of pods answered, those that became ready at different times kept apart."""

    ready: float
    counts: Counts


class Sample(NamedTuple):
    """An interval (Unix seconds). `harmed`: how many more answers than stable's were to be expected to be bad."""

    start: float
    end: float
    stable: tuple[Side, ...]
    candidate: tuple[Side, ...]
    baseline: tuple[Side, ...]
    harmed: float
    dark: bool


class Means(NamedTuple):
    """The expectations behind `Counts`: by segment, errors and other answers by which bounds they exceed.

    `harm`: how many more answers than stable's are bad for those who get them. Over rollouts, whenever they end, the
    mean of these expectations is that of the numbers themselves (Doob's optional stopping), and scatters less.
    """

    ready: float
    pods: int
    cells: tuple[tuple[float, tuple[float, ...]], ...]
    shape: tuple[float, ...]
    harm: float


@dataclass(frozen=True)
class Detail:
    """What has to be told apart, for some gate asks for it: pods by age, segments, predictions."""

    by_age: bool = False
    by_segment: bool = False
    predictions: bool = False


Expected = tuple[tuple[Means, ...], tuple[Means, ...], tuple[Means, ...]]


@dataclass(eq=False)
class Scene:
    """The world of one candidate. `began`: when its first request comes (Unix seconds).

    `compared_seconds`: how long the policy plans to compare, the unit of a candidate's `phase`.
    """

    cluster: Cluster
    traffic: Traffic
    candidate: Candidate
    compared_seconds: float
    began: float
    detail: Detail = Detail()
    _flows: dict[State, Flow] = field(default_factory=dict)
    _expectations: dict[tuple[Flow, float, float, tuple[float, ...]], Expected] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._cluster_size = max(self.traffic.cluster_size, self.candidate.cluster_size)

    def phase(self, unix_seconds: float) -> float:
        """How far the time in which the policy compares has gone by: 0 at its begin, 1 at its planned end."""
        return (unix_seconds - self.began) / self.compared_seconds

    def flow(self, state: State) -> Flow:
        found = self._flows.get(state)
        if found is None:
            found = self._flows[state] = self._flow(state)
        return found

    def _flow(self, state: State) -> Flow:
        mine, theirs = self.cluster.candidate.hash, self.cluster.stable.hash
        both = len(state.route) > 1
        stable = state.workloads[theirs].cohorts if theirs in state.route and theirs in state.workloads else ()
        young = state.workloads[mine].cohorts if mine in state.route and mine in state.workloads else ()
        # A route that is pinned to one revision leaves the baseline out.
        fresh = state.baselines[theirs].cohorts if both and theirs in state.baselines else ()
        total = sum(cohort.pods for cohort in (*stable, *young, *fresh))
        old = sum(cohort.pods for cohort in stable)
        return Flow(
            Group(-math.inf, old / total if total else 0.0, old), self._groups(young, total), self._groups(fresh, total)
        )

    def _groups(self, cohorts: Sequence[Cohort], total: int) -> tuple[Group, ...]:
        groups = tuple(Group(one.ready_at.timestamp(), one.pods / total, one.pods) for one in cohorts)
        apart = self.detail.by_age or self.candidate.cold_seconds is not None or len(groups) < 2
        return groups if apart else _one(groups)

    def draw(self, random: Random, pieces: Sequence[tuple[float, float, Flow]], bounds: tuple[float, ...]) -> Sample:
        """The numbers of one interval. `pieces`: from when to when (Unix seconds) the traffic flowed in which way."""
        stable: list[Side] = []
        candidate: list[Side] = []
        baseline: list[Side] = []
        harmed = 0.0
        for start, end, flow in pieces:
            for expected, side in zip(
                self._expected(flow, start, end, bounds), (stable, candidate, baseline), strict=True
            ):
                for means in expected:
                    side.append(Side(means.ready, self._counts(random, means)))
                    harmed += means.harm
        start, end = pieces[0][0], pieces[-1][1]
        dark = self.candidate.is_dark(self.phase(start)) or self.candidate.is_dark(self.phase(end))
        return Sample(start, end, tuple(stable), tuple(candidate), tuple(baseline), harmed, dark)

    def expected_harm(self, flow: Flow, start: float, end: float) -> float:
        """How many more bad answers than stable's are to be expected."""
        _, candidate, _ = self._expected(flow, start, end, ())
        return sum(means.harm for means in candidate)

    def past(self, random: Random, interval_seconds: int, bounds: tuple[float, ...]) -> list[Counts]:
        """Stable's hour before the rollout, by interval."""
        alone = Flow(Group(-math.inf, 1.0, 1), ())
        counts = []
        for number in range(HISTORY_SECONDS // interval_seconds, 0, -1):
            start = self.began - number * interval_seconds
            (means,), _, _ = self._expected(alone, start, start + interval_seconds, bounds)
            counts.append(self._counts(random, means))
        return counts

    def past_buckets(self, random: Random) -> list[tuple[str, float]]:
        """Stable's latency histogram over the same hour: cumulative counts by `le`."""
        requests = HISTORY_SECONDS * self.traffic.rate(-HISTORY_SECONDS / 2)
        edges = [1.0, *(self.traffic.slower_than(bound) for bound in LATENCY_BUCKETS_SECONDS), 0.0]
        counts = accumulate(poisson(random, requests * (above - below)) for above, below in pairwise(edges))
        bounds = (*(str(bound) for bound in LATENCY_BUCKETS_SECONDS), "+Inf")
        return [(bound, float(count)) for bound, count in zip(bounds, counts, strict=True)]

    def shipped(self) -> tuple[float, ...]:
        """The distribution of predictions that the candidate's model was shipped with: stable's own."""
        return tuple(100_000 * share for share in _buckets(0.0))

    def _counts(self, random: Random, means: Means) -> Counts:
        size, cells = self._cluster_size, []
        for expected_errors, expected_others in means.cells:
            errors = clustered(random, expected_errors, size)
            # Those above the highest bound come last, and are slow by every bound.
            others = [poisson(random, mean) for mean in expected_others]
            slow = (others[1],) if len(others) == 2 else tuple(accumulate(reversed(others[1:])))[::-1]
            cells.append(Cell(errors + sum(others), errors, slow))
        shape = tuple([poisson(random, mean) for mean in means.shape]) if means.shape else ()
        return Counts(tuple(cells), shape, means.pods)

    def _expected(self, flow: Flow, start: float, end: float, bounds: tuple[float, ...]) -> Expected:
        key = (flow, start, end, bounds)
        found = self._expectations.get(key)
        if found is None:
            middle = (start + end) / 2
            requests = self.traffic.rate(middle - self.began) * (end - start)
            stable = (flow.stable,) if flow.stable.pods else ()
            found = self._expectations[key] = (
                tuple(self._of_pods(group, requests, middle, bounds, is_candidate=False) for group in stable),
                tuple(self._of_pods(group, requests, middle, bounds, is_candidate=True) for group in flow.candidate),
                tuple(self._of_pods(group, requests, middle, bounds, is_candidate=False) for group in flow.baseline),
            )
        return found

    def _of_pods(
        self, group: Group, requests: float, middle: float, bounds: tuple[float, ...], *, is_candidate: bool
    ) -> Means:
        phase, candidate = self.phase(middle), self.candidate
        bad = candidate.is_bad(phase, middle - group.ready, is_candidate=is_candidate)
        base = self.traffic.errors(middle - self.began) * (candidate.weather(phase) if phase >= 0 else 1.0)
        slowness = candidate.latency if bad else 1.0
        above = [1.0, *(self.traffic.slower_than(bound, slowness) for bound in bounds), 0.0]
        cells = []
        segments = SEGMENTS if self.detail.by_segment else {"": 1.0}
        for name, part in segments.items():
            mine = requests * group.share * part
            errors = mine * min(1.0, base * (candidate.error_factor(name) if bad else 1.0))
            others = tuple((mine - errors) * (high - low) for high, low in pairwise(above))
            cells.append((errors, others))
        shape = _buckets(candidate.shift if bad else 0.0) if self.detail.predictions else ()
        sent = requests * group.share
        harm = 0.0
        if bad and is_candidate:
            usual = sum(sent * part * min(1.0, base) for part in segments.values())
            harm = self._harm(sent, sum(errors for errors, _ in cells) - usual)
        predicted = tuple(sent * share for share in shape)
        return Means(group.ready, group.pods, tuple(cells), predicted, harm)

    def _harm(self, requests: float, more_errors: float) -> float:
        candidate, traffic = self.candidate, self.traffic
        match candidate.harm:
            case Harm.FAILED:
                return more_errors
            case Harm.SLOW:
                bound = traffic.slow_bound(0.99)
                return requests * (traffic.slower_than(bound, candidate.latency) - traffic.slower_than(bound))
            case Harm.SHIFTED:
                return requests


def _one(groups: tuple[Group, ...]) -> tuple[Group, ...]:
    """Pods that nobody tells apart."""
    return (
        Group(
            min(group.ready for group in groups),
            sum(group.share for group in groups),
            sum(group.pods for group in groups),
        ),
    )


def _buckets(shift: float) -> tuple[float, ...]:
    """The shares of a normal distribution, moved by so many standard deviations, that fall between the edges."""
    below = [0.0, *(0.5 * math.erfc((shift - edge) / math.sqrt(2)) for edge in EDGES), 1.0]
    return tuple(high - low for low, high in pairwise(below))
