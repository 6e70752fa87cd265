"""Every bound in the CRD holds on a real API server: the value at the bound is taken, the next one refused.

The bounds are read from the CRD, and each value is put into examples/full.yaml: a new field is tested by being there.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from millgate.api.schema import Schema, nodes, structural_schema
from millgate.api.spec import ModelDeploymentSpec
from tests.controlplane.plane import REPOSITORY, Clerk, Json

FULL = yaml.safe_load((REPOSITORY / "examples/full.yaml").read_text())
# Fields that may not stand beside others of the full example.
APART = {"model.alias": {"source": "MLflow", "registry": "default", "name": "fraud", "alias": "champion"}}


@dataclass(frozen=True)
class Bound:
    """A field, and what the API server says when `outside` stands in it."""

    path: str
    kind: str
    at: Any
    outside: Any
    complaint: str


def bounds(path: str, schema: Schema) -> Iterator[Bound]:
    kind = schema["type"]
    wrong: Any = "text" if kind != "string" else 7
    yield Bound(path, "type", None, wrong, f"must be of type {kind}" if kind != "object" else "must be of type object")
    if "minimum" in schema:
        low, high = schema["minimum"], schema["maximum"]
        yield Bound(path, "minimum", low, low - 1, f"should be greater than or equal to {low}")
        yield Bound(path, "maximum", high, high + 1, f"should be less than or equal to {high}")
        yield Bound(path, "whole numbers", None, low + 0.5, "must be of type integer")
    if "enum" in schema:
        yield Bound(path, "enum", None, "Sometimes", 'Unsupported value: "Sometimes"')
    if "maxLength" in schema:
        longest = schema["maxLength"]
        yield Bound(path, "maxLength", "1" * longest, "1" * (longest + 1), f"may not be more than {longest} bytes")
    if schema.get("minLength"):
        yield Bound(path, "minLength", None, "", "should be at least 1 chars long")
    if "pattern" in schema:
        yield Bound(path, "pattern", None, "~", "should match")


def lists(path: str, schema: Schema) -> Iterator[Bound]:
    """`at` and `outside` are numbers of items (or of keys) here."""
    if "maxItems" in schema:
        most = schema["maxItems"]
        yield Bound(path, "maxItems", most, most + 1, f"must have at most {most} items")
    if "minItems" in schema:
        least = schema["minItems"]
        yield Bound(path, "minItems", least, least - 1, f"should have at least {least} items")
    if "maxProperties" in schema:
        most = schema["maxProperties"]
        yield Bound(path, "maxProperties", most, most + 1, f"must have at most {most} items")


def carrier(path: str) -> Json:
    full = copy.deepcopy(FULL)
    if path in APART:
        full["spec"]["model"] = APART[path]
    return full


def holders(value: Any, parts: list[str], where: str) -> Iterator[tuple[Any, Any, str]]:
    """(container, key, path) of every place that a schema's path stands for."""
    part, *rest = parts
    if part == "[]":
        keys: list[Any] = list(range(len(value)))
    elif part == "<key>":
        keys = list(value)
    else:
        keys = [part] if part in value else []
    for key in keys:
        here = f"{where}[{key}]" if part == "[]" else f"{where}.{key}"
        if rest:
            yield from holders(value[key], rest, here)
        else:
            yield value, key, here


def places(obj: Json, path: str) -> list[tuple[Any, Any, str]]:
    return list(holders(obj["spec"], path.replace("[]", ".[]").split("."), "spec"))


FIELDS = [(path, schema) for path, schema in nodes(structural_schema(ModelDeploymentSpec)) if path]
SHOWN = [(path, schema) for path, schema in FIELDS if places(carrier(path), path)]
BOUNDS = [bound for path, schema in SHOWN for bound in bounds(path, schema)]
LISTS = [bound for path, schema in SHOWN for bound in lists(path, schema)]
REQUIRED = [(path, name) for path, schema in SHOWN for name in schema.get("required", ())]


def name(bound: Bound) -> str:
    return f"{bound.path} {bound.kind}"


@pytest.mark.parametrize("bound", BOUNDS, ids=name)
def test_a_value_is_bounded(clerk: Clerk, bound: Bound) -> None:
    obj = carrier(bound.path)
    container, key, path = places(obj, bound.path)[0]
    container[key] = bound.outside
    refused = clerk.refuses(obj)
    assert bound.complaint in refused
    assert path in refused
    if bound.at is not None:
        container[key] = bound.at
        said = clerk.refuses(obj)
        assert bound.complaint not in said, "the value at the bound is inside"


@pytest.mark.parametrize("bound", LISTS, ids=name)
def test_a_list_is_bounded(clerk: Clerk, bound: Bound) -> None:
    obj = carrier(bound.path)
    container, key, path = places(obj, bound.path)[0]
    given = container[key]
    container[key] = filled(given, bound.outside)
    refused = clerk.refuses(obj)
    assert f"{path}: " in refused
    assert bound.complaint in refused
    container[key] = filled(given, bound.at)
    assert bound.complaint not in clerk.refuses(obj), "as many as the bound says are allowed"


def filled(given: Any, count: int) -> Any:
    """So many items or keys like those given, with names of their own."""
    if isinstance(given, dict):
        return {f"key-{number}": "value" for number in range(count)}
    items = [copy.deepcopy(given[-1]) for _ in range(count)]
    for number, item in enumerate(items):
        if isinstance(item, dict) and "name" in item:
            item["name"] = f"n{number}"
    return items


@pytest.mark.parametrize(("path", "field"), REQUIRED, ids=lambda value: value)
def test_a_required_field_is_required(clerk: Clerk, path: str, field: str) -> None:
    obj = carrier(path)
    container, _, where = places(obj, f"{path}.{field}")[0]
    del container[field]
    assert f"{where}: Required value" in clerk.refuses(obj)


def test_every_field_is_tested_or_its_like_elsewhere() -> None:
    """The full example has each field once; a gate of the rollout, say, is of the same type as that of a step."""
    tested = [(path.rpartition(".")[2], schema) for path, schema in SHOWN]
    assert [path for path, schema in FIELDS if (path.rpartition(".")[2], schema) not in tested] == []


def test_every_field_that_can_grow_is_bounded() -> None:
    for path, schema in FIELDS:
        if schema["type"] == "string":
            assert "maxLength" in schema or "enum" in schema, path
        if schema["type"] == "integer":
            assert {"minimum", "maximum", "format"} <= schema.keys(), path
        if schema["type"] == "array":
            assert {"maxItems", "x-kubernetes-list-type"} <= schema.keys(), path
        if "additionalProperties" in schema:
            assert {"maxProperties", "x-kubernetes-map-type"} <= schema.keys(), path


def test_the_cases_come_from_a_schema_and_are_many() -> None:
    assert len(BOUNDS) > 150
    assert {bound.kind for bound in (*BOUNDS, *LISTS)} == {
        *("type", "minimum", "maximum", "whole numbers", "enum", "maxLength", "minLength", "pattern"),
        *("maxItems", "minItems", "maxProperties"),
    }
