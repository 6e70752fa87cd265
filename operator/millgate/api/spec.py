"""`spec` of a ModelDeployment: what a user may ask for. The CRD is generated from these types (see `crd`).

A field stands here only when it works. Every list, map and string is bounded: it is a convention of the Kubernetes API,
and the API server reckons the cost of the CEL rules from the bounds.
"""

from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from millgate.api.base import DnsLabel, KeyedBy, PositiveDecimal, Rule, SpecModel, Without
from millgate.api.compare import Compare, ComparePreset, Reference, Statistic
from millgate.api.gate import Gate, GateType, OnFail, Query
from millgate.api.job import Job, JobPreset
from millgate.api.server import (
    EnvVar,
    Files,
    KeySelector,
    ResourceList,
    Resources,
    Server,
    ServerVariable,
    Toleration,
    TopologySpread,
    Variable,
)

__all__ = [
    "Compare",
    "ComparePreset",
    "EnvVar",
    "Files",
    "Gate",
    "GateType",
    "Job",
    "JobPreset",
    "KeySelector",
    "Model",
    "ModelDeploymentSpec",
    "ModelSource",
    "OnFail",
    "OnInconclusive",
    "Query",
    "Reference",
    "ResourceList",
    "Resources",
    "Rollout",
    "Server",
    "ServerVariable",
    "Statistic",
    "Step",
    "Strategy",
    "Toleration",
    "TopologySpread",
    "Traffic",
    "TrafficType",
    "Variable",
]


class ModelSource(StrEnum):
    MLFLOW = "MLflow"
    IMAGE = "Image"


