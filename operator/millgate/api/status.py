"""`status` of a ModelDeployment: all that a restart needs, and all that a person needs first."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, BeforeValidator, Field, PlainSerializer, StringConstraints

from millgate.api.base import KeyedBy, StatusModel
from millgate.api.revision import ModelIdentity


def rfc3339(moment: datetime) -> str:
    """A time with milliseconds: steps are timed from status, and a whole second would be felt."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rfc3339_seconds(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


Time = Annotated[AwareDatetime, PlainSerializer(rfc3339, return_type=str)]
Seconds = Annotated[AwareDatetime, PlainSerializer(rfc3339_seconds, return_type=str)]


def _cut(text: object) -> object:
    return text[: _MESSAGE - 1] + "…" if isinstance(text, str) and len(text) > _MESSAGE else text


_MESSAGE = 1024
# Cut rather than refused: a status that cannot be written says nothing at all.
Message = Annotated[str, BeforeValidator(_cut), StringConstraints(max_length=_MESSAGE)]


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
    fingerprint: Annotated[str | None, Field(description="Tells which file of that content has changed.")] = None
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


class Outcome(StrEnum):
    PROMOTED = "Promoted"
    ROLLED_BACK = "RolledBack"
    ABORTED = "Aborted"
    SUPERSEDED = "Superseded"


class StepRecord(StatusModel):
    """A step that has begun. Its start anchors the evidence, so that it can be read again."""

    name: Annotated[str, Field(description="The step's name.")]
    weight_percent: Annotated[int, Field(description="The share that it gave the candidate.")]
    start_time: Annotated[Time, Field(description="When it began to count.")]


