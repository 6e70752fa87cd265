"""The arrays of a request and of an answer by name, as JSON: what a prediction log keeps, masked by field name."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

import numpy as np

from millgate_serving.engine import Engine, Outputs
from millgate_serving.measured import output_names
from millgate_serving.signature import Signature
from millgate_serving.validation import Arrays

MASK: Final = "***"


@dataclass(frozen=True, slots=True)
class Mask:
    """Patterns of field names (`*`, `?` as in a shell), without regard to case."""

    patterns: tuple[str, ...] = ()

    def covers(self, name: str) -> bool:
        return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in self.patterns)

    def without_effect(self, names: Sequence[str]) -> list[str]:
        """Patterns that no name matches: most likely misspelt, so that a field is kept that should not be."""
        return [pattern for pattern in self.patterns if not any(Mask((pattern,)).covers(name) for name in names)]


class NamedValues:
    """Made once for a model. A masked field stands there by name, with `***` instead of its values."""

    def __init__(self, signature: Signature, engine: Engine, mask: Mask) -> None:
        self.inputs = tuple(item.name or "input" for item in signature.inputs)
        self.outputs = tuple(output_names(engine.outputs))
        self._matrix = engine.layout.matrix
        self._masked = [mask.covers(name) for name in self.inputs]
        self._outputs_masked = [mask.covers(name) for name in self.outputs]

    def of_request(self, arrays: Arrays, rows: int) -> dict[str, Any]:
        """The first `rows` rows, by column."""
        columns = [arrays[0][:rows, number] for number in range(len(self.inputs))] if self._matrix else arrays
        return {
            name: MASK if masked else _plain(values[:rows])
            for name, values, masked in zip(self.inputs, columns, self._masked, strict=True)
        }

    def of_answer(self, outputs: Outputs, rows: int) -> dict[str, Any]:
        return {
            name: MASK if masked else _plain(values[:rows])
            for name, (_, values), masked in zip(self.outputs, outputs, self._outputs_masked, strict=True)
        }


def _plain(values: Any) -> Any:
    if not isinstance(values, np.ndarray):
        return values
    if values.dtype.kind == "M":
        return [None if text == "NaT" else f"{text}Z" for text in np.datetime_as_string(values, unit="ms").tolist()]
    return values.tolist()
