"""The signature that MLflow stored with a model, as the inputs and outputs that a request is checked against."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from millgate_serving.failure import Reason, ServingError

COLUMN_TYPES = frozenset({"boolean", "integer", "long", "float", "double", "string", "binary", "datetime"})
_INTEGERS = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
TENSOR_TYPES = frozenset({"bool", "float32", "float64", "str", "object"}) | _INTEGERS


@dataclass(frozen=True, slots=True)
class Column:
    """A named column, of which a request gives one value a row."""

    name: str
    type: str
    required: bool

    @property
    def short(self) -> str:
        return self.type if self.required else f"{self.type}?"


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor whose first dimension counts the rows. `name` is empty for the only, unnamed one; -1 is any length."""

    name: str
    type: str
    shape: tuple[int, ...]

    @property
    def short(self) -> str:
        return f"{self.type}{list(self.shape)}".replace(" ", "")


@dataclass(frozen=True, slots=True)
class Signature:
    """Inputs are all columns or all tensors. `sha256` identifies the whole signature, inputs and outputs."""

    inputs: tuple[Column | Tensor, ...]
    outputs: tuple[tuple[str, str], ...]
    sha256: str

    @property
    def columns(self) -> tuple[Column, ...]:
        return tuple(item for item in self.inputs if isinstance(item, Column))

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(item for item in self.inputs if isinstance(item, Tensor))


def read(document: Any) -> Signature:
    """From the `signature` of an MLmodel file. Raises SignatureMissing or SignatureNotSupported."""
    if not isinstance(document, dict) or not document.get("inputs"):
        raise ServingError(
            Reason.SIGNATURE_MISSING,
            "the model has no signature, so no request could be checked: log it with signature=infer_signature(…)",
        )
    inputs, outputs = _parsed(document["inputs"]), _parsed(document.get("outputs") or "[]")
    canonical = json.dumps([inputs, outputs], sort_keys=True, separators=(",", ":"))
    return Signature(
        _inputs(inputs),
        tuple((str(item.get("name", "")), _described(item)) for item in outputs),
        hashlib.sha256(canonical.encode()).hexdigest(),
    )


def _parsed(text: Any) -> list[dict[str, Any]]:
    try:
        items = json.loads(text)
    except (TypeError, ValueError):
        items = None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ServingError(Reason.SIGNATURE_NOT_SUPPORTED, "the signature in MLmodel is not a list of objects")
    return items


def _inputs(items: list[dict[str, Any]]) -> tuple[Column | Tensor, ...]:
    names = [item.get("name") for item in items]
    if len(set(names)) != len(names):
        raise ServingError(Reason.SIGNATURE_NOT_SUPPORTED, "two inputs of the signature have the same name")
    kinds = {item.get("type") == "tensor" for item in items}
    if kinds == {True}:
        return tuple(_tensor(item) for item in items)
    if kinds == {False}:
        return tuple(_column(item) for item in items)
    raise ServingError(Reason.SIGNATURE_NOT_SUPPORTED, "the signature mixes columns and tensors")


def _column(item: dict[str, Any]) -> Column:
    kind, name = item.get("type"), item.get("name")
    if name is None:
        raise ServingError(Reason.SIGNATURE_NOT_SUPPORTED, "a column of the signature has no name")
    if kind not in COLUMN_TYPES:
        allowed = ", ".join(sorted(COLUMN_TYPES))
        raise ServingError(Reason.SIGNATURE_NOT_SUPPORTED, f"column '{name}' is of type {kind}; supported: {allowed}")
    return Column(str(name), str(kind), bool(item.get("required", True)))


def _tensor(item: dict[str, Any]) -> Tensor:
    name, spec = str(item.get("name") or ""), item.get("tensor-spec") or {}
    kind, shape = str(spec.get("dtype")), tuple(spec.get("shape") or ())
    kind = "str" if kind.startswith(("<U", "str")) else kind
    if kind not in TENSOR_TYPES:
        allowed = ", ".join(sorted(TENSOR_TYPES))
        raise ServingError(Reason.SIGNATURE_NOT_SUPPORTED, f"tensor '{name}' is of type {kind}; supported: {allowed}")
    if not shape or not all(isinstance(length, int) for length in shape):
        raise ServingError(Reason.SIGNATURE_NOT_SUPPORTED, f"tensor '{name}' has no dimension that could count rows")
    return Tensor(name, kind, shape)


def _described(item: dict[str, Any]) -> str:
    spec = item.get("tensor-spec")
    if isinstance(spec, dict):
        return Tensor("", str(spec.get("dtype")), tuple(spec.get("shape") or ())).short
    return str(item.get("type"))


def summary(signature: Signature, limit_bytes: int) -> dict[str, Any]:
    """The short form for a result: names and types, cut to about `limit_bytes` of JSON. The sha256 is always whole."""
    room = limit_bytes
    result: dict[str, Any] = {"sha256": signature.sha256, "inputs": {}, "outputs": {}}
    pairs = [("outputs", name, kind) for name, kind in signature.outputs]
    pairs = pairs + [("inputs", item.name, item.short) for item in signature.inputs]
    for part, name, kind in pairs:
        room -= len(json.dumps({name: kind})) + 1
        if room < 0:
            result["truncated"] = True
            break
        result[part][name] = kind
    return result
