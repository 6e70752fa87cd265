"""What a model demands of its requests and promises of its answers beyond its signature: `millgate/constraints.json`.

The file is one of the model's files, so it is hashed and verified with them. Ranges, enumerations and lengths of inputs
become part of the decoders; rules for outputs are the guard's; segments are the metrics'.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from millgate_serving import model_file
from millgate_serving.describe import PREDICTIONS, tensor_name
from millgate_serving.failure import Reason, ServingError
from millgate_serving.model_file import ModelFileError
from millgate_serving.signature import Column, Signature, Tensor
from millgate_serving.wording import not_understood

FILE: Final = "millgate/constraints.json"
_LIMIT_BYTES = 1 << 20
_MAX_SEGMENTS = 4
_SHOWN_NAMES = 20
_INTEGERS = frozenset({"integer", "long"} | {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)})
_NUMBERS = frozenset({"float", "double", "float32", "float64"})
_TEXTS = frozenset({"string", "str", "object"})
_SEGMENTS = frozenset({"string", "boolean", "integer", "long"})

_Number = int | float
_Allowed = str | int | float


_Extra = Literal["refuse", "ignore"]
_EXTRA_FIELDS = ("refuse", "ignore")


class InputRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Of one input. `minimum` and `maximum` are allowed themselves; `max_length` counts characters, or bytes.

    `nullable` true: null is a value that the model knows, as NaN or None. False: there must be a value, also where the
    signature says that the column is optional. None: as the signature says.
    """

    minimum: _Number | None = None
    maximum: _Number | None = None
    enum: Annotated[tuple[_Allowed, ...], Meta(min_length=1, max_length=10_000)] | None = None
    max_length: Annotated[int, Meta(ge=0, le=10 << 20)] | None = None
    nullable: bool | None = None


class OutputRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Of one output: each number within a range; the numbers of a row sum to `sums_to`, give or take `tolerance`."""

    minimum: _Number | None = None
    maximum: _Number | None = None
    sums_to: _Number | None = None
    tolerance: Annotated[float, Meta(ge=0)] = 1e-3


class Constraints(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Inputs as the signature names them, an unnamed tensor `input`; outputs as an answer names them."""

    inputs: dict[str, InputRules] = {}
    outputs: dict[str, OutputRules] = {}
    extra_fields: _Extra = "refuse"
    segments: Annotated[tuple[str, ...], Meta(max_length=_MAX_SEGMENTS)] = ()

    def of(self, item: Column | Tensor) -> InputRules:
        """The rules of an input; no rules where the file names none."""
        return self.inputs.get(tensor_name(item) if isinstance(item, Tensor) else item.name, NO_RULES)


