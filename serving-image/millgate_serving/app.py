"""The HTTP interface as one raw ASGI application: /predict, the probes, /version and /metrics."""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import msgspec
import numpy as np

from millgate_serving import __version__
from millgate_serving.distributions import Distributions
from millgate_serving.engine import Outputs
from millgate_serving.loading import ReadyModel
from millgate_serving.logs import Sparingly, described
from millgate_serving.measured import Measured
from millgate_serving.metrics import Metrics
from millgate_serving.settings import Settings
from millgate_serving.validation import Refusal

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Answer = tuple[int, bytes]

MAX_BODY_BYTES: Final = 10 << 20
# A refused body is read on for a while: closing with unread data makes the kernel send a reset that eats the answer.
_DISCARD_BYTES = 4 * MAX_BODY_BYTES
# Below this size and time a request is answered on the event loop, because a thread costs more than the work.
_INLINE_BYTES = 64 << 10
_INLINE_SECONDS = 0.001
_ERROR_LINES_PER_SECOND = 10

_JSON = (b"content-type", b"application/json")
_TEXT = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
_CLOSE = (b"connection", b"close")
_GET = ("GET", "HEAD")

_encode = msgspec.json.Encoder().encode


def error_body(message: str) -> bytes:
    """The one form of every refusal and failure."""
    return _encode({"error": message})


class App:
    """State is changed on the event loop only, but for two assignments: the model arrives, and a signal drains."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._ready: ReadyModel | None = None
        self._distributions = Distributions(Measured("none"))
        self._tail = b""
        self._model_seconds = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._errors = Sparingly(_ERROR_LINES_PER_SECOND)
        self.draining = False
        self._routes = {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/health": self._readyz,
            "/version": self._version,
            "/metrics": self._metrics_text,
        }

    @property
    def ready(self) -> bool:
        return self._ready is not None

    def serve(self, ready: ReadyModel, load_seconds: float) -> None:
        """From now on requests are answered by this model."""
        self._metrics.load_seconds = load_seconds
        self._distributions = self._metrics.measure(ready.measured)
        name, number = self._settings.model_name, self._settings.model_version
        self._tail = b',"model":' + _encode(name) + b',"version":' + _encode(number) + b"}"
        self._ready = ready

    def count(self) -> None:
        """Called every half second, so that nothing waits for long where requests are few."""
        self._distributions.count()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == "/predict":
            await self._predict(scope, receive, send)
            return
        status, body, headers = self._other(scope["path"], scope["method"])
        await self._send(scope, send, status, body, headers)

    def _other(self, path: str, method: str) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
        route = self._routes.get(path)
        if route is None:
            paths = ", ".join(("/predict", *self._routes))
            return 404, error_body(f"no such path; there are {paths}"), [_JSON]
        if method not in _GET:
            return 405, error_body("method not allowed; allowed: GET"), [_JSON, (b"allow", b"GET, HEAD")]
        status, body = route()
        return status, body, [_TEXT if path == "/metrics" else _JSON]

    async def _send(
        self, scope: Message, send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]
    ) -> None:
        headers.append((b"content-length", b"%d" % len(body)))
        if self.draining or time.monotonic() >= scope["state"]["closes_at"]:
            headers.append(_CLOSE)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    # Probes

    def _livez(self) -> Answer:
        return 200, b'{"live":true}'

    def _readyz(self) -> Answer:
        if self.draining:
            return 503, error_body("the server is stopping")
        if self._ready is None:
            return 503, error_body("the model is not loaded yet")
        return 200, b'{"ready":true}'

    def _version(self) -> Answer:
        ready = self._ready
        return 200, _encode(
            {
                "model": self._settings.model_name,
                "version": self._settings.model_version,
                "revision": self._settings.revision,
                "digest": ready.digest if ready else None,
                "modelId": ready.model.model_id if ready else None,
                "runId": ready.model.run_id if ready else None,
                "flavour": ready.flavour if ready else None,
                "serving": __version__,
            }
        )

    def _metrics_text(self) -> Answer:
        return 200, self._metrics.exposition()

    # Predictions

    async def _predict(self, scope: Message, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        self._metrics.inflight += 1
        headers = [_JSON]
        try:
            status, body = await self._answered(scope, receive)
            if status == 405:
                headers.append((b"allow", b"POST"))
            await self._send(scope, send, status, body, headers)
            self._metrics.answered(status, time.perf_counter() - started)
            if self._distributions.due:
                self._distributions.count()
        except _ClientGoneError:
            pass  # there is nobody to answer, and nothing to blame the model for
        finally:
            self._metrics.inflight -= 1

    async def _answered(self, scope: Message, receive: Receive) -> Answer:
        try:
            _check_method_and_type(scope)
            body = await _read(scope, receive)
        except Refusal as refusal:
            return refusal.status, error_body(refusal.message)
        ready = self._ready
        if ready is None:
            return 503, error_body("the model is not loaded yet")
        if len(body) > _INLINE_BYTES or self._model_seconds > _INLINE_SECONDS:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, self._answer_and_count, ready, body)
        return self._answer(ready, body)

    def _answer_and_count(self, ready: ReadyModel, body: bytes) -> Answer:
        """In the model's thread: thousands of rows must not be counted on the event loop."""
        answer = self._answer(ready, body)
        if self._distributions.due:
            self._distributions.count()
        return answer

    def _answer(self, ready: ReadyModel, body: bytes) -> Answer:
        """Decode, run, encode. On the loop or in the model's thread; only the model itself can make it a 500."""
        try:
            arrays = ready.decode(body)
        except Refusal as refusal:
            return refusal.status, error_body(refusal.message)
        except Exception as error:  # noqa: BLE001 - a defect of the decoder; a client's input must never be a 5xx
            self._errors.log("request not understood", "error", **described(error))
            return 400, error_body("the body cannot be read")
        started = time.perf_counter()
        outputs = None
        try:
            outputs = ready.predict(arrays)
            answer = self._encoded(outputs)
        except Exception as error:  # noqa: BLE001 - whatever the model raises is the model's failure
            self._log_failure(error)
            return 500, error_body("the model failed to answer")
        finally:
            self._distributions.leave(arrays, outputs)
        if len(body) <= _INLINE_BYTES:
            self._learn(time.perf_counter() - started)
        return 200, answer

    def _learn(self, seconds: float) -> None:
        """A moving mean of 16. One long time is cut, as it may be the machine's and not the model's."""
        self._model_seconds += (min(seconds, 4 * _INLINE_SECONDS) - self._model_seconds) / 16

    def _encoded(self, outputs: Outputs) -> bytes:
        """The first output is the prediction; further ones follow by name. Built from parts that never change."""
        head = b'{"predictions":' + _encode(_plain(outputs[0][1]))
        if len(outputs) > 1:
            head += b',"outputs":' + _encode({name: _plain(values) for name, values in outputs[1:]})
        return head + self._tail

    def _log_failure(self, error: Exception) -> None:
        text = {"message": str(error)[:1000]} if self._settings.log_model_errors else {}
        self._errors.log("model failed", "error", **described(error), **text)


