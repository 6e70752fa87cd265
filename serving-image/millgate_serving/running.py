"""Where a model's work happens: on the event loop while that is cheaper than a thread, in the model's thread else."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from millgate_serving.asgi import Headers

# Below this size and time a request is answered on the event loop, because a thread costs more than the work.
INLINE_BYTES = 64 << 10
_INLINE_SECONDS = 0.001

T = TypeVar("T")


class Runner:
    """One thread runs the model; how long its calls take decides whether it is needed."""

    def __init__(self) -> None:
        self._model_seconds = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")

    def is_short(self, body_bytes: int) -> bool:
        return body_bytes <= INLINE_BYTES and self._model_seconds <= _INLINE_SECONDS

    async def run(self, work: Callable[[], T], headers: Headers) -> T:  # noqa: ARG002 - a client may shorten its wait
        """In the model's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def learn(self, seconds: float) -> None:
        """A moving mean of 16. One long time is cut, as it may be the machine's and not the model's."""
        self._model_seconds += (min(seconds, 4 * _INLINE_SECONDS) - self._model_seconds) / 16
