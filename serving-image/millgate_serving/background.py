"""Work that no request waits for: a bounded buffer in front of a thread, which counts what does not fit into it."""

import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_PAUSE_SECONDS = 0.25  # nothing waits for longer; batches of that size cost the event loop least
_NICENESS: Final = 10  # a tenth of a core that the event loop could fill, which is more than there is to do


def _step_back() -> None:
    """The calling thread, and each that it starts, lets the event loop go first where they share a core.

    Linux lets a thread go on for 2.8 ms before another one of its rank, though that has a request to answer.
    """
    if sys.platform == "linux":  # elsewhere niceness is the whole process's
        os.nice(_NICENESS)


def in_background(make: Callable[[], T]) -> T:
    """What `make` returns; the threads that it starts let the event loop go first."""
    with ThreadPoolExecutor(1, initializer=_step_back) as thread:
        return thread.submit(make).result()


class Background(Generic[T]):
    """`work` gets what was put, in order and in batches, on a thread of its own.

    What would make the buffer larger than `limit` (in the unit in which `put` is told the size) is dropped and counted.
    When `work` raises, its batch is lost and counted, `failed` is told why, and the next batch has its chance.
    """

    def __init__(
        self, name: str, work: Callable[[list[T]], None], limit: int, failed: Callable[[Exception], None]
    ) -> None:
        self._work = work
        self._limit = limit
        self._failed = failed
        self._waiting: list[T] = []
        self._size = 0
        # A signal is logged by the thread that it interrupts, perhaps in the middle of `put`.
        self._lock = threading.RLock()
        self._wanted = threading.Event()
        self._closing = False
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, items: Sequence[T], size: int, *, soon: bool = False) -> None:
        """Never waits. `size` is that of all items. `soon`: a person may be looking, so do not let them lie."""
        with self._lock:
            if self._size + size > self._limit:
                self.dropped += len(items)
                return
            self._waiting += items
            self._size += size
        if soon:
            self._wanted.set()

    def close(self, seconds: float) -> None:
        """Work on what is there, for at most so long: a sink that hangs must not keep a pod from ending."""
        self._closing = True
        self._wanted.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        _step_back()
        while True:
            self._wanted.wait(_PAUSE_SECONDS)
            self._wanted.clear()
            last = self._closing
            with self._lock:
                batch, self._waiting = self._waiting, []
                size = self._size
            if batch:
                self._do(batch, size)
            if last:
                return

    def _do(self, batch: list[T], size: int) -> None:
        """What is being worked on still takes its place in the buffer, or a hanging sink would have room for two."""
        try:
            self._work(batch)
        except Exception as error:  # noqa: BLE001 - a full disk, a closed pipe, a defect: the server goes on
            with self._lock:
                self.dropped += len(batch)
            self._failed(error)
        finally:
            with self._lock:
                self._size -= size
