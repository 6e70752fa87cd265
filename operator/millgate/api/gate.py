"""A gate of `spec.rollout`: a question that must be answered before the candidate's share grows."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from millgate.api.base import DnsLabel, KeyedBy, PositiveDecimal, Rule, SignedDecimal, SpecModel
from millgate.api.server import EnvVar, ImageReference, Resources


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
        Rule(
            "double(self.maxRatio) >= 1.0",
            "`maxRatio` must be greater than or equal to 1",
            lambda compare: Decimal(compare.max_ratio) >= 1,
        ),
        Rule(
            "!has(self.quantile) || self.preset == 'Latency'",
            "`quantile` may not be specified unless `preset` is 'Latency'",
            lambda compare: compare.quantile is None or compare.preset is ComparePreset.LATENCY,
        ),
        Rule(
            "!has(self.quantile) || (double(self.quantile) >= 0.5 && double(self.quantile) < 1.0)",
            "`quantile` must be greater than or equal to 0.5 and less than 1",
            lambda compare: compare.quantile is None or Decimal("0.5") <= Decimal(compare.quantile) < 1,
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
        Rule(
            "has(self.min) || has(self.max)",
            "at least one of `min` or `max` must be specified",
            lambda query: query.min is not None or query.max is not None,
        ),
        Rule(
            "!has(self.min) || !has(self.max) || double(self.min) <= double(self.max)",
            "`min` must be less than or equal to `max`",
            lambda query: query.min is None or query.max is None or Decimal(query.min) <= Decimal(query.max),
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
    env: Annotated[
        tuple[EnvVar, ...] | None, Field(max_length=64, description="Environment variables."), KeyedBy("name")
    ] = None
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
            lambda gate: (gate.type is GateType.COMPARE) == (gate.compare is not None),
        ),
        Rule(
            "(self.type == 'Query') == has(self.query)",
            "`query` must be specified when `type` is 'Query', and only then",
            lambda gate: (gate.type is GateType.QUERY) == (gate.query is not None),
        ),
        Rule(
            "(self.type == 'Job') == has(self.job)",
            "`job` must be specified when `type` is 'Job', and only then",
            lambda gate: (gate.type is GateType.JOB) == (gate.job is not None),
        ),
    )
