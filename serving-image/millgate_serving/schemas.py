"""JSON Schemas of what a model is asked and of what it answers, and how a document of OpenAPI says it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from millgate_serving.engine import Outputs
from millgate_serving.fields import FLOAT64_MAX, MAX_ROWS, Field

Schema = dict[str, Any]

JSON: Final = "application/json"
ERROR: Final = "Error"
ROWS: Final = {"minItems": 1, "maxItems": MAX_ROWS}
_REASONS = {
    "400": "The request is not what is allowed here; the message names the field and what is allowed.",
    "401": "No valid key or token.",
    "403": "The key or token does not allow this.",
    "404": "No such path, model or version.",
    "405": "Another method is allowed; see the header allow.",
    "408": "The request gave the model less time than it needs; see the header x-request-timeout-ms.",
    "413": "More bytes or rows than a request may have.",
    "415": "Another content type, or a compressed body.",
    "429": "Too many requests of this client; see the header retry-after.",
    "500": "The model failed to answer, or its answer broke its own rule.",
    "503": "Not loaded yet, stopping, or overloaded; see the header retry-after.",
    "504": "The deadline of the request has passed.",
}
_BASE64 = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_YEARS = r"^(?:16(?:7[89]|[89]\d)|1[789]\d\d|2[01]\d\d|22(?:[0-5]\d|6[01]))-"  # 1678 to 2261
_FORMATS = {"integer": "int32", "long": "int64", "float32": "float", "float64": "double"}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def answer(what: str, schema: Schema, content_type: str = JSON) -> dict[str, Any]:
    """A response."""
    return {"description": what, "content": {content_type: {"schema": schema}}}


def errors(*codes: str) -> dict[str, Any]:
    """The responses that are no success, all of one form; all there are where none is named."""
    return {code: answer(_REASONS[code], ref(ERROR)) for code in codes or _REASONS}


def page(operation: str, what: str, schema: Schema, content_type: str = JSON) -> dict[str, Any]:
    """An operation without input."""
    return {
        "operationId": operation,
        "summary": what,
        "responses": {"200": answer(what, schema, content_type)} | errors("405", "503"),
    }


def element(field: Field) -> Schema:
    """One value of an input. JSON Schema takes 1.0 for an integer; the server does not."""
    schema = _element(field)
    if field.enum:
        schema["enum"] = [*field.enum, None] if field.nullable else [*field.enum]
    if field.nullable:
        schema["type"] = [schema["type"], "null"]
    return schema


def _element(field: Field) -> Schema:
    if field.is_float:
        low = -FLOAT64_MAX if field.minimum is None else field.minimum
        high = FLOAT64_MAX if field.maximum is None else field.maximum
        form = _FORMATS.get(field.type, field.type)
        return {"type": "number", "format": form} | ({} if field.enum else {"minimum": low, "maximum": high})
    if field.minimum is not None:
        bounds = {} if field.enum else {"minimum": field.minimum, "maximum": field.maximum}
        return {"type": "integer", "format": _FORMATS.get(field.type, field.type)} | bounds
    if field.type in {"boolean", "bool"}:
        return {"type": "boolean"}
    if field.type == "datetime":
        return {"type": "string", "format": "date-time", "pattern": _YEARS}
    text: Schema = {"type": "string"}
    if field.type == "binary":
        text |= {"contentEncoding": "base64", "pattern": _BASE64}
    if field.max_length is not None:
        longest = field.max_length
        text["maxLength"] = (longest + 2) // 3 * 4 if field.type == "binary" else longest
    return text


def value(field: Field) -> Schema:
    """One row's value of an input: the element, nested in arrays for a tensor."""
    schema = element(field)
    for length in reversed(field.shape):
        size = {} if length < 0 else {"minItems": length, "maxItems": length}
        schema = {"type": "array", "items": schema} | size
    return schema


def row(fields: Sequence[Field], *, ignore_extra: bool) -> Schema:
    """An object with a value for each input."""
    return _object({field.name: value(field) for field in fields}, fields, ignore_extra=ignore_extra)


def columns(fields: Sequence[Field], *, ignore_extra: bool) -> Schema:
    """An object with the values of all rows for each input."""
    properties = {field.name: {"type": "array", "items": value(field)} | ROWS for field in fields}
    schema = _object(properties, fields, ignore_extra=ignore_extra)
    return schema | {"description": "All columns have the same number of values."}


def _object(properties: Mapping[str, Schema], fields: Sequence[Field], *, ignore_extra: bool) -> Schema:
    required = [field.name for field in fields if field.required]
    return {
        "type": "object",
        "properties": dict(properties),
        "additionalProperties": ignore_extra,
    } | ({"required": required} if required else {})


def answers(names: Sequence[str], example: Outputs | None) -> tuple[Schema, dict[str, Schema]]:
    """Of the predictions and of each further output by name, as the model answered its example; anything without one.

    `names` are those of the engine's outputs.
    """
    known = dict(zip(names, (values for _, values in example or ()), strict=False))
    schemas = [_answer(known.get(name)) for name in names]
    return schemas[0], dict(zip(names[1:], schemas[1:], strict=True))


def _answer(values: Any) -> Schema:
    """One entry a row. A NaN is answered as null."""
    if not isinstance(values, np.ndarray):
        maps = isinstance(values, list) and isinstance(values[0], dict)  # as ZipMap answers
        return {"type": "array", "items": {"type": "object"} if maps else {}}
    kinds: dict[str, Schema] = {
        "f": {"type": ["number", "null"]},
        "i": {"type": "integer"},
        "u": {"type": "integer"},
        "b": {"type": "boolean"},
        "U": {"type": "string"},
    }
    schema = kinds.get(values.dtype.kind, {})
    for _ in range(values.ndim):
        schema = {"type": "array", "items": schema}
    return schema
