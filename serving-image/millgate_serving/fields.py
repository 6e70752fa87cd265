"""One input of a model as a request gives it: the type of one value, and the way from values to an array.

Every protocol uses these, so that what one accepts the others accept, and what one refuses they all refuse.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from millgate_serving.constraints import NONE, Constraints, InputRules, invalid
from millgate_serving.describe import tensor_name
from millgate_serving.refusal import Refusal
from millgate_serving.signature import Column, Signature, Tensor
from millgate_serving.wording import one_of

MAX_ROWS: Final = 10_000
FLOAT32_MAX: Final = float(np.finfo(np.float32).max)
FLOAT64_MAX: Final = float(np.finfo(np.float64).max)
FIRST_YEAR: Final = 1678
LAST_YEAR: Final = 2261
_FLOATS = frozenset({"float", "double", "float32", "float64"})
_UNITS = {"string": "characters", "str": "characters", "object": "characters", "binary": "bytes"}

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Layout:
    """How the model's engine wants its input: one type an input, and columns side by side in one matrix or apart.

    `missing_text` says whether it knows a missing text or moment; a missing number is NaN everywhere.
    """

    dtypes: tuple[np.dtype[Any], ...]
    matrix: bool = False
    missing_text: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """`shape` is that of one row's value: () of a column, (2, -1) of a tensor [-1, 2, -1].

    `required`: it must not be left out. `nullable`: null is accepted, and becomes NaN or None. `minimum` and `maximum`
    bound numbers and are allowed themselves; None where there is no bound but the type's. `element` is the msgspec type
    of one value.
    """

    name: str
    type: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    required: bool
    nullable: bool
    minimum: float | None
    maximum: float | None
    enum: tuple[str | int | float, ...]
    max_length: int | None
    element: Any

    @property
    def value(self) -> Any:
        """The msgspec type of one row's value: the element, nested in lists for a tensor."""
        kind = self.element
        for length in reversed(self.shape):
            kind = list_of(kind, length)
        return kind

    @property
    def is_float(self) -> bool:
        return self.type in _FLOATS

    def from_values(self, values: Sequence[Any], place: str) -> Array:
        """The array of all rows from decoded JSON: values of the type `value`. Raises Refusal, which names `place`."""
        if self.dtype.kind == "M":
            values = [_moment(value, f"{place}[{index}]") for index, value in enumerate(values)]
        try:
            array = np.array(values, self.dtype)
        except (ValueError, OverflowError, TypeError):
            array = None
        dimensions = 1 + len(self.shape)
        if array is None or array.ndim != dimensions:  # of texts numpy makes an array of lists instead of an error
            raise Refusal(400, f"{place}: the rows must all have the same shape and fit into {self.dtype.name}")
        if self.enum and self.is_float:  # all else is said by the type of an element
            self.check_enum(array, place)
        return array

    def from_array(self, array: Array, place: str) -> Array:
        """The same checks for values that came as an array and not as JSON; a NaN in it is what null is in JSON.

        The caller has seen to the array's shape and to its kind (numbers, texts…). Raises Refusal, naming `place`.
        """
        if array.dtype.kind in "iuf" and array.size:
            low = -FLOAT64_MAX if self.minimum is None else self.minimum
            high = FLOAT64_MAX if self.maximum is None else self.maximum
            if not (array.min() >= low and array.max() <= high):  # NaN is neither
                self._refuse_numbers(array, place)
        if self.max_length is not None:
            longest = self.max_length
            too_long = np.fromiter((value is not None and len(value) > longest for value in array.flat), bool)
            _refuse(too_long.reshape(array.shape), place, f"expected at most {longest} {_UNITS[self.type]}")
        if self.enum:
            self.check_enum(array, place)
        return array if array.dtype == self.dtype else array.astype(self.dtype)

    def _refuse_numbers(self, array: Array, place: str) -> None:
        if not self.nullable:
            _refuse(np.isnan(array), place, "expected a number, got NaN")
        _refuse(np.isinf(array), place, "expected a finite number")
        word = "number" if self.is_float else "integer"
        if self.minimum is not None:
            _refuse(array < self.minimum, place, f"expected {word} >= {self.minimum!r}")
        if self.maximum is not None:
            _refuse(array > self.maximum, place, f"expected {word} <= {self.maximum!r}")

    def check_enum(self, array: Array, place: str) -> None:
        """Raises Refusal for the first value that is not one of the enumeration."""
        if array.dtype.kind == "O":
            allowed = frozenset(self.enum)
            flat = np.fromiter((value is None or value in allowed for value in array.flat), bool, array.size)
            found = flat.reshape(array.shape)
        else:
            found = np.isin(array, np.array(self.enum, array.dtype))
            if self.nullable:
                found |= np.isnan(array)
        _refuse(~found, place, one_of(self.enum))


