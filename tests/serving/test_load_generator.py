"""The load generator of the benchmarks tells the truth: the server's own counters agree with it."""

import json
import subprocess

import pytest

from e2e.bench.serving import loadgen

GOOD, BAD = b'{"rows":[{"a":1,"b":2,"c":3,"d":4}]}', b'{"rows":[]}'
FEW = ("-connections", "3", "-timeout", "60s")


@pytest.fixture(scope="module")
def load():
    return loadgen.binary()


@pytest.fixture
def body(tmp_path):
    (tmp_path / "body").write_bytes(GOOD)
    return str(tmp_path / "body")


def run(load, *words):
    done = subprocess.run([load, *words], capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


def url(server, path="/predict"):
    return f"http://127.0.0.1:{server.port}{path}"


def counted(server):
    return sum(value for (name, _), value in server.samples().items() if name == "millgate_requests_total")


@pytest.mark.parametrize("rate", [(), ("-rate", "2000"), ("-steps", "20ms@500,1m@2000"), ("-fresh",)])
def test_what_it_counts_is_what_the_server_answered(rate, load, numbers, body):
    before = counted(numbers)
    code, found, _ = run(load, *FEW, "-number", "90", "-body", body, "-expect", "200", *rate, url(numbers))
    assert (code, found["sent"], found["unsent"], found["errors"]) == (0, 90, 0, {})
    assert found["status"] == {"200": 90}
    assert counted(numbers) - before == 90
    assert 0 < found["latency"]["p50Seconds"] <= found["latency"]["p99Seconds"] <= found["latency"]["maxSeconds"]


def test_bodies_and_header_lines_take_turns_and_answers_are_told_apart(load, numbers, tmp_path):
    (tmp_path / "bodies").write_bytes(GOOD + b"\n" + BAD + b"\n")
    (tmp_path / "headers").write_text("x-a: 1\nx-a: 2\n")
    words = ("-number", "60", "-body-lines", str(tmp_path / "bodies"), "-header-lines", str(tmp_path / "headers"))
    code, found, said = run(load, *FEW, *words, "-expect", "200", url(numbers))
    assert found["status"] == {"200": 30, "400": 30}
    assert {status: each["count"] for status, each in found["latencyByStatus"].items()} == found["status"]
    assert code == 1
    assert "not every request was answered with 200" in said


def test_a_request_that_is_due_and_finds_no_connection_is_counted_as_unsent(load, numbers, body):
    words = ("-connections", "1", "-steps", "200ms@1000000", "-max-late", "1ms", "-series", "-body", body)
    code, found, _ = run(load, *words, url(numbers))
    assert code == 0
    assert found["unsent"] > 0
    assert found["sent"] == found["answered"] > 0
    assert sum(each["unsent"] for each in found["series"]) == found["unsent"]


def test_a_server_that_is_away_is_an_error_and_not_a_measurement(load, body):
    code, found, _ = run(load, "-duration", "100ms", "-body", body, "-expect", "200", "http://127.0.0.1:1/predict")
    assert code == 1
    assert found["answered"] == 0
    assert list(found["errors"]) == ["connect: connection refused"]


@pytest.mark.parametrize(
    "words", [(), ("-steps", "1s", "http://127.0.0.1:1/"), ("https://127.0.0.1:1/",), ("-nonsense",)]
)
def test_it_says_what_is_wrong_with_its_arguments(words, load):
    code, found, said = run(load, *words)
    assert (code, found) == (2, {})
    assert said