class _File(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """As the file is written: rules are read one by one, because a fault in them must name the input."""

    inputs: dict[str, msgspec.Raw] = {}
    outputs: dict[str, msgspec.Raw] = {}
    extra_fields: _Extra = "refuse"
    segments: Annotated[tuple[str, ...], Meta(max_length=_MAX_SEGMENTS)] = ()


_Kind = TypeVar("_Kind", bound=msgspec.Struct)
NO_RULES: Final = InputRules()
NONE: Final = Constraints()


def read(directory: Path) -> Constraints:
    """Of a model on disk; NONE where it ships no file. Raises ServingError ConstraintsInvalid, naming the field."""
    path = directory / FILE
    if not path.is_file():
        return NONE
    with path.open("rb") as file:
        content = file.read(_LIMIT_BYTES + 1)
    if len(content) > _LIMIT_BYTES:
        raise invalid(f"it is larger than {_LIMIT_BYTES >> 20} MiB")
    return _read(content)


def _read(content: bytes) -> Constraints:
    document = _decoded(content, _File, "")
    return Constraints(
        {name: _decoded(rules, InputRules, f"inputs.{name}") for name, rules in document.inputs.items()},
        {name: _decoded(rules, OutputRules, f"outputs.{name}") for name, rules in document.outputs.items()},
        document.extra_fields,
        document.segments,
    )


def _decoded(content: bytes | msgspec.Raw, kind: type[_Kind], place: str) -> _Kind:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        names = [field.encode_name for field in msgspec.structs.fields(kind)]
        refusal = not_understood(error, allowed=lambda _: names, enumerated=lambda _: _EXTRA_FIELDS, prefix=place)
        raise invalid(refusal.message) from error


def write(
    model: str | os.PathLike[str],
    *,
    inputs: Mapping[str, Mapping[str, Any]] | None = None,
    outputs: Mapping[str, Mapping[str, Any]] | None = None,
    extra_fields: str = "refuse",
    segments: Sequence[str] = (),
) -> Constraints:
    """Put rules beside a model's files, as the file has them: `inputs={"note": {"maxLength": 200}}`.

    `model` is the folder that MLflow saved, or `models:/m-…` of a logged model (`log_model(…).model_uri`); write before
    the version is registered. Raises ValueError, which names the field; outputs are checked when the model is loaded.
    """
    document = {"inputs": inputs or {}, "outputs": outputs or {}, "extraFields": extra_fields, "segments": segments}

    def content(signature: Signature) -> bytes:
        made: bytes = msgspec.json.format(msgspec.json.encode(document), indent=1)
        try:
            check(_read(made), signature, None)
        except ServingError as error:
            raise ModelFileError(error.message) from error
        return made + b"\n"

    return _read(model_file.put(model, FILE, content))


def check(constraints: Constraints, signature: Signature, outputs: Sequence[str] | None) -> None:
    """That the rules are this model's and that each can be kept. `outputs` are the engine's names, if known.

    Whether the engine knows missing values is checked where its layout is known. Raises ConstraintsInvalid.
    """
    inputs = {tensor_name(item) if isinstance(item, Tensor) else item.name: item for item in signature.inputs}
    for name, rules in constraints.inputs.items():
        place = f"inputs.{name}"
        if name not in inputs:
            raise invalid(f"{place}: the model's signature has no such input; it has {_listed(inputs)}")
        _check_input(rules, inputs[name].type, place)
    answered = None if outputs is None else (PREDICTIONS, *outputs[1:])
    for name, promise in constraints.outputs.items():
        if answered is not None and name not in answered:
            raise invalid(f"outputs.{name}: the model has no such output; it has {_listed(answered)}")
        _check_range(promise.minimum, promise.maximum, f"outputs.{name}")
    for name in constraints.segments:
        item = inputs.get(name)
        if not isinstance(item, Column) or item.type not in _SEGMENTS:
            raise invalid(f"segments: '{name}' is no column of the type {', '.join(sorted(_SEGMENTS))}")


def _check_input(rules: InputRules, kind: str, place: str) -> None:
    whole, number, text = kind in _INTEGERS, kind in _NUMBERS, kind in _TEXTS
    for field, value in (("minimum", rules.minimum), ("maximum", rules.maximum)):
        if value is not None and not (whole or number):
            raise invalid(f"{place}.{field}: {kind} has no range")
        if whole and isinstance(value, float):
            raise invalid(f"{place}.{field}: a whole number is needed for {kind}")
    _check_range(rules.minimum, rules.maximum, place)
    if rules.max_length is not None and not (text or kind == "binary"):
        raise invalid(f"{place}.maxLength: {kind} has no length")
    if rules.enum is not None:
        _check_enum(rules, kind, place)
    if rules.nullable and (whole or kind in {"boolean", "bool"}):
        raise invalid(f"{place}.nullable: {kind} has no value for missing; use double in the signature")


def _check_enum(rules: InputRules, kind: str, place: str) -> None:
    allowed: tuple[type, ...] = ()
    if kind in _TEXTS:
        allowed = (str,)
    elif kind in _INTEGERS:
        allowed = (int,)
    elif kind in _NUMBERS:
        allowed = (int, float)
    if not allowed:
        raise invalid(f"{place}.enum: {kind} cannot be enumerated")
    if not all(isinstance(value, allowed) for value in rules.enum or ()):
        raise invalid(f"{place}.enum: the values must be of the type {kind}")
    if rules.minimum is not None or rules.maximum is not None or rules.max_length is not None:
        raise invalid(f"{place}.enum: what is enumerated needs no range and no length besides")


def _check_range(minimum: _Number | None, maximum: _Number | None, place: str) -> None:
    if minimum is not None and maximum is not None and minimum > maximum:
        raise invalid(f"{place}.minimum: it is larger than the maximum")


def _listed(names: Any) -> str:
    return ", ".join(list(names)[:_SHOWN_NAMES])


def invalid(message: str) -> ServingError:
    """A file that cannot be used, named; the message begins with the field."""
    return ServingError(Reason.CONSTRAINTS_INVALID, f"{FILE}: {message}")
