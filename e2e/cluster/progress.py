"""Says what is being done and how long it took: one line at the start, one every 15 seconds, one at the end."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

TICK_SECONDS = 15.0
_started = time.monotonic()
_quiet = False


def quiet(*, on: bool) -> None:
    """Tests that bring up many clusters want no progress lines."""
    global _quiet  # noqa: PLW0603  one terminal, one switch
    _quiet = on


def say(text: str) -> None:
    if not _quiet:
        print(f"[{time.monotonic() - _started:6.1f}s] {text}", file=sys.stderr, flush=True)


@contextmanager
def phase(what: str) -> Iterator[None]:
    """A step worth naming; steps in other threads may overlap, so every line carries the step's name."""
    begun = time.monotonic()
    done = threading.Event()

    def tick() -> None:
        while not done.wait(TICK_SECONDS):
            say(f"{what} … {time.monotonic() - begun:.0f} s so far")

    say(f"{what} …")
    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    outcome = "failed"
    try:
        yield
        outcome = "done"
    finally:
        done.set()
        ticker.join()
        say(f"{what}: {outcome} in {time.monotonic() - begun:.1f} s")
