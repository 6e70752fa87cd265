"""`status` of a ModelDeployment: all that a restart needs, and all that a person needs first."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, PlainSerializer, StringConstraints

from millgate.api.base import StatusModel
from millgate.api.revision import ModelIdentity


def rfc3339(moment: datetime) -> str:
    """A time with milliseconds: steps are timed from status, and a whole second would be felt."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rfc3339_seconds(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


Time = Annotated[AwareDatetime, PlainSerializer(rfc3339, return_type=str)]
Seconds = Annotated[AwareDatetime, PlainSerializer(rfc3339_seconds, return_type=str)]
Message = Annotated[str, StringConstraints(max_length=1024)]


class Track(StatusModel):
    """One of the revisions in play: stable, candidate or the warm one before."""

    revision: Annotated[int, Field(description="Counts the rollouts of this ModelDeployment.")]
    hash: Annotated[str, Field(description="Names the revision's Deployment and Service.")]
    model_version: Annotated[str, Field(description="The resolved version of the model.")]
    workload_name: Annotated[str, Field(description="The Deployment, and the Service of this revision alone.")]
    image: Annotated[str | None, Field(description="The image of the model server.")] = None
    digest: Annotated[
        str | None,
        Field(description="The model's content, pinned by its first preflight; every pod verifies it."),
    ] = None
    run_id: Annotated[str | None, Field(description="The MLflow run that made the model.")] = None
    git_commit: Annotated[str | None, Field(description="The commit of the training code.")] = None
    dataset_digest: Annotated[str | None, Field(description="MLflow's label of the training data.")] = None
    ready_replicas: Annotated[int, Field(description="Pods that are ready.")] = 0
    desired_weight_percent: Annotated[int | None, Field(description="The share that the step asks for.")] = None
    observed_weight_percent: Annotated[int | None, Field(description="The share that its pods have now.")] = None


class Stage(StrEnum):
    """Where a rollout stands. With no rollout in status the ModelDeployment is idle."""

    PREPARING = "Preparing"
    STEPPING = "Stepping"
    PROMOTING = "Promoting"
    ROLLING_BACK = "RollingBack"


class StepRecord(StatusModel):
    """A step that has begun. Its start anchors the evidence, so that it can be read again."""

    name: str
    weight_percent: int
    start_time: Time


class RolloutStatus(StatusModel):
    """The rollout in flight, or the promoted one while the revision before it is kept warm."""

    id: Annotated[str, Field(description="Names the rollout in requests: '<name>-<revision>-<hash>'.")]
    stage: Annotated[Stage, Field(description="Where the rollout stands.")]
    start_time: Time
    stage_start_time: Annotated[Time, Field(description="When the stage began.")]
    step_index: Annotated[int | None, Field(description="The step in hand, counted from 0.")] = None
    step_name: str | None = None
    step_weight_percent: int | None = None
    step_display: Annotated[str | None, Field(description="The step in hand of all steps, for example '2/4'.")] = None
    step_pending_time: Annotated[
        Time | None,
        Field(description="Since when the step waits for its pods; the progress deadline counts from it."),
    ] = None
    step_start_time: Annotated[
        Time | None, Field(description="When the step began to count: the anchor of its evidence.")
    ] = None
    next_step_time: Annotated[Time | None, Field(description="Not before this time comes the next step.")] = None
    deadline_time: Annotated[Time | None, Field(description="When waiting ends.")] = None
    traffic_start_time: Annotated[
        Time | None,
        Field(description="When the candidate first got live traffic; crashes count from then on."),
    ] = None
    steps: Annotated[tuple[StepRecord, ...], Field(max_length=64, description="The steps that have begun.")] = ()
    preflight_attempt: Annotated[int, Field(description="How often the preflight was started.")] = 0
    approved: Annotated[
        tuple[str, ...], Field(max_length=32, description="Gates that a person approved in this step.")
    ] = ()
    proceed: Annotated[bool, Field(description="A person let the step end although its gates could not tell.")] = False
    return_to: Annotated[str | None, Field(description="While rolling back: the hash that gets all traffic.")] = None
    reason: Annotated[str | None, Field(description="While rolling back: why.")] = None
    message: Annotated[Message | None, Field(description="While rolling back: the figures behind the reason.")] = None