class _ClientGoneError(Exception):
    """The client went away before its request was complete."""


def _check_method_and_type(scope: Message) -> None:
    if scope["method"] != "POST":
        raise Refusal(405, "method not allowed; allowed: POST")
    for name, value in scope["headers"]:
        if name == b"content-type" and value != b"application/json" and not _is_json(value):
            raise Refusal(415, "content-type must be application/json in UTF-8")
        if name == b"content-encoding" and value.lower() != b"identity":
            raise Refusal(415, "content-encoding must be identity")


def _is_json(content_type: bytes) -> bool:
    kind, _, parameters = content_type.lower().partition(b";")
    charset = parameters.strip().removeprefix(b"charset=").strip(b'"')
    return kind.strip() == b"application/json" and charset in {b"", b"utf-8", b"utf8", b"us-ascii"}


def _plain(values: Any) -> Any:
    """JSON values; lists of maps (ZipMap) are such already."""
    return values.tolist() if isinstance(values, np.ndarray) else values


def _end_connection(scope: Message) -> None:
    scope["state"]["closes_at"] = 0.0


async def _read(scope: Message, receive: Receive) -> bytes:
    """The body, counted while it streams. Raises Refusal 413, or _ClientGoneError."""
    too_large = Refusal(413, f"the body may have at most {MAX_BODY_BYTES} bytes")
    declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if int(declared) > _DISCARD_BYTES:
        _end_connection(scope)
        raise too_large
    message = await receive()
    if message["type"] == "http.disconnect":
        raise _ClientGoneError
    if not message["more_body"] and len(message["body"]) <= MAX_BODY_BYTES:
        return bytes(message["body"])
    chunks, size = [message["body"]], len(message["body"])
    while message["more_body"]:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _ClientGoneError
        size += len(message["body"])
        if size > _DISCARD_BYTES:
            _end_connection(scope)
            raise too_large
        if size <= MAX_BODY_BYTES:
            chunks.append(message["body"])
    if size > MAX_BODY_BYTES:
        raise too_large
    return b"".join(chunks)
