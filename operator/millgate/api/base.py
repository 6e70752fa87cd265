"""The base of all API types: camelCase on the wire, unknown fields refused, values immutable."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel


@dataclass(frozen=True)
class Rule:
    """A CEL rule that the API server checks on every write. `self` is the object that carries it."""

    rule: str
    message: str


class SpecModel(BaseModel):
    """A part of `spec`: an unknown field is an error, never ignored."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    rules: ClassVar[Sequence[Rule]] = ()


class StatusModel(BaseModel):
    """A part of `status`. Fields written by a newer Millgate are tolerated, so that a downgrade still reads."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    def to_json(self) -> dict[str, Any]:
        """The object as the API server stores it: camelCase, unset optional fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


DnsLabel = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
PositiveDecimal = Annotated[
    str,
    StringConstraints(min_length=1, max_length=16, pattern=r"^[0-9]+(\.[0-9]+)?$"),
    Field(description="A decimal number as text, for example '1.2'."),
]
SignedDecimal = Annotated[
    str,
    StringConstraints(min_length=1, max_length=24, pattern=r"^-?[0-9]+(\.[0-9]+)?$"),
    Field(description="A decimal number as text, for example '-0.5'."),
]
Quantity = Annotated[
    str,
    StringConstraints(min_length=1, max_length=32, pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"),
    Field(description="A Kubernetes quantity, for example '500m' or '1Gi'."),
]
