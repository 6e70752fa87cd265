"""Where a model runs on the event loop: who waits for his turn, who is refused at once, and who is not kept from it."""

import asyncio
import contextlib
import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_http import connected, received
from serving_process import eventually, serving

from millgate_serving.app import App
from millgate_serving.asgi import BodyMemory
from millgate_serving.metrics import Metrics
from millgate_serving.overload import Overload
from millgate_serving.refusal import Refusal
from millgate_serving.settings import read
from millgate_serving.turns import Turns

SLOW, FAST = 0.001, 0.0001


class Loop:
    """An event loop by hand: it reads what has come, then calls what it was told to, on a clock of its own.

    `share` is what it gets of its core.
    """

    def __init__(self, call_seconds: float = SLOW, share: float = 1.0) -> None:
        self.now, self.call_seconds, self.share = 1.0, call_seconds, share
        self._next: list = []
        self.turns = Turns(lambda: call_seconds, self._next.append)
        self.overload = Overload(lambda: self.turns.seconds)
        self._tick_at = self.now
        self.answered: list[tuple[float, float]] = []
        self.refused: list[tuple[float, float]] = []

    def read(self, came_at: float) -> None:
        """A request that came then."""
        try:
            self.overload.check(crowded=False)
        except Refusal:
            self.refused.append((came_at, self.now))
            return
        if self.turns.take():
            self._answer(came_at)
        else:
            self.turns.join(lambda: self._answer(came_at))

    def _answer(self, came_at: float) -> None:
        self.now += self.call_seconds / self.share
        self.answered.append((came_at, self.now))

    def turn(self) -> None:
        due, self._next[:] = list(self._next), []
        for call in due:
            call()
        while self.now >= self._tick_at:
            self._tick_at += 0.1
            self.overload.tick(self.turns.least_seconds())

    def run(self, arrivals: list[float]) -> None:
        """At these moments, until all have their answers."""
        rest = arrivals[::-1]
        while rest or self.turns.waiting:
            if not self.turns.waiting and rest:
                self.now = max(self.now, rest[-1])
            while rest and rest[-1] <= self.now:
                self.read(rest.pop())
            self.turn()


def waited(told: list[tuple[float, float]]) -> float:
    return max((at - came_at for came_at, at in told), default=0.0)


@given(st.integers(1, 499), st.sampled_from([1.0, 0.3]))
def test_a_burst_is_answered_and_nobody_of_it_refused(requests, share):
    loop = Loop(share=share)
    loop.run([1.0] * requests)
    assert len(loop.answered) == requests
    assert not loop.refused


def test_of_a_burst_that_would_last_longer_than_half_a_second_the_rest_is_refused_at_once():
    loop = Loop()
    loop.run([1.0] * 2000)
    assert len(loop.answered) == 501
    assert waited(loop.refused) <= SLOW


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 8), st.sampled_from([0.0006, SLOW, 0.004]), st.floats(0.2, 1.0))
def test_a_lasting_overload_is_shed_as_soon_as_it_comes_and_who_is_answered_waits_shortly(times, call_seconds, share):
    loop = Loop(call_seconds, share)
    capacity = share / call_seconds
    loop.run([1.0 + number / (times * capacity) for number in range(int(5 * times * capacity))])
    late = [told for told in loop.answered if told[0] > 3.5]
    assert waited(loop.refused) <= 2 * call_seconds / share
    assert waited(late) <= (0.02 + 3 * call_seconds) / share
    assert len(loop.answered) >= 0.95 * 5 * capacity, "the model was never idle"


def test_a_second_after_the_last_refusal_a_burst_is_answered_again():
    loop = Loop()
    loop.run([1.0 + number / 3000 for number in range(6000)])
    before = len(loop.refused)
    assert before > 1000
    loop.run([loop.now + 0.01 * number for number in range(150)])
    loop.run([loop.now] * 300)
    assert len(loop.refused) == before


def test_the_answers_come_in_the_order_of_the_requests():
    loop = Loop()
    loop.run([1.0 + number * 0.0005 for number in range(400)])
    assert loop.answered == sorted(loop.answered)
    assert len(loop.answered) == 400


