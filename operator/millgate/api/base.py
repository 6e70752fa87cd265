"""The base of all API types: camelCase on the wire, unknown fields refused, values immutable, and rules that are said
twice, once for the API server and once for the operator.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True)
class Rule:
    """What must hold between the fields of an object.

    `rule` is CEL, which the API server checks on every write; `self` is the object that carries it. `holds` says the
    same of the parsed object, for one that was written before the rule existed. A table of tests holds both together.
    """

    rule: str
    message: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True)
class KeyedBy:
    """A list whose items are told apart by one field: server-side apply merges it as a map, and no key stands twice."""

    key: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._unique, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema) | {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [self.key]}

    def _unique(self, items: Sequence[Any] | None) -> Sequence[Any] | None:
        keys = [getattr(item, self.key) for item in items or ()]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(f"`{self.key}` must not be the same for two items: '{key}'")
        return items


@dataclass(frozen=True)
class Without:
    """A list whose items never have this field: it stands neither in their schema nor in its rules.

    A rule of the list's owner refuses what would need it. Its schema would be repeated otherwise, and a CRD is bounded.
    """

    field: str

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        made = handler(schema)
        item = dict(handler.resolve_ref_schema(made["items"]))
        item["properties"] = {name: part for name, part in item["properties"].items() if name != self.field}
        item["x-kubernetes-validations"] = [
            rule for rule in item["x-kubernetes-validations"] if f"self.{self.field}" not in rule["rule"]
        ]
        return made | {"items": item}


class SpecModel(BaseModel):
    """A part of `spec`: an unknown field is an error, never ignored."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    rules: ClassVar[Sequence[Rule]] = ()

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        broken = [rule.message for rule in self.rules if not rule.holds(self)]
        if broken:
            raise ValueError("; ".join(broken))
        return self


class StatusModel(BaseModel):
    """A part of `status`. Fields written by a newer Millgate are tolerated, so that a downgrade still reads."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    def to_json(self) -> dict[str, Any]:
        """The object as the API server stores it: camelCase, unset optional fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def explain(error: ValidationError, root: str = "spec") -> str:
    """What is wrong, for a person: each fault with its path, as the API server writes paths."""
    return "; ".join(
        f"{_path(root, fault['loc'])}: {fault['msg'].removeprefix('Value error, ')}" for fault in error.errors()
    )


def _path(root: str, location: tuple[int | str, ...]) -> str:
    return root + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)


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
_UNITS = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
}


def amount(quantity: Quantity) -> Decimal:
    """A quantity as a number of its base unit (cores, bytes)."""
    number = quantity.rstrip("mkKMGTi")
    return Decimal(number) * _UNITS[quantity[len(number) :]]
