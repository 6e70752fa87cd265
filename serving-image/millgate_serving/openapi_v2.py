"""The part of /openapi.json that is the Open Inference Protocol v2: its paths and its tensors, for this one model."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from millgate_serving import datatypes, schemas
from millgate_serving.fields import Field
from millgate_serving.schemas import JSON, Schema, answer, errors, page, ref

_BINARY = "application/octet-stream"
_WORDS = (
    "The shape counts the data, which is flat and row-major or nested as the shape is. A tensor of a column has the "
    "shape [rows] or [rows, 1]. With the header Inference-Header-Content-Length the body is so many bytes of JSON and "
    "then raw little-endian tensors, whose parameter binary_data_size stands in place of data; FP16 has no other form."
)
_LENGTH: Schema = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "required": False,
    "description": "Of a body with binary tensors: the number of bytes of JSON that it begins with.",
    "schema": {"type": "string"},
}


def paths(name: str, version: str, parameters: Sequence[Schema]) -> dict[str, Any]:
    """Short and with the version; `parameters` are the headers that every prediction takes."""
    found: dict[str, Any] = {
        "/v2": {"get": page("serverMetadata", "Name, version and extensions of the server.", {"type": "object"})},
        "/v2/health/live": {"get": page("serverLive", "The process can answer.", {"type": "object"})},
        "/v2/health/ready": {"get": page("serverReady", "The model can answer.", {"type": "object"})},
    }
    model = f"/v2/models/{quote(name, safe='')}"
    for path, of in [(model, ""), *([(f"{model}/versions/{quote(version, safe='')}", "Version")] if version else [])]:
        found[path] = {"get": page(f"model{of}Metadata", "Inputs and outputs.", ref("ModelMetadata"))}
        found[f"{path}/ready"] = {"get": page(f"model{of}Ready", "The model can answer.", {"type": "object"})}
        found[f"{path}/infer"] = {"post": _infer(f"infer{of}", parameters)}
    return found


def _infer(operation: str, parameters: Sequence[Schema]) -> dict[str, Any]:
    answered = answer("The outputs.", ref("InferResponse"))
    answered["content"][_BINARY] = {"schema": {"type": "string", "format": "binary"}}
    body = {JSON: {"schema": ref("InferRequest")}, _BINARY: {"schema": {"type": "string", "format": "binary"}}}
    return {
        "operationId": operation,
        "summary": "One prediction for each row, as tensors.",
        "description": _WORDS,
        "parameters": [*parameters, _LENGTH],
        "requestBody": {"required": True, "content": body},
        "responses": {"200": answered} | errors(),
    }


def components(fields: Sequence[Field], outputs: Sequence[str]) -> dict[str, Schema]:
    """`outputs` are the engine's names."""
    tensor: Schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "datatype": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer"}},
        },
        "required": ["name", "datatype", "shape"],
    }
    extra = {"data": {"type": "array", "items": {}}, "parameters": {"type": "object"}}
    named = [_request_tensor(field) for field in fields]
    return {
        "ModelMetadata": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "versions": {"type": "array", "items": {"type": "string"}},
                "platform": {"type": "string"},
                "inputs": {"type": "array", "items": tensor},
                "outputs": {"type": "array", "items": tensor},
            },
            "required": ["name", "platform", "inputs", "outputs"],
        },
        "InferRequest": {
            "type": "object",
            "properties": {
                "id": {"type": "string"},
                "inputs": {"type": "array", "minItems": 1, "items": {"anyOf": named}},
                "outputs": {"type": "array", "items": _wanted(outputs)},
                "parameters": {"type": "object", "properties": {"binary_data_output": {"type": "boolean"}}},
            },
            "required": ["inputs"],
            "additionalProperties": False,
        },
        "InferResponse": {
            "type": "object",
            "properties": {
                "model_name": {"type": "string"},
                "model_version": {"type": "string"},
                "id": {"type": "string"},
                "outputs": {"type": "array", "items": tensor | {"properties": tensor["properties"] | extra}},
            },
            "required": ["model_name", "outputs"],
        },
    }


def _request_tensor(field: Field) -> Schema:
    data = {"type": "array", "items": {"anyOf": [schemas.element(field), {"type": "array", "items": {}}]}}
    return {
        "title": f"Input {field.name}",
        "type": "object",
        "properties": {
            "name": {"const": field.name},
            "datatype": {"enum": list(datatypes.accepted(datatypes.of_type(field.type)))},
            "shape": {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 0}},
            "data": data,
            "parameters": {
                "type": "object",
                "properties": {"binary_data_size": {"type": "integer", "minimum": 0}},
            },
        },
        "required": ["name", "datatype", "shape"],
        "additionalProperties": False,
    }


def _wanted(outputs: Sequence[str]) -> Schema:
    return {
        "type": "object",
        "properties": {
            "name": {"type": "string", "enum": list(outputs)},
            "parameters": {"type": "object", "properties": {"binary_data": {"type": "boolean"}}},
        },
        "required": ["name"],
        "additionalProperties": False,
    }
