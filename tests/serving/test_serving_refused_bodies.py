"""A refusal reaches a client that ends its connection, whatever is left of the body that nobody wanted."""

import http.client
import json
import socket

import pytest
from serving_process import serving

KEY = "0123456789abcdef-shop"
LARGE = b" " * (5 << 20)
JSON = {"content-type": "application/json"}
CASES = [
    ("without a key", "POST", "/predict", JSON, 401),
    ("with a key that is not known", "POST", "/predict", JSON | {"x-api-key": KEY[::-1]}, 401),
    ("of a type that is not read", "POST", "/predict", {"content-type": "text/csv", "x-api-key": KEY}, 415),
    ("feedback without a key", "POST", "/feedback", JSON, 401),
    ("by a method that there is not", "PUT", "/predict", JSON | {"x-api-key": KEY}, 405),
    ("to a page", "POST", "/livez", JSON, 405),
    ("to nowhere", "POST", "/nowhere", JSON, 404),
]


@pytest.fixture(scope="module")
def guarded(saved_models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "keys").write_text(f"shop {KEY}\n")
    variables = {"MILLGATE_MODEL_PATH": saved_models("numbers"), "MILLGATE_API_KEYS_FILE": folder / "keys"}
    with serving(folder, **variables) as server:
        yield server.wait_ready()


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_who_is_refused_gets_the_answer_and_no_reset(guarded, case):
    _, method, path, headers, status = case
    for _ in range(5):
        connection = http.client.HTTPConnection("127.0.0.1", guarded.port, timeout=20)
        connection.request(method, path, LARGE, headers | {"connection": "close"})
        answer = connection.getresponse()
        assert answer.status == status
        assert set(json.loads(answer.read())) == {"error"}
        connection.close()


def test_who_waits_to_be_asked_is_refused_without_being_asked(guarded):
    head = (
        b"POST /predict HTTP/1.1\r\nhost: x\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=20) as raw:
        raw.sendall(head + b"content-length: 9\r\n\r\n")
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 401 ")
