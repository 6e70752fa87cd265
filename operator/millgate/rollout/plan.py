"""What `plan` answers: small values that say what is to be done, and leave the how to the controller."""

from dataclasses import dataclass
from typing import Literal

from millgate.api.conditions import EventReason
from millgate.api.revision import Revision
from millgate.api.spec import Gate
from millgate.api.status import Status


@dataclass(frozen=True)
class EnsureRevision:
    """The revision's Deployment and Service exist, the Deployment with this many replicas."""

    revision: Revision
    digest: str | None
    replicas: int
    fingerprint: str | None = None


@dataclass(frozen=True)
class EnsureBaseline:
    """Fresh pods of the stable revision serve beside its own, this many, to compare a candidate with."""

    revision: Revision
    digest: str | None
    replicas: int


@dataclass(frozen=True)
class RemoveBaseline:
    """The baseline of a revision is gone, with its pods."""

    hash: str


@dataclass(frozen=True)
class Scale:
    """The Deployment of a revision that exists has this many replicas."""

    hash: str
    replicas: int


@dataclass(frozen=True)
class Route:
    """Live requests go to these revisions: percent by hash, summing to 100. One atomic write."""

    weights: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class RunPreflight:
    """The Job that fetches, hashes and loads the model before any pod of it serves. A pinned digest is verified."""

    revision: Revision
    digest: str | None
    attempt: int


@dataclass(frozen=True)
class RunGateJob:
    """The Job of a gate, for one visit of a step: `visit` is `names.visit_of(step_start_time)`.

    Both models are fetched by a check of the image: `stable` is None where nobody knows any longer what it is made of.
    """

    gate: Gate
    step: str
    revision: Revision
    stable_hash: str | None
    visit: int
    digest: str | None = None
    stable: Revision | None = None
    stable_digest: str | None = None


@dataclass(frozen=True)
class StopJobs:
    """No preflight or gate Job of this revision runs any longer."""

    hash: str


@dataclass(frozen=True)
class Retire:
    """Everything of a revision that is not needed any longer is deleted."""

    hash: str


Action = (
    EnsureRevision | EnsureBaseline | RemoveBaseline | Scale | Route | RunPreflight | RunGateJob | StopJobs | Retire
)


@dataclass(frozen=True)
class Event:
    """A Kubernetes event: something has just happened."""

    type: Literal["Normal", "Warning"]
    reason: EventReason
    message: str


@dataclass(frozen=True)
class Plan:
    """What to do now, in this order: `actions`, the status, `then`.

    Actions say what must hold, so they are repeated on every call and cost nothing where it holds already. The first
    one that fails ends `actions` and `then`; the status is written all the same: decisions outlive a failed write.
    What stands in `then` may only happen once the status is stored, for the status opens the window of evidence.
    """

    actions: tuple[Action, ...]
    status: Status
    then: tuple[Action, ...] = ()
    events: tuple[Event, ...] = ()
    requeue_after_seconds: float | None = None
