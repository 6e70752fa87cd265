"""/openapi.json: what this server answers for this one model, made from its signature when it is loaded.

The same fields that check a request describe it here, so a client that is generated from the document sends what the
server accepts. What JSON Schema cannot say (columns of one length, data that fits its shape) is said in words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from millgate_serving import __version__, schemas
from millgate_serving.engine import Outputs
from millgate_serving.fields import Field
from millgate_serving.loading import ReadyModel
from millgate_serving.schemas import ERROR, ROWS, Schema, ref
from millgate_serving.settings import Settings

_JSON: Final = "application/json"
_ID: Schema = {"type": "string", "maxLength": 128}
_REQUEST_ID: Schema = {
    "x-request-id": {"description": "The client's own, or a new one.", "required": True, "schema": _ID}
}
_REASONS = {
    "400": "The body is not what the schema allows; the message names the field and what is allowed.",
    "401": "No valid key or token.",
    "403": "The key or token does not allow this.",
    "404": "No such path, model or version.",
    "405": "Another method is allowed; see the header allow.",
    "413": "More bytes or rows than a request may have.",
    "415": "Another content type, or a compressed body.",
    "429": "Too many requests of this client; see the header retry-after.",
    "500": "The model failed to answer, or its answer broke its own rule.",
    "503": "Not loaded yet, stopping, or overloaded; see the header retry-after.",
    "504": "The deadline of the request has passed.",
}
_PAGES: tuple[tuple[str, str, str], ...] = (
    ("/livez", "live", "The process can answer."),
    ("/readyz", "ready", "The model is verified, loaded and has answered its example."),
    ("/health", "health", "The same as /readyz."),
    ("/version", "version", "Which model, which bytes, which server."),
    ("/openapi.json", "openapi", "This document."),
)


@dataclass(frozen=True, slots=True)
class Described:
    """What the document is made from. `example` is the model's answer to its own input example, if it has one.

    `rows_only`: the model takes one tensor without a name, so there are no columns to give by name.
    """

    model_name: str
    model_version: str
    fields: Sequence[Field]
    outputs: Sequence[str]
    example: Outputs | None
    rows_only: bool
    ignore_extra: bool


def of(ready: ReadyModel, settings: Settings) -> bytes:
    """The document of a loaded model as JSON. It costs a millisecond, or ten with a thousand inputs."""
    tensors = ready.model.signature.tensors
    described = Described(
        settings.model_name,
        settings.model_version,
        ready.fields,
        ready.engine.outputs,
        ready.answered.outputs if ready.answered else None,
        rows_only=len(tensors) == 1 and not tensors[0].name,
        ignore_extra=ready.constraints.extra_fields == "ignore",
    )
    body: bytes = msgspec.json.encode(document(described))
    return body


def document(model: Described) -> dict[str, Any]:
    """OpenAPI 3.1, ready to be written as JSON."""
    paths: dict[str, Any] = {"/predict": {"post": _predict(model)}}
    paths |= {path: {"get": _page(operation, what, {})} for path, operation, what in _PAGES}
    paths["/metrics"] = {"get": _page("metrics", "Prometheus text.", {"type": "string"}, "text/plain")}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": model.model_name,
            "version": model.model_version or "0",
            "description": f"Answered by the serving image of Millgate {__version__}.",
        },
        "paths": paths,
        "components": {"schemas": _predict_schemas(model) | {ERROR: _error()}},
    }


def _error() -> Schema:
    return {
        "type": "object",
        "properties": {"error": {"type": "string"}},
        "required": ["error"],
        "additionalProperties": False,
    }


# /predict


def _predict(model: Described) -> dict[str, Any]:
    parts = ["RowsRequest"] if model.rows_only else ["RowsRequest", "ColumnsRequest"]
    body = ref(parts[0]) if len(parts) == 1 else {"oneOf": [ref(part) for part in parts]}
    return {
        "operationId": "predict",
        "summary": "One prediction for each row.",
        "parameters": [{"name": "x-request-id", "in": "header", "required": False, "schema": {"type": "string"}}],
        "requestBody": {"required": True, "content": {_JSON: {"schema": body}}},
        "responses": {"200": _answer("Predictions.", ref("PredictResponse"))} | errors(),
    }


def errors(*codes: str) -> dict[str, Any]:
    """The answers that are no success, all of one form; all there are where none is named."""
    return {code: _answer(_REASONS[code], ref(ERROR)) for code in codes or _REASONS}


def _answer(what: str, schema: Schema, content_type: str = _JSON) -> dict[str, Any]:
    return {"description": what, "content": {content_type: {"schema": schema}}}


def _predict_schemas(model: Described) -> dict[str, Schema]:
    predictions, further = schemas.answers(model.outputs, model.example)
    response: dict[str, Schema] = {
        "predictions": predictions,
        "model": {"type": "string"},
        "version": {"type": "string"},
    }
    required = list(response)
    if further:
        response["outputs"] = {"type": "object", "properties": further, "required": list(further)}
    found = {
        "PredictResponse": {"type": "object", "properties": response | {"id": _ID}, "required": required},
    }
    if model.rows_only:
        return found | {
            "RowsRequest": _request("rows", {"type": "array", "items": schemas.value(model.fields[0])} | ROWS)
        }
    one_tensor = len(model.fields) == 1 and model.fields[0].shape
    row = schemas.value(model.fields[0]) if one_tensor else ref("Row")
    found["RowsRequest"] = _request("rows", {"type": "array", "items": row} | ROWS)
    found["ColumnsRequest"] = _request("columns", ref("Columns"))
    if not one_tensor:
        found["Row"] = schemas.row(model.fields, ignore_extra=model.ignore_extra)
    found["Columns"] = schemas.columns(model.fields, ignore_extra=model.ignore_extra)
    return found


def _request(part: str, schema: Schema) -> Schema:
    return {"type": "object", "properties": {part: schema}, "required": [part], "additionalProperties": False}


# Pages


def _page(operation: str, what: str, schema: Schema, content_type: str = _JSON) -> dict[str, Any]:
    return {
        "operationId": operation,
        "summary": what,
        "responses": {"200": _answer(what, schema, content_type)} | errors("405", "503"),
    }
