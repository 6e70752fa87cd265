"""Where a model's work happens, for how long, and how much of it at once.

On the event loop while that is cheaper than a thread; else in one of few threads, before which few requests wait. A
request that cannot be answered in time is refused before it waits, and one whose deadline passes is answered at once,
whatever the model does. A call that nobody waits for any more is ended where its engine knows how (`stopping`).
"""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from millgate_serving import deadline
from millgate_serving.asgi import Headers
from millgate_serving.logs import log
from millgate_serving.overload import overloaded
from millgate_serving.protection import Protection
from millgate_serving.refusal import Refusal

# Below this size and time a request is answered on the event loop, because a thread costs more than the work.
INLINE_BYTES = 64 << 10
_INLINE_SECONDS = 0.001
_SLOWLY: Final = 1024
_LONGEST_RETRY_SECONDS: Final = 60
STOP_SECONDS: Final = 1.0
"""What a call that was told to end is given to do so, before it counts as stuck."""

T = TypeVar("T")


class _Job:
    """One call in a thread; `began` is 0 until a thread has begun with it."""

    __slots__ = ("answer", "began", "is_clients_deadline", "loop", "thread", "work")

    def __init__(self, work: Callable[[], Any], loop: asyncio.AbstractEventLoop, *, is_clients_deadline: bool) -> None:
        self.work = work
        self.is_clients_deadline = is_clients_deadline
        self.loop = loop
        self.answer: asyncio.Future[Any] = loop.create_future()
        self.began = 0.0
        self.thread = 0


