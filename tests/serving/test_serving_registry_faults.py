"""A registry that is wrong, hostile or half dead. It is a fake, because a real one cannot be made to lie."""

import json
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from millgate_serving.failure import Reason, ServingError
from millgate_serving.fetch import fetch
from millgate_serving.settings import read

LIST = "/api/2.0/mlflow-artifacts/artifacts"


class FakeRegistry:
    """Answers a path with what `answers` says: a status and a body, or a function that gets the handler."""

    def __init__(self, answers: dict[str, object]) -> None:
        self.asked: list[str] = []
        self.authorization: list[str | None] = []
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                registry.asked.append(self.path)
                registry.authorization.append(self.headers["Authorization"])
                answer = answers.get(self.path.partition("?")[0], (404, b"{}"))
                if callable(answer):
                    answer(self)
                else:
                    respond(self, *answer)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> "FakeRegistry":
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def respond(handler: BaseHTTPRequestHandler, status: int, body: bytes, length: int | None = None) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)
    if length is not None:
        handler.close_connection = True


def listing(*names: str, folder: bool = False) -> tuple[int, bytes]:
    return 200, json.dumps({"files": [{"path": name, "is_dir": folder} for name in names]}).encode()


def fetched(registry: FakeRegistry, folder: Path, **variables: object) -> Path:
    settings = {
        "MILLGATE_MODEL_NAME": "x",
        "MLFLOW_TRACKING_URI": registry.url,
        "MILLGATE_MODEL_SOURCE": "mlflow-artifacts:/root",
        "MILLGATE_REGISTRY_RETRY_SECONDS": "2",
    }
    fetch(read(settings | {name: str(value) for name, value in variables.items()}), folder / "artefact")
    return folder / "artefact"


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "..", ".", "", "a/b", "a\\b", "nul\x00"])
def test_a_listed_name_that_leaves_its_folder_is_refused(tmp_path, name):
    with FakeRegistry({LIST: listing("MLmodel", name), f"{LIST}/root/MLmodel": (200, b"x")}) as registry:
        with pytest.raises(ServingError) as refused:
            fetched(registry, tmp_path)
        assert refused.value.reason is Reason.ARTIFACT_REFUSED
        assert not (tmp_path / "artefact").exists()


def test_a_listing_without_end_is_refused(tmp_path):
    """Each folder holds a folder: the depth is bounded."""
    with FakeRegistry({LIST: listing("deeper", folder=True)}) as registry:
        with pytest.raises(ServingError) as refused:
            fetched(registry, tmp_path)
        assert refused.value.reason is Reason.ARTIFACT_REFUSED
        assert len(registry.asked) < 100


def failing(times: int, then: tuple[int, bytes], fault: Callable[[BaseHTTPRequestHandler], None]):
    left = [times]

    def answer(handler: BaseHTTPRequestHandler) -> None:
        left[0] -= 1
        if left[0] >= 0:
            fault(handler)
        else:
            respond(handler, *then)

    return answer


FAULTS = {
    "503": lambda handler: respond(handler, 503, b"busy"),
    "429": lambda handler: respond(handler, 429, b"slow down"),
    "half a body": lambda handler: respond(handler, 200, b"hal", length=100),
    "no answer": lambda handler: handler.connection.shutdown(socket.SHUT_RDWR),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_passing_fault_is_retried_and_the_file_is_whole(tmp_path, fault):
    content = b"the whole model"
    answers = {LIST: listing("MLmodel"), f"{LIST}/root/MLmodel": failing(2, (200, content), FAULTS[fault])}
    with FakeRegistry(answers) as registry:
        assert (fetched(registry, tmp_path) / "MLmodel").read_bytes() == content


LASTING = [
    ((503, b""), Reason.REGISTRY_ERROR),
    ((401, b""), Reason.REGISTRY_UNAUTHORISED),
    ((403, b"no"), Reason.REGISTRY_UNAUTHORISED),
    ((403, b"Invalid Host header - possible DNS rebinding attack detected"), Reason.REGISTRY_HOST_REFUSED),
    ((302, b""), Reason.REGISTRY_ERROR),
    ((200, b"<html>"), Reason.REGISTRY_ERROR),
    ((200, b"[]"), Reason.REGISTRY_ERROR),
    ((200, b"{}"), Reason.MODEL_NOT_FOUND),
    ((404, b"{}"), Reason.MODEL_NOT_FOUND),
]


@pytest.mark.parametrize(("answer", "reason"), LASTING)
def test_a_lasting_fault_ends_with_its_reason(tmp_path, answer, reason):
    with FakeRegistry({LIST: answer}) as registry:
        with pytest.raises(ServingError) as failed:
            fetched(registry, tmp_path, MILLGATE_REGISTRY_RETRY_SECONDS=0.5)
        assert failed.value.reason is reason


def test_a_registry_that_is_too_slow_meets_the_deadline(tmp_path):
    """Given a file that comes one byte at a time, when the deadline passes, then the fetch ends."""
    released = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        while not released.wait(0.05):
            handler.wfile.write(b"100000\r\n" + b"x" * (1 << 20) + b"\r\n")

    with FakeRegistry({LIST: listing("MLmodel"), f"{LIST}/root/MLmodel": drip}) as registry:
        with pytest.raises(ServingError) as failed:
            fetched(registry, tmp_path, MILLGATE_FETCH_DEADLINE_SECONDS=0.5)
        released.set()
        assert failed.value.reason is Reason.FETCH_DEADLINE_EXCEEDED


CREDENTIALS = [
    ({"MLFLOW_TRACKING_TOKEN": "t0k"}, "Bearer t0k"),
    ({"MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": "pw"}, "Basic bWU6cHc="),
    ({}, None),
]


@pytest.mark.parametrize(("variables", "header"), CREDENTIALS)
def test_credentials_come_from_mlflows_own_variables(tmp_path, variables, header):
    with FakeRegistry({LIST: listing("MLmodel"), f"{LIST}/root/MLmodel": (200, b"x")}) as registry:
        fetched(registry, tmp_path, **variables)
        assert set(registry.authorization) == {header}
