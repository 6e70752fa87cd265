"""From training data as teams have it (DataFrames, mappings, arrays) to named features and outputs, or an error."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from millgate_serving.signature import Column, Signature, Tensor
from millgate_serving.summary import MAX_CATEGORIES, Categorical, Numeric, categorical, is_missing, numeric, scattered

MAX_FEATURES: Final = 1000
MAX_COMPONENTS: Final = 10_000
MAX_OUTPUTS: Final = 20
PREDICTIONS: Final = "predictions"
_UNNAMED_TENSOR = "input"
_NUMBER_KINDS = "iuf"

Values = npt.NDArray[Any]
Summary = Numeric | Categorical


class ProfileError(ValueError):
    """What was given cannot be described; the message begins with the field."""


def component(base: str, index: tuple[int, ...]) -> str:
    """The name of one number among those that a row has: `pixels[3,4]`."""
    return f"{base}[{','.join(map(str, index))}]" if index else base


def tensor_name(tensor: Tensor) -> str:
    return tensor.name or _UNNAMED_TENSOR


def component_names(tensor: Tensor) -> Iterator[str]:
    """In the order of the flattened row; nothing where a row has no fixed shape, or is a picture or the like."""
    if any(length < 0 for length in tensor.shape[1:]) or math.prod(tensor.shape[1:]) > MAX_COMPONENTS:
        return
    for index in np.ndindex(*tensor.shape[1:]):
        yield component(tensor_name(tensor), index)


def features(signature: Signature, inputs: Any, wanted: Sequence[str] | None) -> tuple[int, list[Summary]]:
    """The number of rows, and what can be described of them. Raises ProfileError."""
    by_input = _by_input(signature, inputs)
    lengths = {name: len(values) for name, values in by_input.items()}
    rows = next(iter(lengths.values()))
    for name, length in lengths.items():
        if length != rows:
            raise ProfileError(f"inputs.{name}: {length} rows, others have {rows}")
    if not rows:
        raise ProfileError("inputs: at least one row is needed")
    named: dict[str, tuple[Column | Tensor, Values]] = {}
    for item in signature.inputs:
        for name, values in _components(item, by_input[item.name]):
            named[name] = item, values
    unknown = [name for name in wanted or () if name not in named]
    if unknown:
        raise ProfileError(f"features: the model has no '{unknown[0]}'")
    chosen = list(named) if wanted is None else list(dict.fromkeys(wanted))
    if len(chosen) > MAX_FEATURES:
        raise ProfileError(f"features: there are {len(chosen)}; name the {MAX_FEATURES} most important ones at most")
    found = (_feature(name, *named[name]) for name in chosen)
    return rows, [summary for summary in found if summary is not None]


def _by_input(signature: Signature, inputs: Any) -> dict[str, Values]:
    names = [item.name for item in signature.inputs]
    if len(names) == 1 and signature.tensors and not isinstance(inputs, Mapping):
        return {names[0]: np.asarray(inputs)}  # a DataFrame too: its columns are the numbers of a row
    columns = getattr(inputs, "columns", None)
    if columns is not None or isinstance(inputs, Mapping):
        given = [str(name) for name in (inputs if columns is None else columns)]
        for name in names:
            if name not in given:
                raise ProfileError(f"inputs: '{name}' of the model's signature is missing")
        for name in given:
            if name not in names:
                raise ProfileError(f"inputs: '{name}' is not in the model's signature")
        return {name: np.asarray(inputs[name]) for name in names}
    array = np.asarray(inputs)
    if array.ndim != 2 or array.shape[1] != len(names) or signature.tensors:
        raise ProfileError(f"inputs: a DataFrame or a mapping with {', '.join(names[:20])} is needed")
    return dict(zip(names, array.T, strict=True))


def _components(item: Column | Tensor, values: Values) -> Iterator[tuple[str, Values]]:
    if isinstance(item, Column):
        if values.ndim != 1:
            raise ProfileError(f"inputs.{item.name}: one value a row is needed")
        yield item.name, values
        return
    place = f"inputs.{item.name}" if item.name else "inputs"
    fits = values.ndim == len(item.shape) and all(
        ours in {theirs, -1} for ours, theirs in zip(item.shape[1:], values.shape[1:], strict=True)
    )
    if not fits:
        raise ProfileError(f"{place}: the shape {list(item.shape)} is needed")
    flat = values.reshape(len(values), -1)
    for number, name in enumerate(component_names(item)):
        yield name, flat[:, number]


def _feature(name: str, item: Column | Tensor, values: Values) -> Summary | None:
    """None for what has no distribution worth comparing: moments move on, bytes and identifiers are all different."""
    if item.type in {"datetime", "binary"}:
        return None
    if item.type in {"string", "str", "object", "boolean", "bool"}:
        found = categorical(name, values.tolist())
        return None if scattered(found) else found
    return numeric(name, _numbers(f"inputs.{name}", values))


def _numbers(place: str, values: Values) -> Values:
    try:
        if values.dtype == object:  # as pandas gives columns that may be missing
            return np.array([np.nan if is_missing(value) else value for value in values], np.float64)
        return values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ProfileError(f"{place}: numbers are needed") from error


def outputs(rows: int, predictions: Any, further: Mapping[str, Any]) -> list[Summary]:
    """Whole numbers, texts and booleans are categories where they are few, else numbers. Raises ProfileError."""
    found: list[Summary] = []
    for name, place, given in [
        (PREDICTIONS, PREDICTIONS, predictions),
        *((name, f"outputs.{name}", given) for name, given in further.items()),
    ]:
        values = np.asarray(given)
        if values.ndim == 0 or len(values) != rows:
            raise ProfileError(f"{place}: {len(values) if values.ndim else 'no'} rows, the inputs have {rows}")
        if values.ndim == 2 and values.shape[1] == 1:
            values = values.ravel()
        if values.ndim > 2 or (values.ndim == 2 and values.dtype.kind not in _NUMBER_KINDS):
            raise ProfileError(f"{place}: one value a row, or a list of numbers, is needed")
        if values.ndim == 2:
            found += [numeric(component(name, (column,)), values[:, column]) for column in range(values.shape[1])]
        else:
            found.append(_output(name, values))
        if len(found) > MAX_OUTPUTS:
            raise ProfileError(
                f"{place}: at most {MAX_OUTPUTS} numbers a row can be described, this makes {len(found)}"
            )
    return found


def _output(name: str, values: Values) -> Summary:
    kind = values.dtype.kind
    if kind == "f" or (kind in "iu" and len(np.unique(values)) > MAX_CATEGORIES):
        return numeric(name, values)
    return categorical(name, values.tolist())
