"""Ending a call of the model from outside, where its engine knows how."""

from typing import Protocol, runtime_checkable


class CallStopped(Exception):  # noqa: N818 - not a failure of the model: it was asked to end
    """A call was ended before it had an answer."""


@runtime_checkable
class Stoppable(Protocol):
    """An engine whose calls can be ended from outside."""

    def stop(self, thread: int) -> None:
        """The call that runs in this thread, if there is one, ends soon with CallStopped."""
