"""The grid on which counters are read: whole seconds from the first step with traffic on, once they have settled."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millgate.gates.grid import SETTLE_SECONDS, Grid, grid_from

START = datetime(2026, 1, 2, 3, 4, 5, 250_000, tzinfo=UTC)
ANCHOR = int(START.timestamp()) + 1


def test_the_anchor_is_the_next_whole_second() -> None:
    assert grid_from(START, 15).anchor_seconds == ANCHOR
    assert grid_from(START.replace(microsecond=0), 15).anchor_seconds == ANCHOR - 1


@pytest.mark.parametrize(
    ("seconds_after_anchor", "expected"),
    [(-5, None), (0, None), (0.9, None), (1, 0), (15.9, 0), (16, 15), (46.5, 45)],
)
def test_a_point_is_read_once_it_has_settled(seconds_after_anchor: float, expected: int | None) -> None:
    now = datetime.fromtimestamp(ANCHOR, UTC) + timedelta(seconds=seconds_after_anchor)
    newest = Grid(ANCHOR, 15).newest(now)
    assert newest == (None if expected is None else ANCHOR + expected)


@given(st.floats(min_value=-100, max_value=1e6), st.integers(min_value=1, max_value=3600))
def test_the_next_look_finds_the_next_point(seconds: float, interval: int) -> None:
    grid = Grid(ANCHOR, interval)
    now = datetime.fromtimestamp(ANCHOR + seconds, UTC)
    following = grid.next_look(now)
    assert now.timestamp() < following <= max(now.timestamp(), ANCHOR) + interval + SETTLE_SECONDS
    before, after = grid.newest(now), grid.newest(datetime.fromtimestamp(following + 0.001, UTC))
    assert after == (ANCHOR if before is None else before + interval)
