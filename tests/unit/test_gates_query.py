"""A Query gate: one number inside its bounds passes, outside fails, and anything that is no number says so."""

from datetime import UTC, datetime

import pytest

from millgate.api.spec import Query
from millgate.gates.query import judge_numbers

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
UP_TO = Query(promql="x", max="0.5")
BETWEEN = Query(promql="x", min="-1", max="2.5")
AT_LEAST = Query(promql="x", min="99")


@pytest.mark.parametrize(
    ("query", "numbers", "verdict", "reason", "words"),
    [
        (UP_TO, [0.5], "Pass", "WithinBounds", "gave 0.5"),
        (UP_TO, [0.51], "Fail", "OutOfBounds", "above 0.5"),
        (UP_TO, [-1e9], "Pass", "WithinBounds", "gave -1e+09"),
        (AT_LEAST, [99.0], "Pass", "WithinBounds", "gave 99"),
        (AT_LEAST, [98.9], "Fail", "OutOfBounds", "below 99"),
        (BETWEEN, [-1.0], "Pass", "WithinBounds", "gave -1"),
        (BETWEEN, [-1.1], "Fail", "OutOfBounds", "below -1"),
        (BETWEEN, [2.6], "Fail", "OutOfBounds", "above 2.5"),
        (UP_TO, [], "Inconclusive", "NoData", "gave nothing"),
        (UP_TO, [float("nan")], "Inconclusive", "NoData", "gave nan"),
        (AT_LEAST, [float("nan")], "Inconclusive", "NoData", "gave nan"),
        (UP_TO, [float("inf")], "Inconclusive", "NoData", "gave inf"),
        (AT_LEAST, [float("-inf")], "Inconclusive", "NoData", "gave -inf"),
        (UP_TO, [0.1, 0.2], "Inconclusive", "AmbiguousResult", "2 series"),
    ],
)
def test_the_verdict_on_what_a_query_gave(
    query: Query, numbers: list[float], verdict: str, reason: str, words: str
) -> None:
    status = judge_numbers("share", "half", query, numbers, AT)
    assert (status.verdict.value, status.reason) == (verdict, reason)
    assert words in status.message
    assert status.last_check_time == AT


@pytest.mark.parametrize(("query", "limit"), [(UP_TO, "<= 0.5"), (AT_LEAST, ">= 99"), (BETWEEN, "-1 to 2.5")])
def test_the_limit_is_told_as_a_person_would_write_it(query: Query, limit: str) -> None:
    assert judge_numbers("share", "half", query, [1.0], AT).limit == limit