class Model(SpecModel):
    """Which model is released."""

    source: Annotated[
        ModelSource,
        Field(
            description="Where the model lies. `MLflow`: a registered model. "
            "`Image`: baked into `server.image`; `version` is then free text."
        ),
    ] = ModelSource.MLFLOW
    registry: Annotated[
        DnsLabel,
        Field(
            description="The name of a registry in the operator's configuration. A ModelDeployment never holds a URL."
        ),
    ] = "default"
    name: Annotated[
        str,
        StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$"),
        Field(description="The name of the registered model."),
    ]
    version: Annotated[
        str | None,
        StringConstraints(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$"),
        Field(description="The version to release; for `MLflow` a whole number."),
    ] = None
    alias: Annotated[
        str | None,
        StringConstraints(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9_-]+$"),
        Field(description="An alias of the registry, which is followed when it moves."),
    ] = None

    rules: ClassVar = (
        Rule(
            "has(self.version) != has(self.alias)",
            "exactly one of `version` or `alias` must be specified",
            lambda model: (model.version is None) != (model.alias is None),
        ),
        Rule(
            "self.source != 'Image' || has(self.version)",
            "`version` must be specified when `source` is 'Image': an image has no alias",
            lambda model: model.source is not ModelSource.IMAGE or model.version is not None,
        ),
        Rule(
            "self.source != 'MLflow' || !has(self.version) || self.version.matches('^[1-9][0-9]*$')",
            "`version` must be a whole number greater than 0 when `source` is 'MLflow'",
            lambda model: (
                model.source is not ModelSource.MLFLOW
                or model.version is None
                or (model.version.isdecimal() and model.version.isascii() and not model.version.startswith("0"))
            ),
        ),
    )


class TrafficType(StrEnum):
    REPLICAS = "Replicas"


class Traffic(SpecModel):
    """How requests are shared out between revisions."""

    type: Annotated[
        TrafficType,
        Field(
            description="`Replicas`: the Service selects both revisions and pod counts make the share. "
            "No mesh is needed; shares above 50 run as 50 until the switch to 100."
        ),
    ] = TrafficType.REPLICAS


def _has_compare(gates: tuple[Gate, ...] | None) -> bool:
    return any(gate.type is GateType.COMPARE for gate in gates or ())


class Step(SpecModel):
    """One stage of a rollout: a share of the traffic, held until its gates pass."""

    name: Annotated[DnsLabel, Field(max_length=32, description="Names the step in status and events.")]
    weight_percent: Annotated[int, Field(ge=0, le=100, description="The candidate's share of the live traffic.")]
    min_seconds: Annotated[int, Field(ge=0, le=2_592_000, description="The step lasts at least this long.")] = 0
    max_seconds: Annotated[
        Annotated[int, Field(ge=1, le=2_592_000)] | None,
        Field(
            description="When a gate still cannot tell after this long, `onInconclusive` decides; "
            "`minSeconds` + 3600 when left out."
        ),
    ] = None
    gates: Annotated[
        tuple[Gate, ...] | None,
        Field(max_length=16, description="Gates of this step alone, beside the rollout's guardrails."),
        KeyedBy("name"),
    ] = None

    rules: ClassVar = (
        Rule(
            "!has(self.maxSeconds) || self.maxSeconds >= self.minSeconds",
            "`maxSeconds` must be greater than or equal to `minSeconds`",
            lambda step: step.max_seconds is None or step.max_seconds >= step.min_seconds,
        ),
        Rule(
            "!has(self.gates) || self.weightPercent > 0 || !self.gates.exists(g, g.type == 'Compare')",
            "`gates` must not be of type 'Compare' when `weightPercent` is 0: the candidate must get requests",
            lambda step: step.weight_percent > 0 or not _has_compare(step.gates),
        ),
    )


class Strategy(StrEnum):
    BIG_BANG = "BigBang"
    BLUE_GREEN = "BlueGreen"
    CANARY = "Canary"


class OnInconclusive(StrEnum):
    HOLD = "Hold"
    PROCEED = "Proceed"
    ROLLBACK = "Rollback"


class Rollout(SpecModel):
    """How a new version is released."""

    strategy: Annotated[
        Strategy,
        Field(
            description="Names the default `steps` and `gates`; what is written below replaces that part. "
            "`BigBang`: all at once. `BlueGreen`: full size beside stable, then all at once. "
            "`Canary`: 10, 25, 50, 100 percent, guarded by a `Compare` of errors and one of latency."
        ),
    ] = Strategy.CANARY
    steps: Annotated[
        tuple[Step, ...] | None,
        Field(min_length=1, max_length=32, description="The steps, the last one with `weightPercent` 100."),
        KeyedBy("name"),
    ] = None
    gates: Annotated[
        tuple[Gate, ...] | None,
        Field(max_length=16, description="Guardrails: judged in every step that sends live traffic."),
        KeyedBy("name"),
        Without("job"),
    ] = None
    false_rollback_budget: Annotated[
        PositiveDecimal,
        Field(
            description="How often a healthy candidate may be rolled back by chance, over the whole rollout: "
            "alpha, shared equally by the `Compare` gates."
        ),
    ] = "0.01"
    interval_seconds: Annotated[
        int,
        Field(ge=1, le=3600, description="How often metrics are read; not less than the scrape interval."),
    ] = 15
    on_inconclusive: Annotated[
        OnInconclusive, Field(description="What happens when gates cannot tell at a step's `maxSeconds`.")
    ] = OnInconclusive.HOLD
    progress_deadline_seconds: Annotated[
        int,
        Field(
            ge=10,
            le=86400,
            description="How long pods may take to become ready before the candidate is taken back.",
        ),
    ] = 900
    keep_warm_seconds: Annotated[
        int,
        Field(
            ge=0,
            le=604_800,
            description="How long the old revision stays scaled after promotion, for an instant way back.",
        ),
    ] = 1800
    revision_history_limit: Annotated[
        int, Field(ge=0, le=10, description="How many old revisions are kept, scaled to zero.")
    ] = 3

    rules: ClassVar = (
        Rule(
            "!has(self.steps) || self.steps[self.steps.size() - 1].weightPercent == 100",
            "the last of `steps` must have `weightPercent` 100",
            lambda rollout: rollout.steps is None or rollout.steps[-1].weight_percent == 100,
        ),
        Rule(
            "!has(self.steps) || self.steps.map(s, s.weightPercent).isSorted()",
            "`weightPercent` must not decrease from one step to the next",
            lambda rollout: all(a.weight_percent <= b.weight_percent for a, b in pairwise(rollout.steps or ())),
        ),
        Rule(
            "!has(self.gates) || self.gates.all(g, g.type == 'Compare' || g.type == 'Query')",
            "`gates` of the rollout must be of type 'Compare' or 'Query': a 'Job' or an 'Approval' belongs to a step",
            lambda rollout: all(gate.type in {GateType.COMPARE, GateType.QUERY} for gate in rollout.gates or ()),
        ),
        Rule(
            "!has(self.steps) || self.steps.all(s, !has(s.gates) || s.gates.all(g, has(self.gates) ? "
            "!self.gates.exists(r, r.name == g.name) : "
            "self.strategy != 'Canary' || !(g.name in ['errors', 'latency'])))",
            "a gate of a step must not have the name of a gate of the rollout ('errors' and 'latency' are those of "
            "'Canary' when `gates` is left out)",
            lambda rollout: not _gate_names(rollout) & {g.name for s in rollout.steps or () for g in s.gates or ()},
        ),
        Rule(
            "double(self.falseRollbackBudget) > 0.0 && double(self.falseRollbackBudget) <= 0.2",
            "`falseRollbackBudget` must be greater than 0 and less than or equal to 0.2",
            lambda rollout: 0 < Decimal(rollout.false_rollback_budget) <= Decimal("0.2"),
        ),
    )


# The names of the gates that `Canary` stands for (`defaults`), which a gate of a step may not take.
CANARY_GATES = frozenset({"errors", "latency"})


def _gate_names(rollout: Rollout) -> frozenset[str]:
    if rollout.gates is None:
        return CANARY_GATES if rollout.strategy is Strategy.CANARY else frozenset()
    return frozenset(gate.name for gate in rollout.gates)


class ModelDeploymentSpec(SpecModel):
    """What a user asks for."""

    model: Annotated[Model, Field(description="Which model is released.")]
    server: Annotated[Server, Field(description="The pods that serve the model.")] = Server()
    replicas: Annotated[
        Annotated[int, Field(ge=1, le=1000)] | None,
        Field(description="Pods of the stable revision. Leave it out when a HorizontalPodAutoscaler owns it."),
    ] = None
    traffic: Annotated[Traffic, Field(description="How requests are shared out.")] = Traffic()
    rollout: Annotated[Rollout, Field(description="How a new version is released.")] = Rollout()
    paused: Annotated[
        bool, Field(description="Freezes the weights. A failing gate still takes the candidate back.")
    ] = False

    rules: ClassVar = (
        Rule(
            "self.model.source != 'Image' || (has(self.server) && has(self.server.image))",
            "`server.image` must be specified when `model.source` is 'Image'",
            lambda spec: spec.model.source is not ModelSource.IMAGE or spec.server.image is not None,
        ),
        Rule(
            "!has(self.server) || !has(self.server.startupDeadlineSeconds) || "
            "self.rollout.progressDeadlineSeconds >= self.server.startupDeadlineSeconds",
            "`rollout.progressDeadlineSeconds` must be greater than or equal to `server.startupDeadlineSeconds`: "
            "a pod must be given the time that it may take to start",
            lambda spec: spec.rollout.progress_deadline_seconds >= (spec.server.startup_deadline_seconds or 0),
        ),
    )
