"""`POST /feedback` over HTTP: the same clients, limits and refusals as for predictions, and none of their metrics."""

from collections.abc import Callable

from millgate_serving.admission import Admission
from millgate_serving.asgi import (
    JSON,
    BodyMemory,
    ClientGoneError,
    Headers,
    Message,
    Receive,
    Send,
    error_body,
    read_body,
)
from millgate_serving.feedback import Feedback
from millgate_serving.predict_json import check_is_json
from millgate_serving.predicting import Respond
from millgate_serving.refusal import Header, Refusal

PATH = "/feedback"


class FeedbackPath:
    """`feedback` gives what joins labels to predictions; None where that is switched off, or not ready."""

    def __init__(
        self,
        admission: Admission,
        memory: BodyMemory,
        respond: Respond,
        feedback: Callable[[], Feedback | None],
    ) -> None:
        self._admission = admission
        self._memory = memory
        self._respond = respond
        self._feedback = feedback

    async def answer(self, scope: Message, receive: Receive, send: Send) -> None:
        headers: list[Header] = [JSON]
        try:
            status, body = 200, await self._joined(scope, receive)
        except Refusal as refusal:
            status, body = refusal.status, error_body(refusal.message)
            headers += refusal.headers
        except ClientGoneError:
            return
        finally:
            self._memory.release(scope)
        await self._respond(scope, receive, send, (status, body, headers))

    async def _joined(self, scope: Message, receive: Receive) -> bytes:
        self._check(scope, dict(scope["headers"]))
        body = await read_body(scope, receive, self._memory)
        feedback = self._feedback()
        if feedback is None:
            raise Refusal(404, "this server takes no feedback: MILLGATE_FEEDBACK_ROWS is 0, or it has no model yet")
        return await feedback.answer(body)

    def _check(self, scope: Message, headers: Headers) -> None:
        if scope["method"] != "POST":
            raise Refusal(405, "method not allowed; allowed: POST", ((b"allow", b"POST"),))
        self._admission.admit(scope, headers)
        check_is_json(headers)
