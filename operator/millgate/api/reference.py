"""docs/reference.md: every field of a ModelDeployment as a table, made from the schema that the API server checks."""

from collections.abc import Iterator
from typing import Any

from millgate.api.schema import Schema

_OPENING = """\
# ModelDeployment reference

Generated from the CRD by `python -m millgate.api.crd`. `kubectl explain modeldeployment.spec --recursive` says the same
in a terminal. Fields marked * must be given. A field that is not listed here is refused by `kubectl apply`, which
validates strictly unless it is told otherwise; other clients should ask for field validation `Strict` too.
"""


def reference(crd: dict[str, Any]) -> str:
    """The page for a CRD as `crd()` gives it."""
    spec = crd["spec"]
    (version,) = spec["versions"]
    schema: Schema = version["schema"]["openAPIV3Schema"]
    names = spec["names"]
    head = (
        f"`apiVersion: {spec['group']}/{version['name']}`, `kind: {names['kind']}`, "
        f"short name `{', '.join(names['shortNames'])}`. {schema['description']}\n"
    )
    parts = [_OPENING, head, _rules(schema)]
    parts += [_object(path, part) for path, part in _objects(schema)]
    parts.append(_columns(version["additionalPrinterColumns"]))
    return "\n".join(part for part in parts if part)


def _objects(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """The objects under `spec` and `status`, each before its parts; equal ones once, where they are met first."""
    seen: list[Schema] = []
    queue = [("spec", schema["properties"]["spec"]), ("status", schema["properties"]["status"])]
    while queue:
        path, part = queue.pop(0)
        shape = {key: value for key, value in part.items() if key not in {"description", "default"}}
        if shape in seen:
            continue
        seen.append(shape)
        yield path, part
        inner = [(f"{path}.{name}", field) for name, field in part["properties"].items()]
        inner = [(f"{name}[]", field["items"]) if "items" in field else (name, field) for name, field in inner]
        queue = [(name, field) for name, field in inner if "properties" in field] + queue


def _object(path: str, schema: Schema) -> str:
    required = schema.get("required", ())
    rows = [
        f"| `{name}`{' *' if name in required else ''} | {_type(field)} | {_default(field)} | {_cell(field)} |"
        for name, field in schema["properties"].items()
    ]
    table = ["| field | type | default | meaning |", "|---|---|---|---|", *rows]
    return "\n".join([f"## `{path}`", "", schema["description"], "", *table, "", _rules(schema)])


def _rules(schema: Schema) -> str:
    rules = [f"- {rule['message']}" for rule in schema.get("x-kubernetes-validations", ())]
    return "\n".join(["Refused unless it holds:", "", *rules, ""]) if rules else ""


def _cell(field: Schema) -> str:
    rules = " ".join(f"{rule['message']}." for rule in field.get("x-kubernetes-validations", ()))
    text = field["description"] if "properties" in field or not rules else f"{field['description']} {rules}"
    return text.replace("|", "\\|").replace("\n", " ")


def _default(field: Schema) -> str:
    if "default" not in field or "properties" in field:
        return ""
    value = field["default"]
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _type(field: Schema) -> str:
    if "items" in field:
        keys = field.get("x-kubernetes-list-map-keys")
        told_apart = f", told apart by `{keys[0]}`" if keys else ""
        return f"list of {_type(field['items'])} ({_range(field, 'Items')}{told_apart})"
    if "additionalProperties" in field:
        return f"map of text to {_type(field['additionalProperties'])} ({_range(field, 'Properties')})"
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    if field["type"] == "integer" and "maximum" in field:
        return f"integer, {field['minimum']} to {field['maximum']}"
    if field["type"] == "string":
        return _text(field)
    return str(field["type"])


def _text(field: Schema) -> str:
    if field.get("format") == "date-time":
        return "time"
    limit = f" up to {field['maxLength']}" if "maxLength" in field else ""
    pattern = f", matching `{field['pattern']}`" if "pattern" in field else ""
    return f"text{limit}{pattern}".replace("|", "\\|")


def _range(field: Schema, unit: str) -> str:
    least = f"{field[f'min{unit}']} to " if f"min{unit}" in field else "up to "
    return f"{least}{field[f'max{unit}']}"


def _columns(columns: list[dict[str, Any]]) -> str:
    rows = [
        f"| {column['name'].upper()} | {column['description']}{' With `-o wide`.' if column.get('priority') else ''} |"
        for column in columns
    ]
    return "\n".join(["## `kubectl get modeldeployments`", "", "| column | meaning |", "|---|---|", *rows, ""])
