"""What is known of one request once it was answered: the record that metrics, logs and traces are made from."""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from millgate_serving.validation import Arrays


class Exchange(Struct, frozen=True, gc=False):
    """Times in seconds; `moment` is the Unix time of the answer.

    `reason` is one of few words for what was refused or failed, empty for a prediction.

    `arrays` are there when the request was understood, `outputs` when the model answered; `rows` is 0 before that.
    """

    moment: float
    protocol: str
    status: int
    client: str
    request_id: str
    traceparent: str
    rows: int
    queue_seconds: float
    model_seconds: float
    seconds: float
    segment: str
    request_bytes: int
    answer_bytes: int
    reason: str = ""
    arrays: Arrays | None = None
    outputs: list[tuple[str, Any]] | None = None


Sink = Callable[[Sequence[Exchange]], None]
"""Called on the event loop, soon after the answers were sent. It must not block, and what it raises reaches nobody."""
