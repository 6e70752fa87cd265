"""Counters on a grid: every rule of facts/gates.md 2.1 for reading them."""

import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millgate.gates.counters import Answer, Arm, Interval, Owner
from millgate.gates.measures import Counter as Of
from millgate.gates.measures import Measure, SegmentMeasure

ERRORS = Measure(Of("requests"), Of("errors"))
SLOW = Measure(Of("count"), Of("bucket", "0.25"), complement=True)


@dataclass(frozen=True)
class Counter:
    """A counter as a table writes it: None where Prometheus had no fresh sample."""

    name: str
    values: tuple[float | None, ...]
    pod: str = "a"
    revision: str = "new"
    more: dict[str, str] = field(default_factory=dict)

    @property
    def labels(self) -> dict[str, str]:
        own = {"__name__": self.name, "revision": self.revision, "namespace": "ns"}
        return {**own, **({"pod": self.pod} if self.pod else {}), **self.more}

    @property
    def samples(self) -> tuple[tuple[float, float], ...]:
        return tuple((10.0 * index, value) for index, value in enumerate(self.values) if value is not None)


def read(series: list[Counter], measure: Measure = ERRORS, points: int = 2) -> list[Interval[Arm]]:
    table = Answer(series).table(measure, candidate=Owner("new"), reference=Owner("old"))
    return [replace(one, pods=(0, 0)) for one in table.intervals(range(0, 10 * points, 10))]


def errors(*values: float | None, **more: str) -> Counter:
    return Counter("errors", values, more=more)


def requests(*values: float | None, **more: str) -> Counter:
    return Counter("requests", values, more=more)


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        ([requests(10, 30), errors(1, 2)], Arm(20, 1)),
        ([requests(10, 10), errors(1, 1)], Arm(0, 0)),
        ([requests(10, 30)], Arm(20, 0)),
        ([requests(10, 30), errors(None, 3)], Arm(20, 3)),
        ([requests(10, 30), errors(3, None)], Arm(20, 0)),
        ([requests(10, 4), errors(5, 1)], Arm(4, 1)),
        ([requests(None, 50), errors(None, 7)], None),
        ([requests(10, None), errors(1, None)], None),
        ([errors(1, 2)], None),
        ([], None),
        ([requests(10, 20, code="200"), requests(None, 5, code="500"), errors(0, 5)], Arm(15, 5)),
        ([requests(10, 20, segment="DE"), requests(5, 12, segment="FR"), errors(0, 3, segment="FR")], Arm(17, 3)),
        ([requests(10, 20), Counter("requests", (10.0, 25.0), pod="b"), errors(0, 1)], Arm(25, 1)),
        ([requests(10, 20), Counter("requests", (None, 900.0), pod="b"), errors(0, 1)], Arm(10, 1)),
        ([requests(10, float("nan")), errors(0, 1)], None),
        ([requests(10, 20), errors(0, 50)], Arm(10, 10)),
        ([Counter("requests", (10.0, 20.0), pod="", more={"instance": "1.2.3.4:80"})], Arm(10, 0)),
        ([Counter("requests", (10.0, 20.0), revision="older")], None),
        ([Counter("other_total", (10.0, 20.0))], None),
    ],
    ids=[
        "increases",
        "nothing happened",
        "no error series: no errors",
        "an error series born late began at zero, for its pod was known",
        "an error series that is gone says nothing",
        "a reset counts from zero",
        "a pod seen for the first time is only taken note of",
        "a pod that is not seen any more says nothing",
        "errors of a pod whose requests are unknown",
        "no series",
        "a status code seen for the first time",
        "the model server's own segments are summed up",
        "pods are summed up",
        "a second pod's first sight does not touch the first pod",
        "NaN is no sample",
        "errors cannot exceed requests",
        "without pod labels the instance stands for the pod",
        "another revision's counters have no vote",
        "another metric has no vote",
    ],
)
def test_what_a_revision_did_between_two_points(series: list[Counter], expected: Arm | None) -> None:
    assert read(series) == [Interval(0, 10, expected, None)]


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        ([Counter("count", (10.0, 30.0)), Counter("bucket", (9.0, 25.0), more={"le": "0.25"})], Arm(20, 4)),
        ([Counter("count", (10.0, 30.0)), Counter("bucket", (9.0, 29.0), more={"le": "0.25"})], Arm(20, 0)),
        ([Counter("count", (10.0, 30.0)), Counter("bucket", (9.0, 25.0), more={"le": "0.5"})], None),
        ([Counter("count", (10.0, 30.0)), Counter("bucket", (9.0, None), more={"le": "0.25"})], None),
        ([Counter("count", (10.0, 3.0)), Counter("bucket", (9.0, 2.0), more={"le": "0.25"})], Arm(3, 1)),
    ],
    ids=["slow ones are the rest", "all fast", "the bucket is missing: unknown, not slow", "it is gone", "a reset"],
)
def test_slow_requests_are_all_but_the_bucket(series: list[Counter], expected: Arm | None) -> None:
    assert read(series, SLOW) == [Interval(0, 10, expected, None)]


