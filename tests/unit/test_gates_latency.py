"""Which requests count as slow: those above the bound that stable's quantile sets."""

import pytest

from millgate.gates.latency import Bound, first_bound, slow_above

COUNTS = [("0.1", 500.0), ("0.25", 985.0), ("0.5", 995.0), ("+Inf", 1000.0)]


@pytest.mark.parametrize(
    ("counts", "quantile", "expected"),
    [
        (COUNTS, 0.5, "0.1"),
        (COUNTS, 0.95, "0.25"),
        (COUNTS, 0.99, "0.5"),
        (COUNTS, 0.995, "0.5"),
        (COUNTS, 0.999, "0.5"),
        (list(reversed(COUNTS)), 0.95, "0.25"),
        ([("0.1", 50.0), ("+Inf", 99.0)], 0.5, None),
        ([("0.1", 500.0)], 0.5, None),
        ([("+Inf", 500.0)], 0.5, None),
        ([("0.1", float("nan")), ("+Inf", float("nan"))], 0.5, None),
        ([], 0.5, None),
    ],
    ids=[
        "median",
        "p95",
        "p99",
        "exactly reached",
        "above all finite bounds the largest serves",
        "in any order",
        "too few requests",
        "no total",
        "no finite bound",
        "NaN",
        "nothing",
    ],
)
def test_the_smallest_bound_that_the_quantile_does_not_exceed(
    counts: list[tuple[str, float]], quantile: float, expected: str | None
) -> None:
    assert slow_above(counts, quantile) == expected


def test_the_bound_is_known_from_the_first_moment_with_enough_requests() -> None:
    thin = [("0.1", 5.0), ("+Inf", 10.0)]
    assert first_bound([(30, COUNTS), (20, COUNTS), (10, thin)], 0.99) == Bound("0.5", 20)
    assert first_bound([(10, thin)], 0.99) is None
