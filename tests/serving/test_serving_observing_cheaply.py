"""Requests are told of by many at a time, and by threads that let the event loop go first; none is left out."""

import os
import threading
from collections.abc import Sequence

import pytest

from millgate_serving.background import Background, in_background
from millgate_serving.exchange import Exchange
from millgate_serving.observed import Observed


def test_threads_behind_let_the_event_loop_go_first():
    """Only Linux has niceness by thread."""
    worked: list[int] = []

    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    buffer = Background("test", lambda _batch: worked.append(niceness()), limit=10, failed=pytest.fail)
    buffer.put(["x"], 1)
    buffer.close(20)

    def started() -> None:
        thread = threading.Thread(target=lambda: worked.append(niceness()))
        thread.start()
        thread.join()

    in_background(started)
    assert worked == [niceness() + 10] * 2


def test_sinks_are_told_of_all_requests_in_their_order_and_none_suffers_from_another():
    raised: list[Exception] = []
    told: list[int] = []

    def broken(_exchanges: Sequence[Exchange]) -> None:
        raise ZeroDivisionError

    observed = Observed(raised.append)
    for sink in (broken, lambda exchanges: told.extend(each.status for each in exchanges)):
        observed.join(sink)
    for number in range(10):
        observed.add(Exchange(0.0, "predict", number, "", "x", "", 1, 0, 0, 0, "", 0, 0))
    assert not observed.due
    observed.tell()
    observed.tell()
    assert told == list(range(10))
    assert len(raised) == 1


@pytest.mark.parametrize(
    ("rows", "size", "requests"), [(1, 10, 64), (0, 10, 64), (16, 10, 4), (100, 10, 1), (1, 1 << 19, 2)]
)
def test_what_waits_is_bounded_in_rows_and_in_bytes(rows, size, requests):
    observed = Observed(pytest.fail)
    for _ in range(requests):
        assert not observed.due
        observed.add(Exchange(0.0, "predict", 200, "", "x", "", rows, 0, 0, 0, "", size, 0))
    assert observed.due
