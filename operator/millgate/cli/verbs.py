"""What the six verbs ask for, when they are done, and what they say then. Pure: the cluster is a View of it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from millgate.api.conditions import ConditionType, Reason
from millgate.api.request import Request, RequestAction
from millgate.api.status import LastRequest, RequestResult
from millgate.cli.text import span
from millgate.cli.view import View, version_of


class Exit(IntEnum):
    """The exit codes, as `docs/cli.md` lists them."""

    OK = 0
    ERROR = 1
    UNCHANGED = 3
    REFUSED = 4
    WAITS_FOR_A_PERSON = 5
    TIMEOUT = 6
    INTERRUPTED = 130  # as a shell reports a program that Ctrl-C ended


@dataclass(frozen=True)
class Answer:
    """How a verb ended, and the sentence for a person."""

    exit: Exit
    text: str


@dataclass(frozen=True)
class Waiting:
    """What is still missing."""

    text: str


@dataclass(frozen=True)
class Asked:
    """A request that was written, and the ModelDeployment as it was just before."""

    request: Request
    before: View

    @property
    def leaving(self) -> str | None:
        """The hash that an Abort or Rollback takes the traffic from."""
        status = self.before.status
        if self.request.action not in {RequestAction.ABORT, RequestAction.ROLLBACK}:
            return None
        track = status.candidate if self.before.in_flight else status.stable
        return track.hash if track else None


def request_for(action: RequestAction, view: View, id_: str) -> Request:
    """Bound to the rollout in hand, so that an answer cannot come too late and hit another candidate.

    Pause and Resume concern the ModelDeployment, and Retry a rollout that is over: they are bound to none.
    """
    bound = action in {RequestAction.PROMOTE, RequestAction.ABORT, RequestAction.ROLLBACK}
    rollout = view.status.rollout
    return Request(id_, action, rollout.id if bound and rollout else None)


def nothing_to_do(action: RequestAction, view: View) -> Answer | None:
    """Asking for what holds already, or for what cannot be, writes nothing."""
    if action is RequestAction.PROMOTE and view.status.rollout is None:
        return Answer(Exit.UNCHANGED, f"{view.title} has no rollout in flight: there is nothing to promote")
    if action is RequestAction.PAUSE and view.status.paused_by:
        return Answer(Exit.UNCHANGED, f"{view.title} is paused already")
    if action is RequestAction.RESUME and not view.status.paused_by:
        if view.spec is not None and view.spec.paused:
            return Answer(Exit.WAITS_FOR_A_PERSON, f"{view.title} is paused by `spec.paused`: set it to false")
        return Answer(Exit.UNCHANGED, f"{view.title} is not paused")
    return None


def warning(action: RequestAction, view: View) -> str | None:
    """What Git will make of a rollback: Millgate never writes `spec`, so nothing is reverted, but Git is not told."""
    if view.managed_by is None or action not in {RequestAction.ROLLBACK, RequestAction.ABORT}:
        return None
    track = view.status.candidate if view.in_flight else view.status.stable
    return (
        f"managed by {view.managed_by}: Git goes on asking for {version_of(track)}, which stays out; the object shows "
        "as failed until Git asks for another version (git revert)"
    )


def progress(asked: Asked, view: View, elapsed_seconds: float) -> Answer | Waiting:
    """Has the request been answered, and is what it asked for true by now?"""
    last = view.status.last_request
    if last is None or last.id != asked.request.id:
        return _unanswered(asked, view)
    if last.result is RequestResult.REFUSED:
        return Answer(Exit.REFUSED, f"{view.title} {_verb(asked)} refused: {last.message}")
    if asked.leaving is not None:
        return _gone(asked, view, elapsed_seconds)
    return _SAY[asked.request.action](view, last, span(elapsed_seconds))


def _unanswered(asked: Asked, view: View) -> Answer | Waiting:
    if view.asked is not None and view.asked != asked.request.id:
        text = f"{view.title}: another request ({view.asked}) took the place of this one before its answer was seen"
        return Answer(Exit.ERROR, text)
    return Waiting("waiting for the operator to answer")


def _gone(asked: Asked, view: View, elapsed_seconds: float) -> Answer | Waiting:
    """An Abort or Rollback is done when no live request goes to the revision that was left."""
    status = view.status
    tracks = [track for track in (status.stable, status.candidate, status.previous) if track is not None]
    still = [track for track in tracks if track.hash == asked.leaving and track.observed_weight_percent]
    serving = status.stable
    if still:
        return Waiting(f"{version_of(still[0])} still gets {still[0].observed_weight_percent}% of the traffic")
    if serving is not None and serving.hash == asked.leaving:
        return Waiting("waiting for the revision before to be ready")
    took = span(elapsed_seconds)
    if serving is None:
        return Answer(Exit.OK, f"{view.title} {_done(asked)}: no version serves ({took})")
    if serving.observed_weight_percent not in {None, 100}:
        return Waiting(f"{version_of(serving)} gets {serving.observed_weight_percent}% of the traffic")
    return Answer(Exit.OK, f"{view.title} {_done(asked)}: 100% on {version_of(serving)} after {took}")


def _done(asked: Asked) -> str:
    return "aborted" if asked.request.action is RequestAction.ABORT else "rolled back"


def _verb(asked: Asked) -> str:
    return asked.request.action.value.lower()


def _promoted(view: View, last: LastRequest, took: str) -> Answer:
    paused = view.condition(ConditionType.PAUSED)
    said = f"{view.title} promote applied: {last.message} (answered in {took})"
    if (
        paused is not None
        and paused.status == "True"
        and paused.reason in {Reason.PAUSED_BY_USER, Reason.PAUSED_BY_SPEC}
    ):
        way_out = "`spec.paused` is true" if paused.reason == Reason.PAUSED_BY_SPEC else "resume it first"
        return Answer(Exit.WAITS_FOR_A_PERSON, f"{said}; the weight stays as it is while paused: {way_out}")
    return Answer(Exit.OK, said)


def _paused(view: View, last: LastRequest, took: str) -> Answer:
    del last
    candidate = view.status.candidate
    weight = candidate.observed_weight_percent if candidate else None
    at = "" if weight is None else f" at {weight}%"
    resume = f"kubectl millgate resume {view.name} -n {view.namespace}"
    return Answer(Exit.OK, f"{view.title} paused{at} (answered in {took}); resume with: {resume}")


def _resumed(view: View, last: LastRequest, took: str) -> Answer:
    del last
    if view.spec is not None and view.spec.paused:
        text = f"{view.title} resumed (answered in {took}), but `spec.paused` is true: set it to false"
        return Answer(Exit.WAITS_FOR_A_PERSON, text)
    return Answer(Exit.OK, f"{view.title} resumed (answered in {took})")


def _answered(view: View, last: LastRequest, took: str) -> Answer:
    return Answer(Exit.OK, f"{view.title} {last.action.lower()} applied: {last.message} (answered in {took})")


_SAY: dict[RequestAction, Callable[[View, LastRequest, str], Answer]] = {
    RequestAction.PROMOTE: _promoted,
    RequestAction.RETRY: _answered,
    RequestAction.PAUSE: _paused,
    RequestAction.RESUME: _resumed,
    # Without a revision to leave there is nothing more to wait for.
    RequestAction.ABORT: _answered,
    RequestAction.ROLLBACK: _answered,
}
