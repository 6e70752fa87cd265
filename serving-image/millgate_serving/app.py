"""The HTTP interface as one raw ASGI application: which path is answered by what, and the pages that are short."""

import time

import msgspec

from millgate_serving import __version__, openapi
from millgate_serving.asgi import CLOSE, JSON, TEXT, Message, Receive, Send, error_body
from millgate_serving.loading import ReadyModel
from millgate_serving.metrics import Metrics
from millgate_serving.predict_json import PredictJson
from millgate_serving.predicting import Codec, Predicting
from millgate_serving.refusal import Header
from millgate_serving.settings import Settings

Answer = tuple[int, bytes]

_GET = ("GET", "HEAD")

_encode = msgspec.json.Encoder().encode


class App:
    """State is changed on the event loop only, but for two assignments: the model arrives, and a signal drains."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._ready: ReadyModel | None = None
        self._predict: Codec | None = None
        self._described = b""
        self.predicting = Predicting(settings, metrics, self._send)
        self.draining = False
        self._routes = {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/health": self._readyz,
            "/version": self._version,
            "/metrics": self._metrics_text,
            "/openapi.json": self._openapi,
        }

    @property
    def ready(self) -> bool:
        return self._ready is not None

    def serve(self, ready: ReadyModel, load_seconds: float) -> None:
        """From now on requests are answered by this model."""
        self._metrics.load_seconds = load_seconds
        self.predicting.serve(ready, self._metrics.measure(ready.measured))
        self._predict = PredictJson(ready.decode, self._settings.model_name, self._settings.model_version)
        self._described = b""
        self._ready = ready

    def count(self) -> None:
        """Called every half second, so that nothing waits for long where requests are few."""
        self.predicting.distributions.count()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == "/predict":
            await self.predicting.answer(self._predict, scope, receive, send)
            return
        status, body, headers = self._other(scope["path"], scope["method"])
        await self._send(scope, send, status, body, headers)

    def _other(self, path: str, method: str) -> tuple[int, bytes, list[Header]]:
        route = self._routes.get(path)
        if route is None:
            paths = ", ".join(("/predict", *self._routes))
            return 404, error_body(f"no such path; there are {paths}"), [JSON]
        if method not in _GET:
            return 405, error_body("method not allowed; allowed: GET"), [JSON, (b"allow", b"GET, HEAD")]
        status, body = route()
        return status, body, [TEXT if path == "/metrics" else JSON]

    async def _send(self, scope: Message, send: Send, status: int, body: bytes, headers: list[Header]) -> None:
        headers.append((b"content-length", b"%d" % len(body)))
        if self.draining or time.monotonic() >= scope["state"]["closes_at"]:
            headers.append(CLOSE)
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

    def _openapi(self) -> Answer:
        if self._ready is None:
            return 503, error_body("the model is not loaded yet")
        if not self._described:  # made when it is first asked for: a start is not delayed by it
            self._described = openapi.of(self._ready, self._settings)
        return 200, self._described

    def _metrics_text(self) -> Answer:
        return 200, self._metrics.exposition()