def test_what_is_nearly_as_cheap_to_answer_as_to_refuse_neither_waits_nor_is_refused():
    loop = Loop(FAST)
    loop.run([1.0 + number / 50_000 for number in range(50_000)])
    assert len(loop.answered) == 50_000
    assert not loop.refused


def test_a_connection_that_is_one_too_many_is_refused():
    with pytest.raises(Refusal) as refusal:
        Overload(lambda: 0.0).check(crowded=True)
    assert (refusal.value.status, refusal.value.headers) == (503, ((b"retry-after", b"1"),))


def test_a_task_gets_its_turn_and_what_it_raises():
    async def told():
        turns = Turns(lambda: SLOW)
        gone = asyncio.ensure_future(turns.run(lambda: pytest.fail("nobody waits for it")))
        answers = [asyncio.ensure_future(turns.run(work)) for work in (lambda: 1, lambda: 1 / 0, lambda: 2)]
        await asyncio.sleep(0)
        gone.cancel()
        return await asyncio.gather(*answers, return_exceptions=True)

    first, error, last = asyncio.run(told())
    assert (first, type(error), last) == (1, ZeroDivisionError, 2)


class Asked:
    """A codec that notes what it is asked, and answers nothing."""

    protocol = "predict"

    def __init__(self):
        self.bodies = []

    def check(self, _headers):
        """Whatever they are."""

    def decode(self, body, _headers):
        self.bodies.append(body)
        raise Refusal(400, "noted")


class Client:
    def __init__(self, *, gone):
        self.gone, self.answers = gone, []
        self.answer = self.answers.append


class Waiting:
    """A request that comes while another one waits has to wait for its turn."""

    def __init__(self, folder):
        configured = read({"MILLGATE_MODEL_NAME": "m", "MILLGATE_MODEL_PATH": str(folder)})
        self.predicting, self.codec, self.clock = App(configured, Metrics(configured)).predicting, Asked(), Loop()
        self.predicting._ready, self.predicting.turns = object(), self.clock.turns
        self.predicting.runner.expect(0.0)
        self.clock.turns.join(lambda: None)

    def ask(self, body, *, gone=False):
        client = Client(gone=gone)
        scope = {"method": "POST", "headers": [], "state": {"crowded": False}}
        assert self.predicting.answer_now(self.codec, scope, body, client)
        return client

    def all_turns(self):
        while self.clock.turns.waiting:
            self.clock.turn()


def test_the_model_is_not_asked_for_a_client_that_has_gone(tmp_path):
    server = Waiting(tmp_path)
    gone, here = server.ask(b"gone", gone=True), server.ask(b"here")
    assert not here.answers
    server.all_turns()
    assert server.codec.bodies == [b"here"]
    assert [answer[:12] for answer in here.answers] == [b"HTTP/1.1 400"]
    assert not gone.answers


def test_bodies_that_wait_for_their_turn_have_a_common_limit(tmp_path):
    server = Waiting(tmp_path)
    server.predicting.memory = BodyMemory(10)
    first, gone, refused = server.ask(b"12345"), server.ask(b"12345", gone=True), server.ask(b"1")
    assert refused.answers[0].startswith(b"HTTP/1.1 503")
    assert not first.answers
    server.all_turns()
    assert first.answers[0].startswith(b"HTTP/1.1 400")
    again = [server.ask(b"12345"), server.ask(b"12345")]
    server.all_turns()
    assert [client.answers[0][:12] for client in again] == [b"HTTP/1.1 400"] * 2, "the places of both are free again"
    assert not gone.answers


# A real server

# A server that takes its model for one of a millisecond, whatever this machine does to it meanwhile.
STEADY = f"""
import sys
from millgate_serving.main import main
from millgate_serving.running import Runner

made = Runner.__init__

def steady(self, limits):
    made(self, limits)
    self._model_seconds = self.least_seconds = {SLOW}

Runner.__init__, Runner.learn = steady, lambda self, seconds: None
sys.argv = ["millgate-serving"]
sys.exit(main())
"""


