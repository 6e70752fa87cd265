"""What `plan` sees: one ModelDeployment and everything around it at one moment, as plain immutable data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from millgate.api.conditions import Reason
from millgate.api.request import MalformedRequest, Request
from millgate.api.revision import Revision
from millgate.api.spec import ModelDeploymentSpec
from millgate.api.status import GateStatus, Resolution, Status


@dataclass(frozen=True)
class Problem:
    """Why something is not as it should be: the reason that will stand in a condition, and the sentence beside it."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class Target:
    """The revision that `spec` asks for, or the problem that keeps it from being known.

    `permanent`: only a person or another spec can help, so the object is stalled rather than retrying.
    With a problem that concerns only looking again (the registry is away), `revision` is what was known before.
    """

    revision: Revision | None = None
    resolution: Resolution | None = None
    problem: Problem | None = None
    permanent: bool = False


@dataclass(frozen=True)
class Crash:
    """A container of a pod that ended although nobody asked it to."""

    pod: str
    time: datetime
    reason: Reason
    message: str


@dataclass(frozen=True)
class ObservedRevision:
    """A revision as the cluster has it: its Deployment and the pods that are not being deleted."""

    hash: str
    revision: Revision
    digest: str | None
    desired_replicas: int
    pods: int
    ready: int
    crashes: tuple[Crash, ...] = ()
    problem: Problem | None = None
    draining: int = 0  # pods that are being deleted; a Service does not send them new connections


@dataclass(frozen=True)
class ObservedRoute:
    """Where the live Service (or route) sends requests now.

    `weights`: percent by hash of the revisions that may get live requests at this moment; empty when there is no route
    yet. `programmed` is false, with a message, while a mesh has not taken the newest weights.
    """

    weights: Mapping[str, int] = field(default_factory=dict)
    programmed: bool = True
    message: str = ""

    @property
    def hashes(self) -> frozenset[str]:
        return frozenset(hash_ for hash_, weight in self.weights.items() if weight > 0)


@dataclass(frozen=True)
class JobReport:
    """How a preflight or gate Job stands. `exit_code` is None while it runs, 0 pass, 1 fail, 75 cannot tell.

    `attempt` is the number that the plan gave to `RunPreflight`.
    """

    exit_code: int | None
    reason: Reason | None = None
    message: str = ""
    digest: str | None = None
    fingerprint: str | None = None
    attempt: int = 0


@dataclass(frozen=True)
class Snapshot:
    """The truth at one moment, as far as it was read."""

    name: str
    generation: int
    spec: ModelDeploymentSpec
    status: Status
    target: Target
    revisions: Mapping[str, ObservedRevision] = field(default_factory=dict)
    baselines: Mapping[str, ObservedRevision] = field(default_factory=dict)  # by the hash of the revision they serve
    route: ObservedRoute = ObservedRoute()
    request: Request | MalformedRequest | None = None
    preflight: JobReport | None = None  # of the candidate in status, or of the target when none is there yet
    verdicts: tuple[GateStatus, ...] = ()  # of metric and Job gates, for the step in hand only
    conflict: Problem | None = None  # an object with our name belongs to somebody else
    write_failure: Problem | None = None  # the last write that the API server refused