class Runner:
    """State is changed on the event loop only, but for what a thread notes of its own job."""

    def __init__(self, limits: Protection) -> None:
        self._limits = limits
        # Until it is known a model counts as slow: a call that never ends must not take the loop with it.
        self._model_seconds = 4 * _INLINE_SECONDS
        # What a call takes when nothing disturbs it: also on a machine that has little time for this process.
        self.least_seconds = _INLINE_SECONDS
        self._job_seconds = 0.0
        self._running: set[_Job] = set()
        self._waiting: deque[_Job] = deque()
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._threads = 0
        self.stop: Callable[[int], None] = _cannot_stop
        self.here_since = 0.0  # when the call that is on the loop began, 0 while there is none

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Calls in threads, those among them that nobody waits for any more."""
        return len(self._running)

    @property
    def is_busy(self) -> bool:
        """Requests wait, so that the next one may find no room."""
        return bool(self._waiting)

    def is_short(self, body_bytes: int) -> bool:
        return body_bytes <= INLINE_BYTES and self._model_seconds <= _INLINE_SECONDS

    def expect(self, seconds: float) -> None:
        """Of a model whose calls can be ended, what one took. The first thousand requests may come at the same time."""
        self._model_seconds = min(seconds, self._model_seconds)

    def learn(self, seconds: float) -> None:
        """A moving mean of 16. One long time is cut, as it may be the machine's and not the model's."""
        if seconds < self.least_seconds:
            self.least_seconds = seconds
        else:
            self.least_seconds += (seconds - self.least_seconds) / _SLOWLY
        self._model_seconds += (min(seconds, 4 * _INLINE_SECONDS) - self._model_seconds) / 16

    def overdue_seconds(self, now: float) -> float:
        """By how much the longest running call has passed the deadline; 0 if none has. `now` is monotonic."""
        limit = self._limits.deadline_seconds
        if not limit:
            return 0.0
        begun = [self.here_since, *(job.began for job in self._running)]
        return max(0.0, *(now - limit - began for began in begun if began), 0.0)

    async def run(self, work: Callable[[], T], headers: Headers) -> T:
        """In a thread. Raises Refusal 503 at once where there is no room, or 504 when the deadline passes.

        408 instead where the client has set the deadline: no client may cause what a gate counts as an error.
        """
        loop = asyncio.get_running_loop()
        seconds = deadline.seconds_of(headers, self._limits.deadline_seconds)
        self.check_room(seconds)
        job = _Job(work, loop, is_clients_deadline=seconds < (self._limits.deadline_seconds or math.inf))
        timer = loop.call_later(seconds, self._expire, job) if seconds < math.inf else None
        if len(self._running) < self._limits.concurrency:
            self._start(job)
        else:
            self._waiting.append(job)
        try:
            answer: T = await job.answer
        finally:
            if timer is not None:
                timer.cancel()
        return answer

    def check_patience(self, headers: Headers, expected_seconds: float) -> None:
        """Of a request that would wait so long for the loop. Raises Refusal 503, or 408 where the client is hasty."""
        if expected_seconds > (self._limits.deadline_seconds or math.inf):
            raise overloaded("the model has more requests than it can answer")
        if expected_seconds > deadline.seconds_of(headers, self._limits.deadline_seconds):
            raise _too_short()

    def check_waited(self, headers: Headers, seconds: float) -> None:
        """Of a request that has waited so long for the loop. Raises Refusal 504, or 408 where the client was hasty."""
        limit = self._limits.deadline_seconds
        if seconds > (limit or math.inf):
            raise _waited_too_long()
        if seconds > deadline.seconds_of(headers, limit):
            raise _too_short()

    def check_room(self, seconds: float) -> None:
        """Of a request that may take so long. Raises Refusal 503, or 408 where that is too short."""
        if len(self._running) < self._limits.concurrency:
            return
        if self._limits.deadline_seconds and self._is_stuck(time.monotonic()):
            raise Refusal(503, "the model does not answer", overloaded("").headers, "Stuck")
        expected = (len(self._waiting) + 1) * self._job_seconds / self._limits.concurrency
        if len(self._waiting) >= self._limits.queue or expected > (self._limits.deadline_seconds or math.inf):
            after = min(max(1, math.ceil(expected)), _LONGEST_RETRY_SECONDS)
            raise overloaded("the model has more requests than it can answer", after)
        if expected > seconds:
            raise _too_short()

    def _is_stuck(self, now: float) -> bool:
        """Whether every thread has a call that has passed the deadline and goes on."""
        latest = now - self._limits.deadline_seconds - STOP_SECONDS
        return all(0 < job.began < latest for job in self._running)

    def _start(self, job: _Job) -> None:
        self._running.add(job)
        self._jobs.put(job)
        if self._threads < len(self._running):
            self._threads += 1
            threading.Thread(target=self._work, name="model", daemon=True).start()

    def _expire(self, job: _Job) -> None:
        if job.answer.done():
            return
        if job.began:
            refusal = Refusal(504, "the model did not answer within the deadline", reason="DeadlineExceeded")
            self.stop(job.thread)
        else:
            refusal = _waited_too_long()
            if job in self._waiting:
                self._waiting.remove(job)
        job.answer.set_exception(_too_short() if job.is_clients_deadline else refusal)

    def _ended(self, job: _Job, result: Any, error: BaseException | None) -> None:
        self._running.discard(job)
        self._job_seconds += (time.monotonic() - job.began - self._job_seconds) / 8
        if not job.answer.done():
            if error is None:
                job.answer.set_result(result)
            else:
                job.answer.set_exception(error)
        while self._waiting and len(self._running) < self._limits.concurrency:
            self._start(self._waiting.popleft())

    def _work(self) -> None:
        """The life of a thread; a daemon's, because a call that never ends must not keep the process from ending."""
        while True:
            job = self._jobs.get()
            job.thread = threading.get_ident()
            job.began = time.monotonic()
            result, error = None, None
            try:
                result = job.work()
            except BaseException as raised:  # noqa: BLE001 - it is told to the request that waits
                error = raised
            try:
                job.loop.call_soon_threadsafe(self._ended, job, result, error)
            except RuntimeError:  # the loop is closed: the server has stopped
                return

    # Calls on the loop

    def watch(self) -> None:
        """From a thread of its own, ends a call on the loop whose deadline has passed. Call it on the loop.

        The loop itself cannot, as it is where the call is. Where the engine cannot end a call, the probes get no
        answer, and the kubelet restarts the container.
        """
        if self._limits.deadline_seconds:
            threading.Thread(target=self._watch, args=(threading.get_ident(),), name="watch", daemon=True).start()

    def _watch(self, loop_thread: int) -> None:
        limit = self._limits.deadline_seconds
        told = 0.0
        while True:
            time.sleep(min(max(limit / 10, 0.01), 1.0))
            since = self.here_since
            if since and time.monotonic() - since > limit:
                self.stop(loop_thread)
                if told != since:
                    told = since
                    log("model call passed its deadline on the event loop", "error", deadlineSeconds=limit)

    def distrust(self) -> None:
        """A call on the loop had to be ended: the next ones go to a thread, until many were short again."""
        self._model_seconds = 4 * _INLINE_SECONDS


def _waited_too_long() -> Refusal:
    return Refusal(504, "the request waited for the model until its deadline", reason="DeadlineExceeded")


def _too_short() -> Refusal:
    return Refusal(408, "the model does not answer within the time that the request gives it", reason="TooSlow")


def _cannot_stop(_thread: int) -> None:
    """An engine that cannot end a call: it goes on, and its thread with it."""