class Verdict(StrEnum):
    PASS = "Pass"
    FAIL = "Fail"
    INCONCLUSIVE = "Inconclusive"
    PENDING = "Pending"


class GateStatus(StatusModel):
    """The newest verdict of a gate, with the figures behind it. Numbers are text: floats differ between readers."""

    name: str
    step: str
    verdict: Verdict
    reason: Annotated[str, Field(description="One CamelCase word.")]
    message: Message = ""
    value: Annotated[str | None, Field(description="The candidate's figure.")] = None
    reference: Annotated[str | None, Field(description="Stable's figure.")] = None
    limit: Annotated[str | None, Field(description="The bound that `value` is held against.")] = None
    samples: Annotated[int | None, Field(description="The candidate's requests in this step.")] = None
    evidence: Annotated[
        str | None,
        Field(description="How much the data speak against the candidate; it fails at 100 percent."),
    ] = None
    last_check_time: Seconds | None = None


class Rejected(StatusModel):
    """A revision that was taken back: it gets no traffic until a person asks for it or its content changes."""

    hash: str
    model_version: str
    reason: str
    message: Message = ""
    digest: str | None = None
    time: Seconds


class RequestResult(StrEnum):
    APPLIED = "Applied"
    REFUSED = "Refused"


class LastRequest(StatusModel):
    """The answer to the newest request by annotation."""

    id: str
    action: str
    result: RequestResult
    message: Message = ""
    time: Seconds


class Outcome(StrEnum):
    PROMOTED = "Promoted"
    ROLLED_BACK = "RolledBack"
    ABORTED = "Aborted"
    SUPERSEDED = "Superseded"


class HistoryEntry(StatusModel):
    """A rollout that has ended, the newest first."""

    revision: int
    hash: str
    model_version: str
    outcome: Outcome
    reason: str
    message: Message = ""
    digest: str | None = None
    start_time: Seconds
    end_time: Seconds


class Resolution(StatusModel):
    """What the registry said `spec.model` means: kept so that a silent registry stops nothing that is known."""

    model: ModelIdentity
    key: Annotated[str, Field(description="The `spec.model` that was resolved; another one must be resolved anew.")]
    hash: str


class Condition(StatusModel):
    """A condition as Kubernetes defines it; `lastTransitionTime` moves only with `status`."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: Annotated[str, StringConstraints(max_length=2048)] = ""
    observed_generation: int
    last_transition_time: Seconds


class Status(StatusModel):
    """The whole status of a ModelDeployment. It is written at once, by one writer."""

    observed_generation: int = -1
    replicas: Annotated[int | None, Field(description="Pods that get traffic, for the scale subresource.")] = None
    ready_replicas: int | None = None
    selector: Annotated[
        str | None, Field(description="The pods of this ModelDeployment, for the scale subresource.")
    ] = None
    stable: Track | None = None
    candidate: Track | None = None
    previous: Annotated[
        Track | None, Field(description="The revision before stable, kept warm for an instant way back.")
    ] = None
    resolution: Resolution | None = None
    rollout: RolloutStatus | None = None
    paused_by: Annotated[str | None, Field(description="The id of the Pause request in force.")] = None
    gates: Annotated[tuple[GateStatus, ...], Field(max_length=32)] = ()
    rejected: Annotated[tuple[Rejected, ...], Field(max_length=16)] = ()
    last_request: LastRequest | None = None
    history: Annotated[tuple[HistoryEntry, ...], Field(max_length=10)] = ()
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = ()