def test_a_gap_is_no_evidence_and_is_not_made_up_for_later() -> None:
    series = [requests(10, 30, None, 90, 100), errors(0, 0, None, 60, 60)]
    assert [one.candidate for one in read(series, points=5)] == [Arm(20, 0), None, None, Arm(10, 0)]


@pytest.mark.parametrize("label", ["job", "prometheus_replica", "endpoint"])
def test_a_pod_that_is_scraped_twice_counts_once(label: str) -> None:
    twice = [
        Counter(name, values, more={label: where})
        for name, values in (("requests", (10.0, 30.0)), ("errors", (0.0, 2.0)))
        for where in ("one", "two")
    ]
    assert read(twice)[0].candidate == Arm(20, 2)


def test_when_one_of_two_scrapes_fails_the_other_one_counts() -> None:
    series = [requests(10, None, job="one"), requests(11, 31, job="two"), errors(0, 3, job="two")]
    assert read(series)[0].candidate == Arm(20, 3)


OWN = Measure(Of("own:hits"), Of("own:failures"), by_pod=True)
PODS = (Owner("new", "fraud-new"), Owner("old", "fraud-old"))


@dataclass(frozen=True)
class Tagged:
    """A series that a user's selector found."""

    tag: str
    values: tuple[float, ...]
    more: dict[str, str]

    @property
    def labels(self) -> dict[str, str]:
        return {"__name__": "http_requests_total", "millgate_counter": self.tag, "namespace": "ns", **self.more}

    @property
    def samples(self) -> tuple[tuple[float, float], ...]:
        return tuple((10.0 * index, value) for index, value in enumerate(self.values))


def test_other_labels_of_another_servers_series_are_its_own_business() -> None:
    """Two methods are two counters of one pod, and both count; two scrapes of one method count once."""
    pod = "fraud-new-5d8f7-x2x4z"
    series = [
        Tagged("own:hits", (10, 20), {"pod": pod, "method": "GET", "job": "one"}),
        Tagged("own:hits", (10, 25), {"pod": pod, "method": "PUT", "job": "one"}),
        Tagged("own:hits", (10, 25), {"pod": pod, "method": "PUT", "job": "two"}),
        Tagged("own:failures", (0, 3), {"pod": pod, "method": "PUT", "code": "500", "job": "one"}),
        Tagged("own:failures", (0, 9), {"pod": "fraud-new-more-5d8f7-x2x4z", "method": "PUT", "job": "one"}),
    ]
    table = Answer(series).table(OWN, candidate=PODS[0], reference=PODS[1])
    (interval,) = table.intervals([0, 10])
    assert interval.candidate == Arm(25, 3)
    assert interval.stable is None


