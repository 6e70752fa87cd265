"""The one way of a prediction, whatever protocol asks for it.

Admitted, read, decoded, run on the loop or in the model's thread, guarded, encoded, sent, observed. A protocol is a
`Codec`; who may ask is `Admission`; what a model may answer is `OutputGuard`; where it runs is `Runner`.
"""

import time
from collections.abc import Awaitable, Callable
from functools import lru_cache, partial
from typing import Any, Protocol

from msgspec import Struct
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from millgate_serving import deadline, protection_metrics
from millgate_serving.admission import Admission
from millgate_serving.answers import Answers
from millgate_serving.asgi import (
    JSON,
    Answer,
    BodyMemory,
    ClientGoneError,
    Headers,
    Message,
    Receive,
    Send,
    error_body,
    read_body,
)
from millgate_serving.batching import batched
from millgate_serving.distributions import Distributions
from millgate_serving.engine import Outputs
from millgate_serving.exchange import Exchange
from millgate_serving.loading import ReadyModel
from millgate_serving.logs import Sparingly, described
from millgate_serving.measured import Measured
from millgate_serving.metrics import Metrics
from millgate_serving.observed import Observed
from millgate_serving.overload import Overload
from millgate_serving.refusal import Header, OutputRefused, Refusal
from millgate_serving.request_ids import HEADER as ID_HEADER
from millgate_serving.request_ids import RequestIds
from millgate_serving.running import INLINE_BYTES, Runner
from millgate_serving.settings import Settings
from millgate_serving.stopping import CallStopped, Stoppable
from millgate_serving.turns import Turns
from millgate_serving.validation import Arrays

_ERROR_LINES_PER_SECOND = 10
_UNAVAILABLE = 503

_Asked = tuple["Codec", ReadyModel, bytes, Headers, str]
"""Of a request what the model is asked with: codec, model, body, headers, request id."""

Respond = Callable[[Message, Receive, Send, Answer], Awaitable[None]]
"""Sends one whole answer."""


class Call(Struct, frozen=True, gc=False):
    """What a request asks: arrays in the order of the signature, and what its codec needs to answer it."""

    arrays: Arrays
    rows: int
    wants: Any = None


class Codec(Protocol):
    """One protocol. Prepared when the model is loaded; all raise Refusal."""

    @property
    def protocol(self) -> str:
        """Its name in metrics and logs."""

    def check(self, headers: Headers) -> None:
        """Before the body is read: 415."""

    def decode(self, body: bytes, headers: Headers) -> Call: ...

    def encode(self, outputs: Outputs, call: Call, request_id: str) -> tuple[bytes, tuple[Header, ...]]:
        """The body and its headers, the content type among them."""


class Client(Protocol):
    """Who gets a whole answer without a cycle and a task."""

    @property
    def gone(self) -> bool:
        """Whether an answer would reach nobody."""

    def answer(self, whole: bytes) -> None: ...


class Reply(Struct, frozen=True, gc=False):
    """What is to be sent, and what is known of how it came about."""

    status: int
    body: bytes
    headers: tuple[Header, ...] = (JSON,)
    reason: str = ""
    request_bytes: int = 0
    begun: float = 0.0
    model_seconds: float = 0.0
    call: Call | None = None
    outputs: Outputs | None = None


def refused(refusal: Refusal, **known: Any) -> Reply:
    return Reply(refusal.status, error_body(refusal.message), (JSON, *refusal.headers), refusal.reason, **known)


def _whole(reply: Reply, request_id: str) -> bytes:
    """The answer as it goes over an HTTP/1.1 connection that goes on."""
    body = reply.body
    head = _head(reply.status, reply.headers)
    return b"%b%b\r\ncontent-length: %d\r\n\r\n%b" % (head, request_id.encode(), len(body), body)


@lru_cache(maxsize=256)
def _head(status: int, headers: tuple[Header, ...]) -> bytes:
    """Up to the request's id: nearly all answers of a server begin with one of a few."""
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    return b"%b%b%b: " % (STATUS_LINE[status], lines, ID_HEADER)


