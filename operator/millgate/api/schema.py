"""A pydantic model as a structural schema: the form of OpenAPI v3 that the Kubernetes API server takes in a CRD."""

from collections.abc import Iterator
from enum import Enum
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from millgate.api.base import SpecModel, StatusModel

Schema = dict[str, Any]
_INT32_MAX = 2**31 - 1
_ORDER = ("description", "type", "format", "enum", "default", "pattern")


def structural_schema(model: type[BaseModel]) -> Schema:
    """The schema of a model, complete in itself: no reference, no title, no union with null."""
    schema = model.model_json_schema(by_alias=True, schema_generator=_Structural)
    definitions = schema.pop("$defs", {})
    ordered = _inline(schema, definitions)
    assert isinstance(ordered, dict)  # noqa: S101 - tells mypy what JSON of an object is
    return ordered


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every schema in a schema, each with its path as kubectl writes it: 'spec.rollout.steps[].name'."""
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from nodes(part, f"{path}.{name}".lstrip("."))
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}.<key>")


class _Structural(GenerateJsonSchema):
    """Leaves out what a structural schema forbids, and says in its words what pydantic says in others."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        generated = super().model_schema(schema)
        generated.pop("additionalProperties", None)  # the API server refuses or drops unknown fields by itself
        model = schema["cls"]
        if issubclass(model, StatusModel):
            # What the operator has not written, nobody shall read as written.
            for field in generated["properties"].values():
                field.pop("default", None)
        if issubclass(model, SpecModel) and model.rules:
            generated["x-kubernetes-validations"] = [
                {"rule": rule.rule, "message": rule.message} for rule in model.rules
            ]
        return generated

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        inner = self.generate_inner(schema["schema"])
        default = _default(schema.get("default"))
        return inner if default is None else inner | {"default": default}

    def int_schema(self, schema: core_schema.IntSchema) -> JsonSchemaValue:
        fits = schema.get("le", _INT32_MAX + 1) <= _INT32_MAX
        return super().int_schema(schema) | {"format": "int32" if fits else "int64"}

    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        return {"type": "string", "enum": [member.value for member in schema["members"]]}

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        keys = self.generate_inner(schema["keys_schema"])
        longest, pattern = keys["maxLength"], keys["pattern"]
        rule = {
            "rule": f"self.all(key, key.size() <= {longest} && key.matches('{pattern}'))",
            "message": f"keys must be no more than {longest} characters and match '{pattern}'",
        }
        return {
            "type": "object",
            "additionalProperties": self.generate_inner(schema["values_schema"]),
            "maxProperties": schema["max_length"],
            "x-kubernetes-map-type": "atomic",
            "x-kubernetes-validations": [rule],
        }

    def tuple_schema(self, schema: core_schema.TupleSchema) -> JsonSchemaValue:
        return super().tuple_schema(schema) | {"x-kubernetes-list-type": "atomic"}


def _default(value: Any) -> Any:
    """What stands in the schema for a default of ours; None for none."""
    if isinstance(value, BaseModel):
        # In full, although its fields have the same defaults: the API server holds the rules against this as it stands.
        return value.model_dump(mode="json", by_alias=True, exclude_none=True) or None
    if isinstance(value, Enum):
        return value.value
    return None if value == () else value


def _inline(value: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_inline(item, definitions) for item in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        named = definitions[value["$ref"].removeprefix("#/$defs/")]
        return _inline(named | {key: item for key, item in value.items() if key != "$ref"}, definitions)
    # A title that is text is pydantic's; a field of that name would be a schema.
    kept = {key: item for key, item in value.items() if not (key == "title" and isinstance(item, str))}
    inlined = {key: _inline(item, definitions) for key, item in kept.items()}
    return {key: inlined[key] for key in (*_ORDER, *inlined) if key in inlined}