def _refuse(bad: npt.NDArray[np.bool_], place: str, what: str) -> None:
    """Names the first value that is bad, if one is."""
    if bad.any():
        first = np.argwhere(bad)[0].tolist()
        raise Refusal(400, f"{place}{''.join(f'[{index}]' for index in first)}: {what}")


def fields(signature: Signature, layout: Layout, constraints: Constraints = NONE) -> tuple[Field, ...]:
    """All inputs in the order of the signature. Raises ServingError ConstraintsInvalid for rules not to be kept."""
    pairs = zip(signature.inputs, layout.dtypes, strict=True)
    return tuple(_field(item, dtype, layout, constraints) for item, dtype in pairs)


def _field(item: Column | Tensor, dtype: np.dtype[Any], layout: Layout, constraints: Constraints) -> Field:
    rules = constraints.of(item)
    name, shape = (item.name, ()) if isinstance(item, Column) else (tensor_name(item), item.shape[1:])
    knows_missing = _knows_missing(item.type, layout)
    if rules.nullable and not knows_missing:
        raise invalid(f"inputs.{name}.nullable: this model's engine has no value for a missing {item.type}")
    optional = isinstance(item, Column) and not item.required and knows_missing and rules.nullable is not False
    nullable = optional or rules.nullable is True
    low, high = _bounds(item.type, dtype, rules)
    kind = _element(item.type, rules, low, high)
    return Field(
        name=name,
        type=item.type,
        dtype=dtype,
        shape=tuple(shape),
        required=not optional,
        nullable=nullable,
        minimum=low,
        maximum=high,
        enum=rules.enum or (),
        max_length=rules.max_length,
        element=kind | None if nullable else kind,
    )


def _knows_missing(kind: str, layout: Layout) -> bool:
    """Integers and booleans have no value for "missing": MLflow advises double for such columns, and so do we."""
    return kind in _FLOATS or (layout.missing_text and kind in {"string", "binary", "datetime", "str", "object"})


def _bounds(kind: str, dtype: np.dtype[Any], rules: InputRules) -> tuple[float | None, float | None]:
    """The narrower of the type's range and the model's own."""
    low, high = rules.minimum, rules.maximum
    if kind in _FLOATS:
        if dtype != np.float32:
            return low, high
        # What the client may send is bounded by what the model takes: 1e39 must not become infinity on the way.
        return (
            -FLOAT32_MAX if low is None else max(low, -FLOAT32_MAX),
            FLOAT32_MAX if high is None else min(high, FLOAT32_MAX),
        )
    if "int" in kind or kind == "long":
        bounds = np.iinfo({"integer": "int32", "long": "int64"}.get(kind, kind))
        least, most = int(bounds.min), min(int(bounds.max), 2**63 - 1)  # msgspec compares as int64
        return least if low is None else max(low, least), most if high is None else min(high, most)
    return None, None


def _element(kind: str, rules: InputRules, low: float | None, high: float | None) -> Any:
    """The msgspec type of one value."""
    if kind in _FLOATS:  # msgspec has no enumeration of numbers with a fraction
        return float if low is None and high is None else Annotated[float, Meta(ge=low, le=high)]
    if rules.enum:
        literal: Any = Literal  # of values that are known at run time only
        return literal[rules.enum]
    if "int" in kind or kind == "long":
        return Annotated[int, Meta(ge=low, le=high)]
    text = {"boolean": bool, "bool": bool, "binary": bytes, "datetime": datetime}.get(kind, str)
    return text if rules.max_length is None else Annotated[text, Meta(max_length=rules.max_length)]


def _moment(moment: datetime | None, place: str) -> datetime | None:
    """In UTC and without a zone. numpy counts nanoseconds in 64 bits and wraps silently outside of these years."""
    if moment is not None and not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise Refusal(400, f"{place}: the year must be from {FIRST_YEAR} to {LAST_YEAR}")
    return moment if moment is None or moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def list_of(kind: Any, length: int = -1) -> Any:
    """A JSON array, of exactly `length` items unless that is negative."""
    items = list[kind]
    return items if length < 0 else Annotated[items, Meta(min_length=length, max_length=length)]


def struct(
    name: str, members: Sequence[tuple[Field, Any]], *, absent: Any = None, ignore_extra: bool = False
) -> type[msgspec.Struct]:
    """A struct whose keys are the names of the fields, whatever characters they have; c0, c1… are its attributes.

    What may be left out and was is `absent`: None or UNSET.
    """
    attributes: list[Any] = []
    for index, (field, kind) in enumerate(members):
        attributes.append((f"c{index}", kind) if field.required else (f"c{index}", kind | type(absent), absent))
    names = {f"c{index}": field.name for index, (field, _) in enumerate(members)}
    return msgspec.defstruct(
        name, attributes, rename=names, forbid_unknown_fields=not ignore_extra, kw_only=True, gc=False
    )
