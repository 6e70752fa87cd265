"""Which features and outputs of a model are counted, where their values stand in its arrays, and with which edges.

The edges are those of the profile that the model ships; without one those that its input example allows; else none.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from millgate_serving import confidence
from millgate_serving.describe import MAX_OUTPUTS, PREDICTIONS, component, component_names, tensor_name
from millgate_serving.engine import Engine, Outputs
from millgate_serving.mlmodel import MlModel
from millgate_serving.profile import Profile, invalid, read
from millgate_serving.signature import Column
from millgate_serving.summary import Categorical, Numeric, categorical, even_edges
from millgate_serving.validation import Arrays, Layout

Source = Literal["training", "example", "none"]

_NUMERIC_KINDS = "iuf"
_TEXTS = frozenset({"string", "str", "object", "boolean", "bool"})
_UNMEASURED = frozenset({"datetime", "binary"})
# Of a share or a probability an example shows too little, but its range is known.
_SHARES: Final = tuple(round(0.05 * step, 2) for step in range(1, 20))
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Place:
    """The array of that number, and where its rows hold several values the column in the flattened row."""

    array: int
    column: int | None


Places = dict[str, tuple[Place, str]]
"""Every feature by name: where it stands, and the type that the signature gives it."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A feature or an output with its edges or categories; the counts of `summary` are those of training."""

    summary: Numeric | Categorical
    place: Place


@dataclass(frozen=True, slots=True)
class Measured:
    """What is counted. `left_out` are the first names of what is not, and how many they are in all."""

    source: Source
    features: tuple[Variable, ...] = ()
    outputs: tuple[Variable, ...] = ()
    features_left_out: int = 0
    outputs_left_out: int = 0
    left_out: tuple[str, ...] = ()
    confidence: int | None = None
    """The number of the output whose probabilities say how sure the model is."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The model's own input example, decoded, and what it answered."""

    arrays: Arrays
    outputs: Outputs


def choose(model: MlModel, engine: Engine, example: Answered | None, max_features: int) -> Measured:
    """At most so many: each is more than twenty series in Prometheus.

    Raises ServingError ProfileInvalid when the model's profile cannot be read or is not this model's.
    """
    places = dict(_features(model, engine.layout))
    source, features, outputs = _variables(model, engine, example, places)
    features, outputs = features[:max_features], outputs[:MAX_OUTPUTS]
    measured = {variable.summary.name for variable in features}
    answered = {variable.place.array for variable in outputs}
    features_out = [name for name in places if name not in measured]
    features_out += [tensor_name(tensor) for tensor in model.signature.tensors if not any(component_names(tensor))]
    outputs_out = [name for index, name in enumerate(output_names(engine.outputs)) if index not in answered]
    return Measured(
        source,
        tuple(features),
        tuple(outputs),
        len(features_out),
        len(outputs_out),
        tuple((outputs_out + features_out)[:_SHOWN]),
        confidence.place_in(example.outputs if example else [], predictions_of(outputs)),
    )


def predictions_of(outputs: Iterable[Variable]) -> Numeric | Categorical | None:
    """What is known of the first output as a whole."""
    return next((variable.summary for variable in outputs if variable.summary.name == PREDICTIONS), None)


def _variables(
    model: MlModel, engine: Engine, example: Answered | None, places: Places
) -> tuple[Source, list[Variable], list[Variable]]:
    profile = read(model.directory)
    if profile is not None:
        features, outputs = _features_of(profile, places), _outputs_of(profile, engine.outputs)
        if example is not None:
            _check_answer(outputs, example.outputs)
        return "training", features, outputs
    if example is None:
        return "none", [], []
    features = list(_features_shown(places, example.arrays))
    outputs = list(_outputs_shown(example.outputs))
    return "example" if features or outputs else "none", features, outputs


def output_names(names: Sequence[str]) -> list[str]:
    """As an answer names them: the first one is the prediction, whatever the model calls it."""
    return [PREDICTIONS, *names[1:]]


def _features(model: MlModel, layout: Layout) -> Iterator[tuple[str, tuple[Place, str]]]:
    for number, item in enumerate(model.signature.inputs):
        if isinstance(item, Column):
            yield item.name, (Place(0, number) if layout.matrix else Place(number, None), item.type)
            continue
        for column, name in enumerate(component_names(item)):
            yield name, (Place(number, column), item.type)