def asking(rounds: int, *headers: bytes) -> bytes:
    body = json.dumps({"rows": [{"rounds": rounds, "share": 0.5}]}).encode()
    head = b"\r\n".join((b"POST /predict HTTP/1.1", b"host: x", b"x-request-id: mine", *headers))
    return b"%b\r\ncontent-length: %d\r\n\r\n%b" % (head, len(body), body)


BODY = b'{"rows": [{"rounds": 1, "share": 0.5}]}'
WHOLE = asking(2800)  # about 2 ms: what a hundred of them take together is still a burst
LIVE = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"
OK = b"HTTP/1.1 200 "


@pytest.fixture(scope="module")
def server(saved_models, tmp_path_factory):
    folder, model = tmp_path_factory.mktemp("turns"), saved_models("rounds")
    with serving(folder, [sys.executable, "-c", STEADY], MILLGATE_MODEL_PATH=model) as running:
        yield running.wait_ready()


@contextlib.contextmanager
def clients(server, number, requests=WHOLE, answers=1):
    """Each has sent these, and some of them wait, as a page tells that is answered meanwhile."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(connected(server)) for _ in range(number)]

        def some_wait():
            for each in sockets:
                each.sendall(requests)
            if waiting(server) > 10:
                return True
            for each in sockets:  # this machine was too busy to look in time
                received(each, answers)
            return False

        eventually(some_wait)
        yield sockets


def statuses(sockets):
    return {received(each, 1)[0][: len(OK)] for each in sockets}


def value(server, name):
    return sum(value for (sample, _), value in server.samples().items() if sample == name)


def waiting(server):
    return value(server, "millgate_waiting_requests")


def test_pages_are_answered_while_hundreds_wait_for_the_model(server):
    with clients(server, 100) as sockets:
        assert server.request("GET", "/livez").status == 200
        assert waiting(server) > 0
        assert statuses(sockets) == {OK}
    assert waiting(server) == 0


def test_requests_behind_one_that_waits_get_their_answers_after_it(server):
    with clients(server, 60, WHOLE + LIVE + WHOLE, 3) as sockets:
        for each in sockets:
            first, live, last = received(each, 3)
            assert first == last
            assert first.startswith(OK)
            assert live.endswith(b'{"live":true}')


def test_clients_that_have_gone_leave_nothing_behind(server):
    with clients(server, 100):
        pass
    eventually(lambda: value(server, "millgate_inflight_requests") == waiting(server) == 0)
    with connected(server) as raw:
        raw.sendall(WHOLE)
        assert statuses([raw]) == {OK}


def test_who_has_less_time_than_those_before_him_need_is_told_at_once(server):
    with clients(server, 100) as sockets, connected(server) as hasty:
        hasty.sendall(asking(1, b"x-request-timeout-ms: 1"))
        assert statuses([hasty]) == {b"HTTP/1.1 408 "}
        assert waiting(server) > 0
        assert statuses(sockets) == {OK}


def test_who_waits_behind_a_call_that_does_not_end_is_told_at_the_deadline(saved_models, tmp_path):
    variables = {"MILLGATE_MODEL_PATH": saved_models("rounds"), "MILLGATE_DEADLINE_SECONDS": 0.5}
    with serving(tmp_path, [sys.executable, "-c", STEADY], **variables) as server:
        server.wait_ready()
        with contextlib.ExitStack() as stack:
            first, *behind = [stack.enter_context(connected(server)) for _ in range(40)]
            for each in (first, *behind):
                each.sendall(LIVE)
                received(each, 1)
            first.sendall(asking(10**12))
            for each in behind:
                each.sendall(WHOLE)
            assert statuses([first]) == {b"HTTP/1.1 504 "}
            assert statuses(behind) <= {b"HTTP/1.1 504 ", OK}
        assert server.request("POST", "/predict", BODY).status == 200


def test_a_stop_answers_those_who_wait(saved_models, tmp_path):
    with serving(tmp_path, [sys.executable, "-c", STEADY], MILLGATE_MODEL_PATH=saved_models("rounds")) as server:
        with clients(server.wait_ready(), 100) as sockets:
            server.terminate()
            assert statuses(sockets) == {OK}
        assert server.exit_code() == 0
