"""A request that is answered in the moment in which it is read gets what any other gets, however its bytes come."""

import contextlib
import itertools
import json
import socket
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_http import connected, received
from serving_process import ask, eventually, serving

from millgate_serving.app import App
from millgate_serving.metrics import Metrics
from millgate_serving.settings import read

BODY = json.dumps({"rows": [{"rounds": 1, "share": 0.5}]}).encode()
HEAD = b"POST /predict HTTP/1.1\r\nhost: x\r\nx-request-id: mine\r\ncontent-length: %d\r\n\r\n" % len(BODY)
CHUNKED = HEAD.replace(b"content-length: %d" % len(BODY), b"transfer-encoding: chunked")
WHOLE = HEAD + BODY
IN_CHUNKS = CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
LIVE = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.fixture(scope="module")
def quick(saved_models, tmp_path_factory):
    """A server that has learnt that its model is fast."""
    with serving(tmp_path_factory.mktemp("quick"), MILLGATE_MODEL_PATH=saved_models("rounds")) as server:
        connection = server.wait_ready().connect()
        for _ in range(100):
            assert ask(connection, "POST", "/predict", BODY).status == 200
        connection.close()
        yield server


@pytest.fixture(scope="module")
def answer(quick):
    """The answer to `WHOLE`."""
    with connected(quick) as raw:
        raw.sendall(WHOLE)
        return received(raw, 1)[0]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([WHOLE, IN_CHUNKS]), st.lists(st.integers(1, len(WHOLE) - 1), max_size=4))
def test_a_request_gets_the_same_answer_however_its_bytes_are_split(quick, answer, request_bytes, cuts):
    edges = [0, *sorted(set(cuts)), len(request_bytes)]
    with connected(quick) as raw:
        for start, end in itertools.pairwise(edges):
            raw.sendall(request_bytes[start:end])
        assert received(raw, 1) == [answer]
        raw.sendall(LIVE)
        assert received(raw, 1)[0].startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("requests", [2, 3, 40])
def test_requests_that_come_together_are_answered_in_their_order(quick, answer, requests):
    with connected(quick) as raw:
        raw.sendall((WHOLE + LIVE + IN_CHUNKS) * requests)
        answers = received(raw, 3 * requests)
    assert answers[0::3] == answers[2::3] == [answer] * requests
    assert all(each.endswith(b'{"live":true}') for each in answers[1::3])


