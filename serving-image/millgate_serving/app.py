"""The HTTP interface as one raw ASGI application: which path is answered by what, and the pages that are short."""

import time
from collections.abc import Callable

import msgspec

from millgate_serving import __version__, openapi, v2
from millgate_serving.asgi import CLOSE, JSON, TEXT, Answer, Message, Receive, Send, drop_body, error_body
from millgate_serving.feedback import Feedback
from millgate_serving.feedback_path import PATH as FEEDBACK
from millgate_serving.feedback_path import FeedbackPath
from millgate_serving.loading import ReadyModel
from millgate_serving.metrics import Metrics
from millgate_serving.observer import Observer
from millgate_serving.predict_json import PredictJson
from millgate_serving.predicting import Client, Codec, Predicting
from millgate_serving.refusal import Header
from millgate_serving.running import STOP_SECONDS
from millgate_serving.settings import Settings

Shown = tuple[int, bytes]
Page = Callable[[], Shown]

_GET = ("GET", "HEAD")

_encode = msgspec.json.Encoder().encode


class App:
    """State is changed on the event loop only, but for two assignments: the model arrives, and a signal drains."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._ready: ReadyModel | None = None
        self._described = self._v2_described = b""
        self.predicting = Predicting(settings, metrics, self._send)
        self.observer = Observer(settings, metrics, self.predicting)
        self._feedback = FeedbackPath(
            self.predicting.admission, self.predicting.memory, self._send, self._told_feedback
        )
        self.draining = False
        self._models = _model_paths(settings)
        # Every path is known before the first request, so a route is one look into a dictionary.
        self._codecs: dict[str, Codec | None] = dict.fromkeys(("/predict", *self._paths("/infer")))
        self._direct: dict[bytes, Codec] = {}
        self._pages: dict[str, Page] = {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/health": self._readyz,
            "/version": self._version,
            "/metrics": self._metrics_text,
            "/openapi.json": self._openapi,
            "/v2": self._v2_server,
            "/v2/health/live": self._livez,
            "/v2/health/ready": self._readyz,
            **dict.fromkeys(self._paths(""), self._v2_model),
            **dict.fromkeys(self._paths("/ready"), self._v2_model_ready),
        }

    def _paths(self, what: str) -> list[str]:
        return [path + what for path in self._models]

    @property
    def ready(self) -> bool:
        return self._ready is not None

    def serve(self, ready: ReadyModel, load_seconds: float) -> None:
        """From now on requests are answered by this model."""
        self._metrics.load_seconds = load_seconds
        self.predicting.serve(ready, self._metrics.measure(ready.measured))
        name, version = self._settings.model_name, self._settings.model_version
        self.observer.serve(ready)
        tensors = v2.V2(ready, name, version)
        self._codecs = dict.fromkeys(self._codecs, tensors) | {"/predict": PredictJson(ready.decode, name, version)}
        self._direct = {path.encode(): codec for path, codec in self._codecs.items() if codec is not None}
        self._described, self._v2_described = b"", tensors.metadata
        self._ready = ready

    def count(self) -> None:
        """Called every half second, so that nothing waits for long where requests are few."""
        self.predicting.distributions.tick()

    def _told_feedback(self) -> Feedback | None:
        """A label may come as soon as its prediction was answered."""
        self.predicting.observed.tell()
        return self.observer.feedback

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if self.draining:
            scope["state"]["closes_at"] = 0.0
        if path in self._codecs:
            await self.predicting.answer(self._codecs[path], scope, receive, send)
            return
        if path == FEEDBACK:
            await self._feedback.answer(scope, receive, send)
            return
        await self._send(scope, receive, send, self._page(path, scope["method"]))

    # Without a task: see Connection

    def takes(self, target: bytes) -> bool:
        """An answer during the drain ends its connection, and so takes the ordinary way."""
        return target in self._direct and not self.draining

    @property
    def may_refuse(self) -> bool:
        return self.predicting.may_refuse

    def refuse(self, target: bytes, headers: list[Header]) -> bytes | None:
        """The whole answer to a POST that finds the model overloaded."""
        return self.predicting.refuse(self._direct[target], dict(headers))

    def answer_now(self, target: bytes, scope: Message, body: bytes, client: Client) -> bool:
        """Answer the client, if the model is so fast that it is asked on the loop."""
        return self.predicting.answer_now(self._direct[target], scope, body, client)

    def _page(self, path: str, method: str) -> Answer:
        page = self._pages.get(path)
        if page is None:
            return 404, error_body(self._no_such(path)), [JSON]
        if method not in _GET:
            return 405, error_body("method not allowed; allowed: GET"), [JSON, (b"allow", b"GET, HEAD")]
        status, body = page()
        return status, body, [TEXT if path == "/metrics" else JSON]

    def _no_such(self, path: str) -> str:
        if path.startswith("/v2/models/"):
            return f"no such model or version; this server has {' and '.join(self._models)}"
        return f"no such path; there are {', '.join((*self._codecs, *self._pages))}"

    async def _send(self, scope: Message, receive: Receive, send: Send, answer: Answer) -> None:
        await drop_body(scope, receive)
        status, body, headers = answer
        headers.append((b"content-length", b"%d" % len(body)))
        if self.draining or time.monotonic() >= scope["state"]["closes_at"]:
            headers.append(CLOSE)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    # Probes

    def _livez(self) -> Shown:
        """Not live is what a restart may help: a call of the model that does not end."""
        if self.predicting.runner.overdue_seconds(time.monotonic()) > self._settings.protection.stuck_seconds:
            return 503, error_body("a call of the model does not end")
        return 200, b'{"live":true}'

    def _readyz(self) -> Shown:
        if self.draining:
            return 503, error_body("the server is stopping")
        if self._ready is None:
            return 503, error_body("the model is not loaded yet")
        if self.predicting.runner.overdue_seconds(time.monotonic()) > STOP_SECONDS:
            return 503, error_body("a call of the model has passed its deadline and goes on")
        return 200, b'{"ready":true}'

    def _version(self) -> Shown:
        ready, settings = self._ready, self._settings
        return 200, _encode(
            {
                "model": settings.model_name,
                "version": settings.model_version,
                "revision": settings.revision,
                "digest": ready.digest if ready else None,
                "modelId": ready.model.model_id if ready else None,
                "runId": ready.model.run_id if ready else None,
                "gitCommit": settings.git_commit or None,
                "flavour": ready.flavour if ready else None,
                # Of a scikit-learn model that is served as ONNX: the digest of that file.
                "conversion": ready.conversion.sha256 or None if ready and ready.conversion else None,
                "image": settings.image or None,
                "serving": __version__,
            }
        )

    def _openapi(self) -> Shown:
        if self._ready is None:
            return 503, error_body("the model is not loaded yet")
        if not self._described:  # made when it is first asked for: a start is not delayed by it
            self._described = openapi.of(self._ready, self._settings)
        return 200, self._described

    def _metrics_text(self) -> Shown:
        self.predicting.observed.tell()
        return 200, self._metrics.exposition()

    def _v2_server(self) -> Shown:
        return 200, v2.SERVER

    def _v2_model_ready(self) -> Shown:
        status, body = self._readyz()
        return status, _encode({"name": self._settings.model_name, "ready": True}) if status == 200 else body

    def _v2_model(self) -> Shown:
        if self._ready is None:
            return 503, error_body("the model is not loaded yet")
        return 200, self._v2_described


def _model_paths(settings: Settings) -> list[str]:
    """The short one, and the one with the version where the version is known."""
    path = f"/v2/models/{settings.model_name}"
    return [path, f"{path}/versions/{settings.model_version}"] if settings.model_version else [path]
