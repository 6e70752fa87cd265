"""What is refused under overload before anything is made of it: the same answer as ever, and the same connection."""

import json
import socket
import threading
from contextlib import contextmanager

import pytest
from serving_process import ask, eventually, serving

BODY = json.dumps({"rows": [{"rounds": 1, "share": 0.5}]}).encode()
FOR_EVER = json.dumps({"rows": [{"rounds": 10**12, "share": 0.5}]}).encode()
FULL = "the model has more requests than it can answer"
HEAD = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
LIVE = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"


@contextmanager
def full(saved_models, folder, **variables):
    """A server whose one thread is held by a call that does not end, with one request that waits: no room for more."""
    named = {"MILLGATE_MODEL_PATH": saved_models("rounds"), "MILLGATE_DEADLINE_SECONDS": 600, "MILLGATE_QUEUE": 1}
    with serving(folder, **named | variables) as server:
        held = [server.wait_ready().connect() for _ in range(2)]
        for connection in held:
            headers = {"content-type": "application/json", "authorization": "Bearer 0123456789abcdef-shop"}
            connection.request("POST", "/predict", FOR_EVER, headers)
        eventually(lambda: server.samples()["millgate_waiting_requests", ""] == 1)
        yield server
        for connection in held:
            connection.close()


@pytest.fixture(scope="module")
def busy(saved_models, tmp_path_factory):
    with full(saved_models, tmp_path_factory.mktemp("busy")) as server:
        yield server


def connected(server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def until(raw: socket.socket, end: bytes) -> bytes:
    received = b""
    while not received.endswith(end):
        part = raw.recv(65536)
        assert part, received
        received += part
    return received


@pytest.mark.parametrize("path", ["/predict", "/v2/models/fraud/infer", "/v2/models/fraud/versions/8/infer"])
def test_a_refusal_is_whole_and_its_connection_goes_on(busy, path):
    connection = busy.connect()
    for number in range(3):
        answer = ask(connection, "POST", path, BODY, x_request_id=f"mine-{number}")
        assert (answer.status, answer.error, answer.closes) == (503, FULL, False)
        assert (answer.headers["retry-after"], answer.headers["x-request-id"]) == ("1", f"mine-{number}")
        assert ask(connection, "GET", "/readyz").status == 200
    assert ask(connection, "POST", path, BODY).headers["x-request-id"]
    connection.close()


def test_refusals_are_counted_like_any_other_answer(busy):
    def counted() -> list[float]:
        text = busy.request("GET", "/metrics").body.decode()
        names = (
            'code="503"',
            "millgate_request_errors_total{",
            'reason="Overloaded"',
            "millgate_request_duration_seconds_count",
            'protocol="predict"',
        )
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        return [float(next(line for line in lines if name in line).rsplit(" ", 1)[1]) for name in names]

    before = counted()
    for _ in range(5):
        assert busy.request("POST", "/predict", BODY).status == 503
    assert counted() == [count + 5 for count in before]


def test_pipelined_requests_keep_their_order_around_refusals(busy):
    post = HEAD % len(BODY) + b"\r\n" + BODY
    with connected(busy) as raw:
        raw.sendall(post * 2 + LIVE + post + LIVE.replace(b"x\r\n", b"x\r\nconnection: close\r\n"))
        answers = b"".join(iter(lambda: raw.recv(65536), b""))
    assert [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]] == [b"503", b"503", b"200", b"503", b"200"]
    assert answers.endswith(b'{"live":true}')


@pytest.mark.parametrize("chunked", [False, True])
def test_the_body_of_a_refused_request_is_skipped_however_it_comes(busy, chunked):
    """The answer comes before the body, so it was the early way; what follows is read as the next request."""
    body, parts = b"POST / HTTP/1.1\r\n\r\n" * 50_000, 20
    step = len(body) // parts
    with connected(busy) as raw:
        head = HEAD % len(body)
        if chunked:
            head = head.replace(b"content-length: %d" % len(body), b"transfer-encoding: chunked")
        raw.sendall(head + b"\r\n")
        assert until(raw, b"}").startswith(b"HTTP/1.1 503 ")
        for start in range(0, len(body), step):
            part = body[start : start + step]
            raw.sendall(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
        raw.sendall((b"0\r\n\r\n" if chunked else b"") + LIVE)
        assert until(raw, b"}").startswith(b"HTTP/1.1 200 ")


def test_whatever_else_is_wrong_with_a_request_is_told_as_ever(busy):
    assert busy.request("GET", "/predict").status == 405
    assert busy.request("HEAD", "/predict").status == 405
    assert busy.request("POST", "/predict", BODY, content_type="text/plain").status == 415
    assert busy.request("POST", "/predict", BODY, x_request_timeout_ms="soon").status == 400
    assert busy.request("POST", "/nowhere", BODY).status == 404
    assert busy.request("POST", "/predict?a=b", BODY).status == 503


@pytest.mark.parametrize(("version", "header"), [(b"1.1", b"connection: close\r\n"), (b"1.0", b"")])
def test_a_connection_that_is_to_end_is_ended_by_a_refusal_too(busy, version, header):
    with connected(busy) as raw:
        raw.sendall((HEAD % len(BODY)).replace(b"/1.1", b"/" + version) + header + b"\r\n" + BODY)
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"connection: close\r\n" in answer


def test_who_expects_to_be_asked_for_the_body_is_asked(busy):
    with connected(busy) as raw:
        raw.sendall(HEAD % len(BODY) + b"expect: 100-continue\r\n\r\n")
        assert until(raw, b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        raw.sendall(BODY)
        assert until(raw, b"}").startswith(b"HTTP/1.1 503 ")


def test_many_clients_are_refused_at_the_same_time(busy):
    statuses = []

    def client() -> None:
        connection = busy.connect()
        statuses.extend(ask(connection, "POST", "/predict", BODY).status for _ in range(50))
        connection.close()

    clients = [threading.Thread(target=client) for _ in range(8)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    assert statuses == [503] * 400


def test_a_refusal_during_the_drain_ends_its_connection(saved_models, tmp_path):
    with full(saved_models, tmp_path, MILLGATE_DRAIN_SECONDS=60) as server:
        connection = server.connect()
        assert not ask(connection, "POST", "/predict", BODY).closes
        server.terminate()
        server.event("draining")
        answer = ask(connection, "POST", "/predict", BODY)
        assert (answer.status, answer.error, answer.closes) == (503, FULL, True)
        connection.close()


def test_who_has_no_key_is_not_told_how_busy_the_model_is(saved_models, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("shop 0123456789abcdef-shop\n")
    with full(saved_models, tmp_path, MILLGATE_API_KEYS_FILE=keys) as server:
        assert server.request("POST", "/predict", BODY).status == 401
        assert server.request("POST", "/predict", BODY, x_api_key="0123456789abcdef-shop").error == FULL