def test_what_one_series_is_for_one_gate_is_no_matter_for_another() -> None:
    """The same series, found by two selectors, comes twice: once for each."""
    both = [Tagged(tag, (10, 20), {"pod": "fraud-new-5d8f7-x2x4z"}) for tag in ("own:hits", "own:failures", "own:x")]
    (interval,) = Answer(both).table(OWN, candidate=PODS[0], reference=PODS[1]).intervals([0, 10])
    assert interval.candidate == Arm(10, 10)


def test_segments_are_counted_apart_and_a_series_without_the_label_is_one_of_them() -> None:
    series = [
        requests(10, 30, tenant="a"),
        requests(10, 15, tenant="b"),
        requests(10, 11),
        errors(1, 2, tenant="a"),
        errors(None, 4, tenant="b"),
    ]
    table = Answer(series).table(SegmentMeasure(ERRORS, "tenant"), candidate=Owner("new"), reference=Owner("old"))
    (interval,) = table.intervals([0, 10])
    assert interval.candidate == {"a": Arm(20, 1), "b": Arm(5, 4), "": Arm(1, 0)}


@given(st.integers(min_value=0, max_value=2**32), st.integers(min_value=0, max_value=60), st.data())
def test_who_is_warm_is_the_same_however_the_points_are_read(seed: int, warmup: int, data: st.DataObject) -> None:
    """A pod is left out until it has been seen for as long, whether that was read live or again."""
    dice = random.Random(seed)
    series = []
    for pod in range(4):
        born = dice.randrange(6)
        values = tuple(None if index < born or dice.random() < 0.2 else 10.0 * index for index in range(12))
        series.append(Counter("requests", values, pod=str(pod), revision="old" if pod == 0 else "new"))
    table = Answer(series).table(ERRORS, candidate=Owner("new"), reference=Owner("old"))
    points = range(0, 120, 10)
    at_once = list(table.intervals(points, seen=table.seen(points, {}), warmup_seconds=warmup))
    cuts = sorted(data.draw(st.sets(st.sampled_from(points[1:-1]), max_size=4)))
    piecewise: list[Interval[Arm]] = []
    seen: Mapping[str, int] = {}
    for first, last in itertools.pairwise([0, *cuts, 110]):
        part = range(first, last + 1, 10)
        seen = table.seen(part, seen)
        piecewise += table.intervals(part, seen=seen, warmup_seconds=warmup)
    assert piecewise == at_once
    assert all(one.candidate is None for one in at_once if one.end < warmup)


def test_both_revisions_are_read_from_the_same_answer() -> None:
    series = [requests(0, 5), Counter("requests", (0.0, 95.0), revision="old", pod="b")]
    assert read(series) == [Interval(0, 10, Arm(5, 0), Arm(95, 0))]


@given(st.integers(min_value=0, max_value=2**32), st.integers(min_value=1, max_value=5))
def test_with_a_pod_that_restarts_at_will_nothing_is_counted_twice_or_made_up(seed: int, pods: int) -> None:
    """What is counted is at most what happened, and all of it where no counter was lost between two points."""
    dice = random.Random(seed)
    happened, lost, series = 0, 0, []
    for pod in range(pods):
        values: list[float | None] = [0.0]
        for _ in range(8):
            before, after = dice.randrange(50), dice.randrange(50)
            happened += before + after
            restarts = dice.random() < 0.2
            value = (values[-1] or 0.0) + before
            if restarts and after < (values[-1] or 0.0):
                lost += before  # what the process counted before it ended, no scrape has seen
                value = 0.0
            elif restarts:
                value = values[-1] or 0.0  # a restart that cannot be seen: leave it out
                happened -= before
            values.append(value + after)
        series.append(Counter("requests", tuple(values), pod=str(pod)))
    counted = sum(one.candidate.requests for one in read(series, points=9) if one.candidate)
    assert counted == happened - lost
