"""Segments: the bad one is found and named, and looking at twenty does not make more false alarms."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millgate.gates.counters import Arm
from millgate.gates.segments import MAX_SEGMENTS, MIN_REQUESTS, REST, Segment, Segments, chosen

GOOD = (Arm(1000, 10), Arm(9000, 90))
BAD = (Arm(1000, 100), Arm(9000, 90))


@given(st.dictionaries(st.text(max_size=5), st.floats(min_value=0, max_value=1e6), max_size=40))
def test_the_busiest_values_get_segments_of_their_own_and_the_others_share_one(requests: dict[str, float]) -> None:
    names = chosen(requests)
    assert len(names) <= MAX_SEGMENTS
    assert names[-1] == REST
    left_out = set(requests) - set(names)
    assert all(requests[name] >= requests[other] for name in names[:-1] if name in requests for other in left_out)


def test_values_that_had_no_request_have_no_segment() -> None:
    assert chosen({"a": 3.0, "b": 0.0, "c": 5.0}) == ("c", "a", REST)


def test_the_bad_segment_is_named() -> None:
    segments = Segments.of(["a", "b", REST]).with_interval({"a": GOOD, "b": BAD}, 1.2, 1.0)
    assert segments.worst is not None
    assert segments.worst.name == "b"
    assert segments.worst.candidate == BAD[0]
    assert segments.log_e > math.log(100)


def test_evidence_is_the_mean_of_the_segments() -> None:
    segments = Segments.of(["a", "b", REST]).with_interval({"a": GOOD, "b": BAD}, 1.2, 1.0)
    each = [math.exp(segment.log_e) for segment in segments.found]
    assert segments.log_e == pytest.approx(math.log(sum(each) / 3))


def test_a_value_without_a_segment_counts_among_the_rest() -> None:
    segments = Segments.of(["a", REST]).with_interval({"a": GOOD, "new": GOOD, "newer": BAD}, 1.2, 1.0)
    rest = segments.found[1]
    assert (rest.candidate, rest.stable) == (Arm(2000, 110), Arm(18000, 180))


def test_without_a_place_for_the_rest_it_is_left_out() -> None:
    segments = Segments.of(["a"]).with_interval({"new": BAD}, 1.2, 1.0)
    assert segments.found == (Segment("a"),)


def test_a_segment_with_few_requests_is_skipped_and_listed() -> None:
    few = (Arm(50, 50), Arm(MIN_REQUESTS - 51, 0))
    segments = Segments.of(["a", "b", REST]).with_interval({"a": GOOD, "b": few}, 1.2, 1.0)
    assert segments.skipped == ("b",)
    assert segments.found[1].log_e == 0.0
    assert segments.worst is not None
    assert segments.worst.name == "a"


def test_what_a_skipped_segment_saw_is_not_lost() -> None:
    few = (Arm(50, 40), Arm(MIN_REQUESTS - 51, 0))
    segments = Segments.of(["a"]).with_interval({"a": few}, 1.2, 1.0)
    assert segments.worst is None
    assert segments.with_interval({"a": (Arm(0, 0), Arm(1, 0))}, 1.2, 1.0).log_e > math.log(100)


@settings(max_examples=8, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0.02, 0.9), st.integers(20, 400), st.lists(st.floats(0.002, 0.2), min_size=4, max_size=4)),
        min_size=2,
        max_size=12,
    ),
    st.integers(0, 2**32),
)
def test_a_candidate_that_is_within_the_margin_in_every_segment_seldom_crosses(
    intervals: list[tuple[float, int, list[float]]], seed: int
) -> None:
    """Segments of different error rates and weights that change; those below the minimum of requests come and go."""
    random, runs, alpha, rho = np.random.default_rng(seed), 120, 0.05, 1.2
    values, crossed = [], 0
    for _ in range(runs):
        segments, highest = Segments.of(["a", "b", "c", "d"]), 0.0
        for weight, requests, rates in intervals:
            arms = {}
            for name, rate in zip("abcd", rates, strict=True):
                mine = int(random.binomial(requests, weight))
                one = Arm(mine, float(random.binomial(mine, rho * rate)))
                arms[name] = (one, Arm(requests - mine, float(random.binomial(requests - mine, rate))))
            segments = segments.with_interval(arms, rho, 1.0)
            highest = max(highest, segments.log_e)
        values.append(math.exp(segments.log_e))
        crossed += highest >= -math.log(alpha)
    assert np.mean(values) <= 1 + 5 * np.std(values) / math.sqrt(runs) + 1e-9
    assert crossed / runs <= alpha + 4 * math.sqrt(alpha * (1 - alpha) / runs)
