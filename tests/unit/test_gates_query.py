"""A Query gate: one number inside its bounds passes, outside fails, and anything that is no number says so."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millgate.api.spec import Query
from millgate.gates.query import judge_readings, needs_earlier

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
    status = judge_readings("share", "half", query, [numbers], AT)
    assert (status.verdict.value, status.reason) == (verdict, reason)
    assert words in status.message
    assert status.last_check_time == AT


@pytest.mark.parametrize(("query", "limit"), [(UP_TO, "<= 0.5"), (AT_LEAST, ">= 99"), (BETWEEN, "-1 to 2.5")])
def test_the_limit_is_told_as_a_person_would_write_it(query: Query, limit: str) -> None:
    assert judge_readings("share", "half", query, [[1.0]], AT).limit == limit


THREE = Query(promql="x", max="0.5", consecutive=3)
OUT, IN, NOTHING, NAN, TWO = (0.9,), (0.1,), (), (float("nan"),), (0.9, 0.9)


@pytest.mark.parametrize(
    ("newest_first", "verdict", "reason", "words"),
    [
        ([OUT], "Inconclusive", "OutOfBounds", "(1 of 3 readings in a row)"),
        ([OUT, OUT], "Inconclusive", "OutOfBounds", "(2 of 3 readings in a row)"),
        ([OUT, OUT, OUT], "Fail", "OutOfBounds", "above 0.5 (3 of 3 readings in a row)"),
        ([OUT, OUT, OUT, OUT, OUT], "Fail", "OutOfBounds", "(3 of 3"),
        ([OUT, OUT, IN, OUT, OUT], "Inconclusive", "OutOfBounds", "(2 of 3"),
        ([IN, OUT, OUT, OUT], "Pass", "WithinBounds", "gave 0.1"),
        ([OUT, NOTHING, OUT, NAN, TWO, OUT], "Fail", "OutOfBounds", "(3 of 3"),
        ([OUT, NOTHING, NAN, OUT], "Inconclusive", "OutOfBounds", "(2 of 3"),
        ([NOTHING, OUT, OUT, OUT], "Inconclusive", "NoData", "gave nothing"),
        ([TWO, OUT, OUT, OUT], "Inconclusive", "AmbiguousResult", "2 series"),
    ],
    ids=str,
)
def test_only_so_many_readings_in_a_row_fail_and_what_cannot_be_read_neither_breaks_nor_adds(
    newest_first: list[tuple[float, ...]], verdict: str, reason: str, words: str
) -> None:
    status = judge_readings("share", "half", THREE, newest_first, AT)
    assert (status.verdict.value, status.reason) == (verdict, reason)
    assert words in status.message


readings = st.lists(st.sampled_from([OUT, IN, NOTHING, NAN, TWO]), min_size=1, max_size=12)


@given(readings, readings, st.integers(min_value=1, max_value=5))
def test_what_is_not_needed_changes_nothing(
    known: list[tuple[float, ...]], earlier: list[tuple[float, ...]], consecutive: int
) -> None:
    query = Query(promql="x", max="0.5", consecutive=consecutive)
    if not needs_earlier(query, known):
        whole = judge_readings("share", "half", query, [*known, *earlier], AT)
        assert judge_readings("share", "half", query, known, AT) == whole


@given(readings)
def test_one_reading_out_of_bounds_fails_where_no_row_is_asked_for(known: list[tuple[float, ...]]) -> None:
    failed = judge_readings("share", "half", UP_TO, known, AT).verdict.value == "Fail"
    assert failed == (known[0] == OUT)
