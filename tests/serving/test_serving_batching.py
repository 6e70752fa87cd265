"""Requests that are asked about together are answered as they would be apart, also when one of them is bad."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from serving_process import eventually

from millgate_serving.batching import Batching, _is_row_wise
from millgate_serving.validation import Layout


class Doubling:
    """Counts its calls, holds them until it is told, and knows no negative numbers."""

    layout = Layout((np.dtype(float),))
    outputs = ("doubled", "texts")

    def __init__(self) -> None:
        self.open, self.calls = threading.Event(), []

    def run(self, arrays):
        self.calls.append(len(arrays[0]))
        self.open.wait(20)
        if (arrays[0] < 0).any():
            raise ValueError("negative")
        return [("doubled", arrays[0] * 2), ("texts", [str(value) for value in arrays[0].tolist()])]


def asked(engine: Batching, requests: list[list[float]]) -> list[object]:
    """The first one alone, and while it runs all the others."""
    inner = engine._engine
    with ThreadPoolExecutor(len(requests)) as pool:
        answers = [pool.submit(engine.run, [np.array(requests[0])])]
        eventually(lambda: inner.calls)
        answers += [pool.submit(engine.run, [np.array(rows)]) for rows in requests[1:]]
        eventually(lambda: len(engine._waiting) == len(requests) - 1)
        inner.open.set()
        return [answer.exception() or answer.result() for answer in answers]


def test_who_comes_while_a_call_runs_is_asked_about_in_the_next_one():
    inner = Doubling()
    requests = [[float(number)] * (1 + number % 3) for number in range(12)]
    answers = asked(Batching(inner, 100), requests)
    for rows, outputs in zip(requests, answers, strict=True):
        assert dict(outputs)["doubled"].tolist() == [2 * value for value in rows]
        assert dict(outputs)["texts"] == [str(value) for value in rows]
    assert inner.calls == [1, sum(len(rows) for rows in requests[1:])]


def test_one_call_has_no_more_rows_than_it_may_but_a_request_is_never_divided():
    inner = Doubling()
    answers = asked(Batching(inner, 4), [[1.0], [1.0] * 3, [2.0] * 3, [3.0] * 9, [4.0]])
    assert [len(dict(outputs)["doubled"]) for outputs in answers] == [1, 3, 3, 9, 1]
    assert max(rows for rows in inner.calls if rows != 9) <= 4


def test_what_one_request_breaks_is_broken_for_nobody_else():
    inner = Doubling()
    answers = asked(Batching(inner, 100), [[1.0], [2.0], [-1.0], [3.0]])
    assert isinstance(answers[2], ValueError)
    assert [dict(answers[index])["doubled"].tolist() for index in (0, 1, 3)] == [[2.0], [4.0], [6.0]]


def test_requests_of_another_shape_are_not_mixed():
    inner = Doubling()
    engine = Batching(inner, 100)
    inner.open.set()
    for shape in ((1, 2), (1, 3), (2, 2)):
        assert engine.run([np.ones(shape)])[0][1].shape == shape


class Centring(Doubling):
    def run(self, arrays):
        return [("centred", arrays[0] - arrays[0].mean())]


class Summing(Doubling):
    def run(self, arrays):
        return [("sum", np.array([arrays[0].sum()]))]


@pytest.mark.parametrize(("make", "row_wise"), [(Doubling, True), (Centring, False), (Summing, False)])
def test_a_model_whose_answer_to_a_row_depends_on_the_others_is_found_out(make, row_wise):
    engine = make()
    engine.open.set()
    assert _is_row_wise(engine, [np.array([1.0, 5.0, 9.0])]) is row_wise
