"""`spec` of a ModelDeployment: what a user may ask for. The CRD is generated from these types (see `crd`).

A field stands here only when it works. Every list, map and string is bounded: it is a convention of the Kubernetes API,
and the API server reckons the cost of the CEL rules from the bounds.
"""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from millgate.api.base import DnsLabel, PositiveDecimal, Quantity, Rule, SignedDecimal, SpecModel

EnvName = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
KeyName = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
ObjectName = Annotated[
    str, StringConstraints(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
]
LabelKey = Annotated[
    str,
    StringConstraints(
        min_length=1, max_length=317, pattern=r"^([a-z0-9.-]+/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
    ),
]
LabelValue = Annotated[str, StringConstraints(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")]
ImageReference = Annotated[
    str,
    StringConstraints(min_length=1, max_length=512, pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._:/@-]*$"),
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
        Rule("has(self.version) != has(self.alias)", "exactly one of `version` or `alias` must be specified"),
        Rule(
            "self.source != 'Image' || has(self.version)",
            "`version` must be specified when `source` is 'Image': an image has no alias",
        ),
        Rule(
            "self.source != 'MLflow' || !has(self.version) || self.version.matches('^[1-9][0-9]*$')",
            "`version` must be a whole number greater than 0 when `source` is 'MLflow'",
        ),
    )


class KeySelector(SpecModel):
    """A key of a Secret or ConfigMap in the namespace of the ModelDeployment."""

    name: Annotated[ObjectName, Field(description="The name of the object.")]
    key: Annotated[KeyName, Field(description="The key whose value is taken.")]


class EnvVar(SpecModel):
    """An environment variable of the model server."""

    name: Annotated[EnvName, Field(description="The name of the variable.")]
    value: Annotated[str | None, StringConstraints(max_length=4096), Field(description="The value as it stands.")] = (
        None
    )
    secret_key_ref: Annotated[
        KeySelector | None, Field(description="Take the value from a Secret of the same namespace.")
    ] = None
    config_map_key_ref: Annotated[
        KeySelector | None, Field(description="Take the value from a ConfigMap of the same namespace.")
    ] = None

    rules: ClassVar = (
        Rule(
            "[has(self.value), has(self.secretKeyRef), has(self.configMapKeyRef)].filter(x, x).size() == 1",
            "exactly one of `value`, `secretKeyRef` or `configMapKeyRef` must be specified",
        ),
        Rule(
            "!self.name.startsWith('MILLGATE_')",
            "`name` must not start with 'MILLGATE_': these variables are set by Millgate",
        ),
    )


class ResourceList(SpecModel):
    """Amounts of compute resources."""

    cpu: Annotated[Quantity | None, Field(description="Processor time, for example '500m'.")] = None
    memory: Annotated[Quantity | None, Field(description="Memory, for example '1Gi'.")] = None
    gpu: Annotated[Annotated[int, Field(ge=1, le=64)] | None, Field(description="Whole GPUs (`nvidia.com/gpu`).")] = (
        None
    )


class Resources(SpecModel):
    """What a pod of the model server asks for and may use."""

    requests: Annotated[ResourceList | None, Field(description="What the scheduler sets aside for a pod.")] = None
    limits: Annotated[ResourceList | None, Field(description="What a pod may use at the most.")] = None


class Toleration(SpecModel):
    """A taint of nodes that the pods tolerate."""

    key: Annotated[LabelKey | None, Field(description="The taint's key; all taints when left out.")] = None
    operator: Annotated[
        Literal["Exists", "Equal"], Field(description="How `value` is compared with the taint's value.")
    ] = "Equal"
    value: Annotated[LabelValue | None, Field(description="The taint's value, for `Equal`.")] = None
    effect: Annotated[
        Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None,
        Field(description="The taint's effect; all effects when left out."),
    ] = None


class TopologySpread(StrEnum):
    NONE = "None"
    NODE = "Node"
    ZONE = "Zone"


class Server(SpecModel):
    """The pods that serve the model: an allow-list, never a PodSpec."""

    image: Annotated[
        ImageReference | None,
        Field(
            description="The image of the model server; the operator's default serving image when left out. "
            "Must begin with a prefix that the operator's configuration allows."
        ),
    ] = None
    args: Annotated[
        tuple[Annotated[str, StringConstraints(max_length=1024)], ...] | None,
        Field(max_length=64, description="Arguments of the image's entrypoint."),
    ] = None
    env: Annotated[tuple[EnvVar, ...] | None, Field(max_length=64, description="Environment variables.")] = None
    port: Annotated[
        Annotated[int, Field(ge=1024, le=65535)] | None,
        Field(description="The port that the server listens on; 8080 when left out."),
    ] = None
    resources: Annotated[Resources | None, Field(description="Compute resources of a pod.")] = None
    node_selector: Annotated[
        dict[LabelKey, LabelValue] | None,
        Field(max_length=16, description="Labels that a node must have."),
    ] = None
    tolerations: Annotated[
        tuple[Toleration, ...] | None, Field(max_length=16, description="Taints that the pods tolerate.")
    ] = None
    topology_spread: Annotated[
        TopologySpread | None,
        Field(description="Over what the pods of a revision are spread; `Node` when left out."),
    ] = None
    service_account_name: Annotated[
        ObjectName | None,
        Field(
            description="A ServiceAccount of this namespace that is labelled 'millgate.dev/allow-use: \"true\"'. "
            "Without one the pods run without a token."
        ),
    ] = None
    startup_deadline_seconds: Annotated[
        Annotated[int, Field(ge=10, le=7200)] | None,
        Field(description="How long a pod may take from its start to its first readiness; 600 when left out."),
    ] = None
    drain_seconds: Annotated[
        Annotated[int, Field(ge=0, le=600)] | None,
        Field(description="How long a stopping pod goes on accepting requests; 15 when left out."),
    ] = None


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


class ComparePreset(StrEnum):
    ERRORS = "Errors"
    LATENCY = "Latency"


class Compare(SpecModel):
    """Is the candidate worse than stable, by a test that may be looked at forever?"""

    preset: Annotated[
        ComparePreset,
        Field(
            description="`Errors`: the share of requests that the server failed. "
            "`Latency`: the share of requests slower than stable's `quantile`."
        ),
    ]
    max_ratio: Annotated[
        PositiveDecimal,
        Field(
            description="The candidate's share may be this many times stable's before it counts as worse "
            "(non-inferiority margin); at least '1'."
        ),
    ] = "1.2"
    quantile: Annotated[
        PositiveDecimal | None,
        Field(description="For `Latency`: the quantile of stable's latency, '0.99' when left out."),
    ] = None
    min_samples: Annotated[
        int,
        Field(
            ge=1,
            le=1_000_000_000,
            description="Requests that the candidate must have answered in the step before the gate can pass.",
        ),
    ] = 100

    rules: ClassVar = (
        Rule("double(self.maxRatio) >= 1.0", "`maxRatio` must be greater than or equal to 1"),
        Rule(
            "!has(self.quantile) || self.preset == 'Latency'",
            "`quantile` may not be specified unless `preset` is 'Latency'",
        ),
        Rule(
            "!has(self.quantile) || (double(self.quantile) >= 0.5 && double(self.quantile) < 1.0)",
            "`quantile` must be greater than or equal to 0.5 and less than 1",
        ),
    )


class Query(SpecModel):
    """Is one number that Prometheus gives inside bounds?"""

    promql: Annotated[
        str,
        StringConstraints(min_length=1, max_length=2048),
        Field(
            description="A query that gives one number. `$(namespace)`, `$(name)`, `$(candidate)` and `$(stable)` "
            "stand for the namespace, the ModelDeployment's name and the revisions' hashes. Every selector must "
            'have the matcher namespace="$(namespace)".'
        ),
    ]
    min: Annotated[SignedDecimal | None, Field(description="The gate fails when the number is below this.")] = None
    max: Annotated[SignedDecimal | None, Field(description="The gate fails when the number is above this.")] = None

    rules: ClassVar = (
        Rule("has(self.min) || has(self.max)", "at least one of `min` or `max` must be specified"),
        Rule(
            "!has(self.min) || !has(self.max) || double(self.min) <= double(self.max)",
            "`min` must be less than or equal to `max`",
        ),
    )


class Job(SpecModel):
    """Does this container say that the candidate is good? Exit 0 passes, 1 fails, 75 cannot tell."""

    image: Annotated[
        ImageReference,
        Field(description="The image; must begin with a prefix that the operator's configuration allows."),
    ]
    command: Annotated[
        tuple[Annotated[str, StringConstraints(max_length=4096)], ...] | None,
        Field(max_length=64, description="Replaces the image's entrypoint."),
    ] = None
    args: Annotated[
        tuple[Annotated[str, StringConstraints(max_length=4096)], ...] | None,
        Field(max_length=64, description="Arguments of the entrypoint."),
    ] = None
    env: Annotated[tuple[EnvVar, ...] | None, Field(max_length=64, description="Environment variables.")] = None
    resources: Annotated[Resources | None, Field(description="Compute resources of the pod.")] = None
    deadline_seconds: Annotated[
        int, Field(ge=1, le=86400, description="A Job that runs longer cannot tell (`JobDeadlineExceeded`).")
    ] = 600


class GateType(StrEnum):
    COMPARE = "Compare"
    QUERY = "Query"
    JOB = "Job"
    APPROVAL = "Approval"


class Gate(SpecModel):
    """A question that must be answered before the weight grows."""

    name: Annotated[DnsLabel, Field(max_length=32, description="Names the gate in status and events.")]
    type: Annotated[GateType, Field(description="Which kind of question.")]
    compare: Annotated[Compare | None, Field(description="For `Compare`.")] = None
    query: Annotated[Query | None, Field(description="For `Query`.")] = None
    job: Annotated[Job | None, Field(description="For `Job`.")] = None

    rules: ClassVar = (
        Rule(
            "(self.type == 'Compare') == has(self.compare)",
            "`compare` must be specified when `type` is 'Compare', and only then",
        ),
        Rule(
            "(self.type == 'Query') == has(self.query)",
            "`query` must be specified when `type` is 'Query', and only then",
        ),
        Rule(
            "(self.type == 'Job') == has(self.job)",
            "`job` must be specified when `type` is 'Job', and only then",
        ),
    )


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
    ] = None

    rules: ClassVar = (
        Rule(
            "!has(self.maxSeconds) || self.maxSeconds >= self.minSeconds",
            "`maxSeconds` must be greater than or equal to `minSeconds`",
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
            description="Names the default `steps` and `gates`; what is written below replaces that part. `BigBang`: all at "
            "once. `BlueGreen`: full size beside stable, then all at once. `Canary`: 10, 25, 50, 100 percent."
        ),
    ] = Strategy.CANARY
    steps: Annotated[
        tuple[Step, ...] | None,
        Field(min_length=1, max_length=32, description="The steps, the last one with `weightPercent` 100."),
    ] = None
    gates: Annotated[
        tuple[Gate, ...] | None,
        Field(max_length=16, description="Guardrails: judged in every step that sends live traffic."),
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
        ),
        Rule(
            "!has(self.steps) || self.steps.all(s, self.steps.exists_one(t, t.name == s.name))",
            "the names of `steps` must be unique",
        ),
        Rule(
            "!has(self.steps) || self.steps.map(s, s.weightPercent).isSorted()",
            "`weightPercent` must not decrease from one step to the next",
        ),
        Rule(
            "!has(self.gates) || self.gates.all(g, g.type == 'Compare' || g.type == 'Query')",
            "`gates` of the rollout must be of type 'Compare' or 'Query': a 'Job' or an 'Approval' belongs to a step",
        ),
        Rule(
            "!has(self.steps) || !has(self.gates) || self.steps.all(s, !has(s.gates) || "
            "s.gates.all(g, !self.gates.exists(r, r.name == g.name)))",
            "a gate of a step must not have the name of a gate of the rollout",
        ),
        Rule(
            "double(self.falseRollbackBudget) > 0.0 && double(self.falseRollbackBudget) <= 0.2",
            "`falseRollbackBudget` must be greater than 0 and less than or equal to 0.2",
        ),
    )


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
        ),
    )
