"""/openapi.json: what this server answers for this one model, made from its signature when it is first asked for.

The same fields that check a request describe it here, so a client that is generated from the document sends what the
server accepts. What JSON Schema cannot say (columns of one length, data that fits its shape) is said in words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from millgate_serving import __version__, deadline, openapi_v2, schemas
from millgate_serving.engine import Outputs
from millgate_serving.feedback import MAX_ENTRIES, MAX_LABELS
from millgate_serving.fields import Field
from millgate_serving.loading import ReadyModel
from millgate_serving.schemas import ERROR, JSON, ROWS, Schema, answer, errors, page, ref
from millgate_serving.settings import Settings

_PAGES: Final = (
    ("/livez", "live", "The process can answer."),
    ("/readyz", "ready", "The model is verified, loaded and has answered its example."),
    ("/health", "health", "The same as /readyz."),
    ("/version", "version", "Which model, which bytes, which server."),
    ("/openapi.json", "openapi", "This document."),
)
_HEADERS: Final[tuple[Schema, ...]] = (
    {
        "name": "x-request-id",
        "in": "header",
        "required": False,
        "description": "Comes back if it is 1 to 128 printable ASCII characters; else there is a new one.",
        "schema": {"type": "string"},
    },
    {
        "name": deadline.HEADER.decode(),
        "in": "header",
        "required": False,
        "description": "Milliseconds after which the client waits no longer.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
    },
)
_SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}


@dataclass(frozen=True, slots=True)
class Described:
    """What the document is made from. `example` is the model's answer to its own input example, if it has one.

    `rows_only`: the model takes one tensor without a name, so there are no columns to give by name. `schemes` are the
    ways to say who one is, none where nobody is asked.
    """

    model_name: str
    model_version: str
    fields: Sequence[Field]
    outputs: Sequence[str]
    example: Outputs | None
    rows_only: bool
    ignore_extra: bool
    feedback: bool
    schemes: tuple[str, ...]


def of(ready: ReadyModel, settings: Settings) -> bytes:
    """The document of a loaded model as JSON. It costs a millisecond, or ten with a thousand inputs."""
    tensors, protection = ready.model.signature.tensors, settings.protection
    schemes = ("bearer", "key") if protection.api_keys_file else ("bearer",) if protection.tokens else ()
    described = Described(
        settings.model_name,
        settings.model_version,
        ready.fields,
        ready.engine.outputs,
        ready.answered.outputs if ready.answered else None,
        rows_only=len(tensors) == 1 and not tensors[0].name,
        ignore_extra=ready.constraints.extra_fields == "ignore",
        feedback=bool(settings.observing.feedback_rows),
        schemes=schemes,
    )
    body: bytes = msgspec.json.encode(document(described))
    return body


def document(model: Described) -> dict[str, Any]:
    """OpenAPI 3.1, ready to be written as JSON."""
    paths: dict[str, Any] = {"/predict": {"post": _predict(model)}}
    paths |= openapi_v2.paths(model.model_name, model.model_version, _HEADERS)
    if model.feedback:
        paths["/feedback"] = {"post": _feedback()}
    if model.schemes:
        for operations in paths.values():
            if "post" in operations:
                operations["post"]["security"] = [{scheme: []} for scheme in model.schemes]
    paths |= {path: {"get": page(operation, what, {"type": "object"})} for path, operation, what in _PAGES}
    paths["/metrics"] = {"get": page("metrics", "Prometheus text.", {"type": "string"}, "text/plain")}
    error: Schema = {
        "type": "object",
        "properties": {"error": {"type": "string"}},
        "required": ["error"],
        "additionalProperties": False,
    }
    feedback = _feedback_schemas() if model.feedback else {}
    components = _schemas(model) | feedback | openapi_v2.components(model.fields, model.outputs) | {ERROR: error}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": model.model_name,
            "version": model.model_version or "0",
            "description": f"Answered by the serving image of Millgate {__version__}.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {name: _SCHEMES[name] for name in model.schemes},
        },
    }


def _predict(model: Described) -> dict[str, Any]:
    parts = [ref("RowsRequest")] if model.rows_only else [ref("RowsRequest"), ref("ColumnsRequest")]
    body = parts[0] if len(parts) == 1 else {"oneOf": parts}
    return {
        "operationId": "predict",
        "summary": "One prediction for each row.",
        "parameters": list(_HEADERS),
        "requestBody": {"required": True, "content": {JSON: {"schema": body}}},
        "responses": {"200": answer("Predictions.", ref("PredictResponse"))} | errors(),
    }


def _feedback() -> dict[str, Any]:
    """Which labels are of the right type depends on the answers that they belong to."""
    return {
        "operationId": "feedback",
        "summary": "Labels that came later, by the id of the answer that they belong to.",
        "requestBody": {
            "required": True,
            "content": {JSON: {"schema": {"oneOf": [ref("FeedbackEntry"), ref("FeedbackBatch")]}}},
        },
        "responses": {"200": answer("How many labels were counted.", {"type": "object"})} | errors(),
    }


def _feedback_schemas() -> dict[str, Schema]:
    """As millgate_serving.feedback reads them."""
    label = {"anyOf": [{"type": kind} for kind in ("boolean", "number", "string")]}
    entry = {
        "id": {"type": "string", "minLength": 1, "maxLength": 128},
        "labels": {"type": "array", "items": label, "minItems": 1, "maxItems": MAX_LABELS},
        "predictions": {"type": ["array", "null"], "items": {}, "maxItems": MAX_LABELS},
        "outputs": {"type": ["object", "null"]},
        "model": {"type": ["string", "null"]},
        "version": {"type": ["string", "null"], "maxLength": 64},
    }
    batch = {"type": "array", "items": ref("FeedbackEntry"), "minItems": 1, "maxItems": MAX_ENTRIES}
    return {
        "FeedbackEntry": {
            "type": "object",
            "properties": entry,
            "required": ["id", "labels"],
            "additionalProperties": False,
        },
        "FeedbackBatch": _request("feedback", batch),
    }


def _schemas(model: Described) -> dict[str, Schema]:
    predictions, further = schemas.answers(model.outputs, model.example)
    text = {"type": "string"}
    response: dict[str, Schema] = {"predictions": predictions, "model": text, "version": text, "id": text}
    if further:
        response["outputs"] = {"type": "object", "properties": further, "required": list(further)}
    found = {"PredictResponse": {"type": "object", "properties": response, "required": list(response)}}
    one_tensor = model.rows_only or (len(model.fields) == 1 and bool(model.fields[0].shape))
    row = schemas.value(model.fields[0]) if one_tensor else ref("Row")
    found["RowsRequest"] = _request("rows", {"type": "array", "items": row} | ROWS)
    if not one_tensor:
        found["Row"] = schemas.row(model.fields, ignore_extra=model.ignore_extra)
    if not model.rows_only:
        found["ColumnsRequest"] = _request("columns", ref("Columns"))
        found["Columns"] = schemas.columns(model.fields, ignore_extra=model.ignore_extra)
    return found


def _request(part: str, schema: Schema) -> Schema:
    return {"type": "object", "properties": {part: schema}, "required": [part], "additionalProperties": False}