# From the profile


def _features_of(profile: Profile, places: Places) -> list[Variable]:
    found = []
    for index, summary in enumerate(profile.features):
        place, kind = places.get(summary.name, (None, ""))
        if place is None:
            raise invalid(f"features[{index}].name: the model's signature has no '{summary.name}'")
        if kind in _UNMEASURED or isinstance(summary, Categorical) != (kind in _TEXTS):
            raise invalid(f"features[{index}].kind: '{summary.name}' is {kind} in the model's signature")
        found.append(Variable(summary, place))
    return found


def _outputs_of(profile: Profile, names: Sequence[str]) -> list[Variable]:
    known = {name: number for number, name in enumerate(output_names(names))}
    found = []
    for index, summary in enumerate(profile.outputs):
        place = _output_place(summary.name, known)
        if place is None:
            message = f"outputs[{index}].name: the model has no output '{summary.name}'; it has {', '.join(known)}"
            raise invalid(message)
        found.append(Variable(summary, place))
    return found


def _output_place(name: str, known: dict[str, int]) -> Place | None:
    if name in known:
        return Place(known[name], None)
    base, _, column = name.removesuffix("]").rpartition("[")
    return Place(known[base], int(column)) if base in known and name.endswith("]") and column.isdecimal() else None


def _check_answer(outputs: list[Variable], answer: Outputs) -> None:
    """Better now than an output that is silently not counted."""
    for index, variable in enumerate(outputs):
        name, values = variable.summary.name, answer[variable.place.array][1]
        if values_at(values, variable) is None:
            raise invalid(f"outputs[{index}]: what the model answers to its own input example is no such '{name}'")


def values_at(array: Any, variable: Variable) -> Any:
    """The values of a variable, one a row; None where the model has answered something else."""
    if not isinstance(array, np.ndarray):
        return None
    fits = array.dtype.kind in _NUMERIC_KINDS if isinstance(variable.summary, Numeric) else array.dtype.kind != "f"
    if not fits:
        return None
    if variable.place.column is None:
        return array if array.ndim == 1 else None
    if array.ndim < 2 or variable.place.column >= math.prod(array.shape[1:]):
        return None
    return array.reshape(len(array), -1)[:, variable.place.column]


# From the input example


def _features_shown(places: Places, arrays: Arrays) -> Iterator[Variable]:
    """Ranges of numbers. Texts are left out: two or three of them are no distribution, and may be anybody's name."""
    for name, (place, kind) in places.items():
        array = arrays[place.array]
        if kind in _TEXTS | _UNMEASURED or array.dtype.kind not in _NUMERIC_KINDS:
            continue
        values = array if place.column is None else array.reshape(len(array), -1)[:, place.column]
        summary = _range(name, values.ravel())
        if summary is not None:
            yield Variable(summary, place)


def _outputs_shown(answer: Outputs) -> Iterator[Variable]:
    for number, (name, (_, values)) in enumerate(zip(output_names([n for n, _ in answer]), answer, strict=True)):
        if not isinstance(values, np.ndarray) or values.ndim > 2:
            continue
        if values.ndim == 1 and values.dtype.kind != "f":
            yield Variable(categorical(name, values.tolist()), Place(number, None))
            continue
        for column, shown in _columns(values):
            index = () if column is None else (column,)
            summary = _range(component(name, index), shown)
            if summary is not None:
                yield Variable(summary, Place(number, column))


def _columns(values: Any) -> Iterable[tuple[int | None, Any]]:
    if values.ndim == 1:
        return [(None, values)]
    if values.dtype.kind not in _NUMERIC_KINDS:
        return []
    return [(column, values[:, column]) for column in range(min(values.shape[1], MAX_OUTPUTS + 1))]


def _range(name: str, values: Any) -> Numeric | None:
    present = values[np.isfinite(values)].astype(np.float64)
    if not len(present):
        return None
    low, high = float(present.min()), float(present.max())
    is_share = values.dtype.kind == "f" and 0 <= low < high <= 1
    edges = _SHARES if is_share else even_edges(low, high)
    return Numeric(name, edges, (0,) * (len(edges) + 1)) if edges else None