def test_a_client_that_does_not_read_gets_all_of_its_answers_once_it_does(quick, answer):
    """And the server holds but few of them: what a client sends without reading waits in its own buffers."""
    many = 3000
    with connected(quick) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.setblocking(False)
        unsent = WHOLE * many
        deadline = time.monotonic() + 5
        while unsent and time.monotonic() < deadline:
            try:
                unsent = unsent[raw.send(unsent) :]
            except BlockingIOError:
                break
        assert quick.request("POST", "/predict", BODY).status == 200
        sent = many - -(-len(unsent) // len(WHOLE))
        raw.setblocking(True)
        assert received_at_least(raw, sent, answer)


def received_at_least(raw: socket.socket, answers: int, answer: bytes) -> bool:
    rest = b""
    while rest.count(answer) < answers:
        part = raw.recv(1 << 20)
        assert part
        rest += part
    return rest == answer * rest.count(answer) + answer[: len(rest) % len(answer)]


OK = b"HTTP/1.1 200 "
UNUSUAL = [
    ("asks to be asked for its body", (b"host: x", b"host: x\r\nexpect: 100-continue"), b"HTTP/1.1 100 "),
    ("is of HTTP/1.0", (b"HTTP/1.1", b"HTTP/1.0"), OK),
    ("ends its connection", (b"host: x", b"host: x\r\nconnection: close"), OK),
    ("has a query", (b"/predict", b"/predict?a=b"), OK),
    ("would be another protocol's", (b"host: x", b"host: x\r\nconnection: upgrade\r\nupgrade: h2c"), OK),
    ("is no POST", (b"POST", b"PUT"), b"HTTP/1.1 405 "),
    ("is not understood", (b"share", b"shaer"), b"HTTP/1.1 400 "),
]


@pytest.mark.parametrize("case", UNUSUAL, ids=[case[0] for case in UNUSUAL])
def test_an_unusual_request_is_answered_too(quick, case):
    _, (usual, unusual), begins = case
    with connected(quick) as raw:
        raw.sendall(WHOLE.replace(usual, unusual))
        assert raw.recv(65536).startswith(begins)


def test_what_is_answered_at_once_is_counted_like_any_other_answer(quick):
    def counted(name: str) -> float:
        return sum(value for (sample, _), value in quick.samples().items() if sample == name)

    before = counted("millgate_requests_total"), counted("millgate_rows_total")
    with connected(quick) as raw:
        for _ in range(20):
            raw.sendall(WHOLE)
            received(raw, 1)
    assert (counted("millgate_requests_total"), counted("millgate_rows_total")) == (before[0] + 20, before[1] + 20)


def test_nobody_asks_more_often_by_naming_addresses(saved_models, tmp_path):
    limits = {"MILLGATE_RATE_PER_SECOND": 0.001, "MILLGATE_RATE_BURST": 1}
    with serving(tmp_path, MILLGATE_MODEL_PATH=saved_models("rounds"), **limits) as server:
        server.wait_ready()
        statuses = [
            server.request("POST", "/predict", BODY, x_forwarded_for=f"192.0.2.{number}").status for number in range(5)
        ]
    assert statuses == [200, 429, 429, 429, 429]


def test_a_drain_is_told_to_a_client_that_was_answered_at_once(saved_models, tmp_path):
    with serving(tmp_path, MILLGATE_MODEL_PATH=saved_models("rounds"), MILLGATE_DRAIN_SECONDS=60) as server:
        connection = server.wait_ready().connect()
        for _ in range(100):
            assert not ask(connection, "POST", "/predict", BODY).closes
        server.terminate()
        server.event("draining")
        answer = ask(connection, "POST", "/predict", BODY)
        assert (answer.status, answer.closes) == (200, True)
        eventually(lambda: connection.sock is None)


def test_the_first_requests_of_a_new_pod_may_all_come_at_the_same_time(saved_models, tmp_path):
    """Given a pod that has just become ready, when all clients of the old one turn to it, then none is refused."""
    body = json.dumps({"rows": [[1.0, 2.0, 3.0, 4.0]]}).encode()
    with serving(tmp_path, MILLGATE_MODEL_PATH=saved_models("tensor")) as server, contextlib.ExitStack() as clients:
        server.wait_ready()
        connections = [clients.enter_context(connected(server)) for _ in range(400)]
        for raw in connections:
            raw.sendall(b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        statuses = {received(raw, 1)[0][:12] for raw in connections}
    assert statuses == {b"HTTP/1.1 200"}


class Client:
    gone = False

    def __init__(self):
        self.answers = []
        self.answer = self.answers.append


class Broken:
    """A codec with a defect."""

    protocol = "predict"

    def check(self, headers):
        raise KeyError(headers)


def test_a_defect_of_the_server_is_its_own_fault_and_not_the_clients(tmp_path, capsys):
    configured = read({"MILLGATE_MODEL_NAME": "m", "MILLGATE_MODEL_PATH": str(tmp_path)})
    app = App(configured, Metrics(configured))
    predicting, client = app.predicting, Client()
    predicting._ready = object()
    predicting.runner.expect(0.0)
    scope = {"method": "POST", "headers": [], "state": {"crowded": False}}
    assert predicting.answer_now(Broken(), scope, b"{}", client)
    (answer,) = client.answers
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert answer.endswith(b'{"error":"the server failed to answer"}')
    assert 'code="500"} 1' in app._metrics_text()[1].decode()
    assert '"exception":"builtins.KeyError"' in capsys.readouterr().out
