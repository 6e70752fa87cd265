"""A gate of `spec.rollout`: a question that must be answered before the candidate's share grows."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from millgate.api.base import DnsLabel, Rule, SignedDecimal, SpecModel
from millgate.api.compare import Compare
from millgate.api.job import Job


class Query(SpecModel):
    """Is one number that Prometheus gives inside bounds?"""

    promql: Annotated[
        str,
        StringConstraints(min_length=1, max_length=2048),
        Field(
            description="A query that gives one number. `$(namespace)`, `$(name)`, `$(candidate)` and `$(stable)` "
            "stand for the namespace, the ModelDeployment's name and the revisions' hashes, inside of strings. "
            "It reads this namespace alone: a selector that names none gets it."
        ),
    ]
    min: Annotated[SignedDecimal | None, Field(description="The gate fails when the number is below this.")] = None
    max: Annotated[SignedDecimal | None, Field(description="The gate fails when the number is above this.")] = None
    consecutive: Annotated[
        int,
        Field(ge=1, le=20, description="So many readings in a row must be out of bounds before the gate fails."),
    ] = 1

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


class GateType(StrEnum):
    COMPARE = "Compare"
    QUERY = "Query"
    JOB = "Job"
    APPROVAL = "Approval"


class OnFail(StrEnum):
    ROLLBACK = "Rollback"
    HOLD = "Hold"
    ALERT = "Alert"


class Gate(SpecModel):
    """A question that must be answered before the weight grows."""

    name: Annotated[DnsLabel, Field(max_length=32, description="Names the gate in status and events.")]
    type: Annotated[GateType, Field(description="Which kind of question.")]
    compare: Annotated[Compare | None, Field(description="For `Compare`.")] = None
    query: Annotated[Query | None, Field(description="For `Query`.")] = None
    job: Annotated[Job | None, Field(description="For `Job`.")] = None
    on_fail: Annotated[
        OnFail | None,
        Field(
            description="What `Fail` does. `Rollback`: the candidate is taken back. `Hold`: the step waits for a "
            "person. `Alert`: an event and no more. Left out: `Hold` for the presets `Predictions` and `Features`, "
            "else `Rollback`."
        ),
    ] = None

    rules: ClassVar = (
        Rule(
            "!has(self.onFail) || self.type != 'Approval'",
            "`onFail` may not be specified when `type` is 'Approval'",
            lambda gate: gate.on_fail is None or gate.type is not GateType.APPROVAL,
        ),
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