class RolloutStatus(StatusModel):
    """The rollout in flight, or the promoted one while the revision before it is kept warm."""

    id: Annotated[str, Field(description="Names the rollout in requests: '<name>-<revision>-<hash>'.")]
    stage: Annotated[Stage, Field(description="Where the rollout stands.")]
    start_time: Annotated[Time, Field(description="When the rollout began.")]
    stage_start_time: Annotated[Time, Field(description="When the stage began.")]
    step_index: Annotated[int | None, Field(description="The step in hand, counted from 0.")] = None
    step_name: Annotated[str | None, Field(description="The step in hand.")] = None
    step_weight_percent: Annotated[int | None, Field(description="The share that the step in hand asks for.")] = None
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
    preflight_passed: Annotated[bool, Field(description="The content was fetched, verified and loaded.")] = False
    preflight_retry_time: Annotated[
        Time | None, Field(description="When a preflight that could not tell is tried again.")
    ] = None
    outcome: Annotated[Outcome | None, Field(description="While rolling back: how the rollout ends.")] = None
    approved: Annotated[
        tuple[str, ...], Field(max_length=32, description="Gates that a person approved in this step.")
    ] = ()
    failed: Annotated[
        tuple[str, ...],
        Field(max_length=64, description="Gates that failed in this step and took nothing back (`onFail`)."),
    ] = ()
    accepted: Annotated[
        tuple[str, ...], Field(max_length=64, description="Failed gates that a person let pass in this step.")
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

    name: Annotated[str, Field(description="The gate, as `spec` names it.")]
    step: Annotated[str, Field(description="The step in which it was judged.")]
    verdict: Annotated[
        Verdict, Field(description="What `Fail` does says `onFail`; a step ends when all its gates pass.")
    ]
    reason: Annotated[str, Field(description="One CamelCase word.")]
    message: Annotated[Message, Field(description="A sentence with the figures.")] = ""
    value: Annotated[str | None, Field(description="The candidate's figure.")] = None
    reference: Annotated[str | None, Field(description="Stable's figure.")] = None
    limit: Annotated[str | None, Field(description="The bound that `value` is held against.")] = None
    samples: Annotated[int | None, Field(description="The candidate's requests in this step.")] = None
    evidence: Annotated[
        str | None,
        Field(description="How much the data speak against the candidate; it fails at 100 percent."),
    ] = None
    alpha: Annotated[
        str | None, Field(description="The gate's share of `falseRollbackBudget`; it fails when E reaches 1/alpha.")
    ] = None
    detects_double_after_seconds: Annotated[
        int | None,
        Field(
            description="At the traffic now seen, about how long the gate needs to see twice the reference's figure."
        ),
    ] = None
    on_fail: Annotated[str | None, Field(description="What `Fail` does.")] = None
    last_check_time: Annotated[Seconds | None, Field(description="When it was judged.")] = None


class Detection(StatusModel):
    """How quick a Compare gate was."""

    gate: Annotated[str, Field(description="The gate.")]
    weight_percent: Annotated[int, Field(description="The share that the candidate had.")]
    seconds: Annotated[int, Field(description="It took about so long to see a doubling.")]


class Rejected(StatusModel):
    """A revision that was taken back: it gets no traffic until a person asks for it or its content changes."""

    hash: Annotated[str, Field(description="The revision.")]
    model_version: Annotated[str, Field(description="Its model version.")]
    reason: Annotated[str, Field(description="Why, in one CamelCase word.")]
    message: Annotated[Message, Field(description="Why, with the figures.")] = ""
    digest: Annotated[str | None, Field(description="The content that was taken back.")] = None
    time: Annotated[Seconds, Field(description="When it was taken back.")]


class RequestResult(StrEnum):
    APPLIED = "Applied"
    REFUSED = "Refused"


class LastRequest(StatusModel):
    """The answer to the newest request by annotation."""

    id: Annotated[str, Field(description="The request's id, from the annotation.")]
    action: Annotated[str, Field(description="What was asked for.")]
    result: Annotated[RequestResult, Field(description="Whether it was done.")]
    message: Annotated[Message, Field(description="What was done, or why nothing was.")] = ""
    time: Annotated[Seconds, Field(description="When it was answered.")]


class HistoryEntry(StatusModel):
    """A rollout that has ended, the newest first."""

    revision: Annotated[int, Field(description="The rollout's number.")]
    hash: Annotated[str, Field(description="The candidate.")]
    model_version: Annotated[str, Field(description="Its model version.")]
    outcome: Annotated[Outcome, Field(description="How the rollout ended.")]
    reason: Annotated[str, Field(description="Why, in one CamelCase word.")]
    message: Annotated[Message, Field(description="Why, with the figures.")] = ""
    digest: Annotated[str | None, Field(description="The candidate's content.")] = None
    stable_hash: Annotated[str | None, Field(description="The revision that it was held against.")] = None
    steps: Annotated[tuple[StepRecord, ...], Field(max_length=64, description="The steps that had begun.")] = ()
    policy: Annotated[
        str | None, Field(description="Names the content of `spec.rollout` when it ended: what it was judged by.")
    ] = None
    start_time: Annotated[Seconds, Field(description="When the rollout began.")]
    end_time: Annotated[Seconds, Field(description="When it ended.")]


class Resolution(StatusModel):
    """What the registry said `spec.model` means: kept so that a silent registry stops nothing that is known."""

    model: Annotated[ModelIdentity, Field(description="The version that is meant, and where it comes from.")]
    key: Annotated[str, Field(description="The `spec.model` that was resolved; another one must be resolved anew.")]
    hash: Annotated[str, Field(description="The revision that it makes together with `spec.server`.")]


class Condition(StatusModel):
    """A condition as Kubernetes defines it; `lastTransitionTime` moves only with `status`."""

    type: Annotated[str, Field(description="What the condition is about.")]
    status: Annotated[Literal["True", "False", "Unknown"], Field(description="Whether it holds.")]
    reason: Annotated[str, Field(description="Why, in one CamelCase word; docs/operations.md explains each.")]
    message: Annotated[Message, Field(description="Why, in a sentence.")] = ""
    observed_generation: Annotated[int, Field(description="The generation of the object that this was said about.")]
    last_transition_time: Annotated[Seconds, Field(description="When `status` changed last.")]


class Status(StatusModel):
    """The whole status of a ModelDeployment. It is written at once, by one writer."""

    observed_generation: Annotated[
        int, Field(description="The newest generation that the operator has seen; -1 until it has seen any.")
    ] = -1
    replicas: Annotated[int | None, Field(description="Pods that get traffic, for the scale subresource.")] = None
    ready_replicas: Annotated[
        int | None, Field(description="Pods that are ready, of all revisions that get traffic.")
    ] = None
    selector: Annotated[
        str | None, Field(description="The pods of this ModelDeployment, for the scale subresource.")
    ] = None
    stable: Annotated[Track | None, Field(description="The revision that is released.")] = None
    candidate: Annotated[Track | None, Field(description="The revision that is being released.")] = None
    previous: Annotated[
        Track | None, Field(description="The revision before stable, kept warm for an instant way back.")
    ] = None
    resolution: Annotated[Resolution | None, Field(description="What the registry says `spec.model` means.")] = None
    rollout: Annotated[RolloutStatus | None, Field(description="The rollout in hand.")] = None
    paused_by: Annotated[str | None, Field(description="The id of the Pause request in force.")] = None
    gates: Annotated[
        tuple[GateStatus, ...], Field(max_length=32, description="The newest verdict of each gate of the step in hand.")
    ] = ()
    detections: Annotated[tuple[Detection, ...], Field(max_length=32, description="How quick Compare gates were.")] = ()
    rejected: Annotated[
        tuple[Rejected, ...],
        Field(max_length=16, description="Revisions that get no traffic until a person asks for them."),
    ] = ()
    last_request: Annotated[
        LastRequest | None, Field(description="The answer to the newest request by annotation.")
    ] = None
    history: Annotated[
        tuple[HistoryEntry, ...], Field(max_length=10, description="The rollouts that have ended; the newest first.")
    ] = ()
    conditions: Annotated[
        tuple[Condition, ...],
        Field(max_length=16, description="What is so, and why. `Ready` sums up."),
        KeyedBy("type"),
    ] = ()
