"""The cache of answers: the same bytes get the same answer, and it never holds more than it may."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from millgate_serving.answers import Answers

LENGTH = b"inference-header-content-length"


def test_an_answer_is_that_of_the_same_bytes_read_in_the_same_way():
    keys = {
        Answers.key("predict", {}, b"body"),
        Answers.key("predict", {}, b"Body"),
        Answers.key("v2", {}, b"body"),
        Answers.key("v2", {LENGTH: b"2"}, b"body"),
        Answers.key("v2", {LENGTH: b"3"}, b"body"),
    }
    assert len(keys) == 5
    assert Answers.key("predict", {b"x-request-id": b"1"}, b"body") in keys


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2000), st.booleans()), max_size=200))
def test_it_never_holds_more_than_it_may_and_forgets_what_was_asked_longest_ago(steps):
    answers: Answers[int] = Answers(100_000)
    for name, length, objects in steps:
        key = str(name).encode()
        arrays = [np.zeros(length, object if objects else float)]
        answers.keep(key, name, arrays, [("predictions", np.zeros(1))], 10)
        assert answers.bytes <= 100_000
        found = answers.get(key)
        assert found is None or found[0] == name
    kept = [answers.get(str(name).encode()) for name in range(31)]
    if not any(kept):
        assert answers.bytes == 0


def test_what_was_asked_last_is_kept():
    answers: Answers[str] = Answers(40_000)
    for number in range(100):
        answers.keep(b"%d" % number, "", [np.zeros(100)], [], 0)
        answers.get(b"0")
    assert answers.get(b"0") is not None
    assert answers.get(b"99") is not None
    assert answers.get(b"50") is None


def test_one_large_answer_does_not_drive_out_the_others():
    answers: Answers[str] = Answers(100_000)
    answers.keep(b"small", "", [np.zeros(10)], [], 0)
    answers.keep(b"large", "", [np.zeros(2000)], [], 0)
    assert answers.get(b"small") is not None
    assert answers.get(b"large") is None