class Predicting:
    """State is changed on the event loop only, but for one assignment: the model arrives."""

    def __init__(self, settings: Settings, metrics: Metrics, respond: Respond) -> None:
        self._settings = settings
        self._metrics = metrics
        self._respond = respond
        self._ready: ReadyModel | None = None
        self._errors = Sparingly(_ERROR_LINES_PER_SECOND)
        self.distributions = Distributions(Measured("none"))
        self.runner = Runner(settings.protection)
        cache_bytes = settings.protection.cache_bytes
        self._answers: Answers[Call] | None = Answers(cache_bytes) if cache_bytes else None
        self.memory = BodyMemory()
        self.turns = Turns(lambda: self.runner.least_seconds)
        self.overload = Overload(lambda: self.turns.seconds)
        self.admission = Admission(settings.protection, self.overload)
        self._ids = RequestIds()
        self.segment_of: Callable[[Call], str] = _no_segment
        self.observed = Observed(self._not_observed)
        self.observed.join(metrics)

    def serve(self, ready: ReadyModel, distributions: Distributions) -> None:
        """From now on requests are answered by this model."""
        self.distributions = distributions
        ready = batched(ready, self._settings.protection.max_batch_rows)
        if isinstance(ready.engine, Stoppable):
            self.runner.stop = ready.engine.stop
            self.runner.expect(ready.call_seconds)
        lines = protection_metrics.lines_of(self.runner, self.turns, time.monotonic, ready.guard, self._answers)
        self._metrics.add(lines)
        self._ready = ready

    def tick(self) -> None:
        """Called ten times a second."""
        self.observed.tell()
        self.overload.tick(self.turns.least_seconds())

    def answer_now(self, codec: Codec, scope: Message, body: bytes, client: Client) -> bool:
        """The same as `answer`, for a request whose body is here: it is answered before this returns, or in its turn.

        False, and nothing has happened, where a thread is to do it.
        """
        ready, runner = self._ready, self.runner
        if ready is None or not runner.is_short(len(body)):
            return False
        started = time.perf_counter()
        headers: Headers = dict(scope["headers"])
        request_id, name = self._ids.of(headers), ""
        try:
            name = self._admitted(codec, scope, headers)
            if not self.turns.take():
                runner.check_patience(headers, self.turns.seconds)
                self.memory.hold(scope, len(body))
                asked = (codec, ready, body, headers, request_id)
                self.turns.join(partial(self._answer_in_turn, asked, scope, client, name, started))
                self._metrics.inflight += 1
                return True
            reply = self._run_here(codec, ready, body, headers, request_id)
        except Refusal as refusal:
            reply = refused(refusal)
        except Exception as error:  # noqa: BLE001 - a defect of ours; the parser would take it for malformed HTTP
            reply = self._failed(error)
        client.answer(_whole(reply, request_id))
        self._observe(codec, reply, headers, (name, request_id), started)
        return True

    def _answer_in_turn(self, asked: _Asked, scope: Message, client: Client, name: str, started: float) -> None:
        """Of a request that had to wait, what `answer_now` does of one that had not."""
        self._metrics.inflight -= 1
        self.memory.release(scope)
        if client.gone:
            return
        codec, _, _, headers, request_id = asked
        try:
            reply = self._run_in_turn(asked, started)
        except Refusal as refusal:
            reply = refused(refusal)
        except Exception as error:  # noqa: BLE001 - others wait for their turn
            reply = self._failed(error)
        client.answer(_whole(reply, request_id))
        self._observe(codec, reply, headers, (name, request_id), started)

    def _failed(self, error: Exception) -> Reply:
        self._errors.log("request failed", "error", **described(error))
        return Reply(500, error_body("the server failed to answer"), (JSON,), "ServerFailed")

    async def answer(self, codec: Codec | None, scope: Message, receive: Receive, send: Send) -> None:
        """Without a codec there is no model yet."""
        started = time.perf_counter()
        headers: Headers = dict(scope["headers"])
        request_id, client = self._ids.of(headers), ""
        self._metrics.inflight += 1
        try:
            try:
                client = self._admitted(codec, scope, headers)
                reply = await self._reply(codec, scope, receive, headers, request_id)
            except Refusal as refusal:
                reply = refused(refusal)
            answered = [*reply.headers, (ID_HEADER, request_id.encode())]
            await self._respond(scope, receive, send, (reply.status, reply.body, answered))
        except ClientGoneError:
            return  # there is nobody to answer, and nothing to blame the model for
        finally:
            self._metrics.inflight -= 1
            self.memory.release(scope)
        self._observe(codec, reply, headers, (client, request_id), started)

    def _admitted(self, codec: Codec | None, scope: Message, headers: Headers) -> str:
        if scope["method"] != "POST":
            raise Refusal(405, "method not allowed; allowed: POST", ((b"allow", b"POST"),))
        client = self.admission.admit(scope, headers)
        if codec is not None:
            codec.check(headers)
        return client

    @property
    def may_refuse(self) -> bool:
        """Whether it is worth asking `refuse`: requests wait for the model."""
        return (self.runner.is_busy or self.turns.waiting > 0) and self.admission.open

    def refuse(self, codec: Codec, headers: Headers) -> bytes | None:
        """The 503 that a POST would get whatever its body is; none if it may get anything else.

        What `answer` asks, in its order, before a task and a cycle have been made: these are most of a refusal's price.
        """
        started = time.perf_counter()
        if deadline.HEADER in headers:
            return None
        try:
            self.overload.check(crowded=False)
            codec.check(headers)
            if not self.runner.is_short(0):
                self.runner.check_room(deadline.seconds_of(headers, self._settings.protection.deadline_seconds))
        except Refusal as refusal:
            if refusal.status != _UNAVAILABLE:
                return None
            reply = refused(refusal)
            request_id = self._ids.of(headers)
            self._observe(codec, reply, headers, ("", request_id), started)
            return _whole(reply, request_id)
        return None

    async def _reply(
        self, codec: Codec | None, scope: Message, receive: Receive, headers: Headers, request_id: str
    ) -> Reply:
        body = await read_body(scope, receive, self.memory)
        ready = self._ready
        if codec is None or ready is None:
            raise Refusal(503, "the model is not loaded yet", reason="NotLoaded")
        if self.runner.is_short(len(body)):
            if self.turns.take():
                return self._run_here(codec, ready, body, headers, request_id)
            self.runner.check_patience(headers, self.turns.seconds)
            self.memory.hold(scope, len(body))
            asked = (codec, ready, body, headers, request_id)
            return await self.turns.run(partial(self._run_in_turn, asked, time.perf_counter()))
        work = partial(self._run_and_count, codec, ready, body, headers, request_id)
        return await self.runner.run(work, headers)

    def _run_in_turn(self, asked: _Asked, came: float) -> Reply:
        """On the event loop, of a request that had to wait since then. Raises Refusal where that was too long."""
        codec, ready, body, headers, request_id = asked
        self.runner.check_waited(headers, time.perf_counter() - came)
        return self._run_here(codec, ready, body, headers, request_id)

    def _run_here(self, codec: Codec, ready: ReadyModel, body: bytes, headers: Headers, request_id: str) -> Reply:
        """On the event loop."""
        runner = self.runner
        runner.here_since = time.monotonic()
        try:
            return self._run(codec, ready, body, headers, request_id)
        finally:
            runner.here_since = 0.0

    def _run_and_count(self, codec: Codec, ready: ReadyModel, body: bytes, headers: Headers, request_id: str) -> Reply:
        """In the model's thread: thousands of rows must not be counted on the event loop."""
        reply = self._run(codec, ready, body, headers, request_id)
        if self.distributions.due:
            self.distributions.count()
        return reply

    def _run(self, codec: Codec, ready: ReadyModel, body: bytes, headers: Headers, request_id: str) -> Reply:
        """Decode, run, encode. On the loop or in the model's thread; only the model itself can make it a 500."""
        begun = time.perf_counter()
        known = key = None
        if self._answers is not None:
            key = self._answers.key(codec.protocol, headers, body)
            known = self._answers.get(key)
        try:
            call = codec.decode(body, headers) if known is None else known[0]
        except Refusal as refusal:
            return refused(refusal, request_bytes=len(body), begun=begun)
        except Exception as error:  # noqa: BLE001 - a defect of the decoder; a client's input must never be a 5xx
            self._errors.log("request not understood", "error", **described(error))
            return refused(Refusal(400, "the body cannot be read"), request_bytes=len(body), begun=begun)
        started = time.perf_counter()
        outputs = seconds = None
        status, reason = 200, ""
        content_headers: tuple[Header, ...] = (JSON,)
        try:
            outputs = ready.predict(call.arrays) if known is None else known[1]
            seconds = time.perf_counter() - started
            if ready.guard is not None:
                ready.guard.check(outputs)
            content, content_headers = codec.encode(outputs, call, request_id)
            if self._answers is not None and key is not None and known is None:
                self._answers.keep(key, call, call.arrays, outputs, len(body) + len(content))
        except OutputRefused as error:
            status, reason = 500, "OutputRefused"
            content = error_body(f"the model's answer broke its own rule: {error.message}")
        except CallStopped:
            self.runner.distrust()
            status, reason = 504, "DeadlineExceeded"
            content = error_body("the model did not answer within the deadline")
        except Exception as error:  # noqa: BLE001 - whatever the model raises is the model's failure
            self._log_failure(error)
            status, reason, content = 500, "ModelFailed", error_body("the model failed to answer")
        finally:
            self.distributions.leave(call.arrays, outputs)
        ended = time.perf_counter() - started
        if status == 200 and len(body) <= INLINE_BYTES:
            self.runner.learn(ended)
        model_seconds = ended if seconds is None else seconds
        return Reply(status, content, content_headers, reason, len(body), begun, model_seconds, call, outputs)

    def _log_failure(self, error: Exception) -> None:
        text = {"message": str(error)[:1000]} if self._settings.log_model_errors else {}
        self._errors.log("model failed", "error", **described(error), **text)

    # Observing

    def _observe(
        self, codec: Codec | None, reply: Reply, headers: Headers, who: tuple[str, str], started: float
    ) -> None:
        """Nothing that goes wrong here reaches a client, who has the answer."""
        seconds = time.perf_counter() - started
        try:
            call = reply.call
            exchange = Exchange(
                time.time(),
                "" if codec is None else codec.protocol,
                reply.status,
                *who,
                headers.get(b"traceparent", b"").decode("latin-1"),
                0 if call is None else call.rows,
                max(reply.begun - started, 0.0),
                reply.model_seconds,
                seconds,
                "" if call is None else self.segment_of(call),
                reply.request_bytes,
                len(reply.body),
                reply.reason,
                None if call is None else call.arrays,
                reply.outputs,
            )
        except Exception as error:  # noqa: BLE001 - a segment that cannot be told
            self._not_observed(error)
            return
        self.observed.add(exchange)
        # Both at once would hold up the next request for twice as long.
        if self.distributions.due:
            self.distributions.count()
        elif self.observed.due:
            self.observed.tell()

    def _not_observed(self, error: Exception) -> None:
        self._errors.log("request not observed", "error", **described(error))


def _no_segment(_call: Call) -> str:
    return ""
