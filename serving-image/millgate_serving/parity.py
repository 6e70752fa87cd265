"""Whether a converted model is the same model: the same requests must get the same answers, or be refused by both."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from millgate_serving.engine import Engine, Outputs
from millgate_serving.probes import Probe
from millgate_serving.refusal import Refusal
from millgate_serving.signature import Signature
from millgate_serving.validation import decoder

# A tree ensemble of ONNX adds up in float32, whose rounding is 6e-8 of each term. What is not noise is larger by far.
RELATIVE_TOLERANCE: Final = 1e-5
ABSOLUTE_TOLERANCE: Final = 1e-6
_ROWS_ONE_BY_ONE = 64


class Different(Exception):  # noqa: N818 - a finding
    """The two disagree; the message says about what, without values."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How many rows both answered alike, and by how much the numbers differed at most."""

    rows: int
    largest_difference: float


class Asked:
    """An engine that takes the bodies of requests, as a client sends them: what it refuses is a refusal here too."""

    def __init__(self, engine: Engine, signature: Signature) -> None:
        self._engine = engine
        self._decode = decoder(signature, engine.layout)

    def answer(self, rows: Sequence[Any]) -> Outputs | None:
        """None where the request is refused, or the model raises."""
        try:
            return self._engine.run(self._decode(msgspec.json.encode({"rows": rows})))
        except Refusal:
            return None
        except Exception:  # noqa: BLE001 - a model may raise anything
            return None


def compare(original: Asked, converted: Asked, probes: Sequence[Probe], share: float = 1.0) -> Parity:
    """Ask both the same. `share`: of the tolerance for numbers that they may differ by.

    Raises Different: also when there is no row that the original answers.
    """
    rows, largest = 0, 0.0
    for probe in _answerable(original, probes):
        wanted, found = original.answer(probe.rows), converted.answer(probe.rows)
        if wanted is None:
            if found is not None:
                raise Different(f"{probe.what or 'a row'}: the model refuses it, its ONNX form answers")
            continue
        if found is None:
            raise Different(f"{probe.what or 'a row'}: the model answers it, its ONNX form does not")
        largest = max(largest, _difference(wanted[0][1], found[0][1], share))
        rows += len(probe.rows)
    if not rows:
        raise Different("the model answered none of the rows that were made for it")
    return Parity(rows, largest)


def _answerable(original: Asked, probes: Sequence[Probe]) -> list[Probe]:
    """A batch with one row that the model refuses says nothing of the others: its first rows are asked one by one."""
    found = []
    for probe in probes:
        if len(probe.rows) == 1 or original.answer(probe.rows) is not None:
            found.append(probe)
        else:
            found += [Probe([row], probe.what) for row in probe.rows[:_ROWS_ONE_BY_ONE]]
    return found


def _difference(wanted: Any, found: Any, share: float) -> float:
    wanted, found = np.asarray(wanted), np.asarray(found)
    if wanted.shape != found.shape:
        raise Different(f"the answer has the shape {found.shape} instead of {wanted.shape}")
    if _kind(wanted) != _kind(found):
        raise Different(f"the answer is of type {found.dtype} instead of {wanted.dtype}")
    if wanted.dtype.kind == "f":
        return _distance(wanted.astype(np.float64), found.astype(np.float64), share)
    differing = int(np.sum(wanted != found))
    if differing:
        raise Different(f"{differing} of {wanted.size} answers differ")
    return 0.0


def _kind(values: npt.NDArray[Any]) -> str:
    """What JSON makes of it."""
    return {"u": "i", "U": "text", "O": "text"}.get(values.dtype.kind, values.dtype.kind)


def _distance(wanted: npt.NDArray[np.float64], found: npt.NDArray[np.float64], share: float) -> float:
    same = (wanted == found) | (np.isnan(wanted) & np.isnan(found))
    with np.errstate(invalid="ignore"):
        gaps = np.where(same, 0.0, np.abs(wanted - found))
    bounds = share * (ABSOLUTE_TOLERANCE + RELATIVE_TOLERANCE * np.abs(wanted))
    # Not `gaps > bounds`: of a NaN on one side that would be False.
    beyond = int(np.sum(~same & ~(gaps <= bounds)))
    if beyond:
        raise Different(f"{beyond} of {wanted.size} numbers differ, by {np.max(gaps):.3g} at most")
    return float(np.max(gaps, initial=0.0))
