"""What some pods answered in an interval, and how a gate's counters would tell it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from millgate.gates.counters import Arm
from millgate.gates.measures import SegmentMeasure
from millgate.gates.presets import Reads
from millgate.gates.shapes import Shape, ShapeMeasure
from millgate.simulate.candidates import SEGMENTS

EDGES = tuple(round(-3 + 6 * index / 18, 4) for index in range(19))
"""The bounds of the histogram of predictions, in standard deviations of stable's."""
_BOUNDS = (*(f"{edge:g}" for edge in EDGES), "+Inf")
VARIABLE = "prediction"


class Cell(NamedTuple):
    """A segment of the requests: how many, how many failed, how many took longer than each bound of interest."""

    requests: int
    errors: int
    slow: tuple[int, ...]


class Counts(NamedTuple):
    """By segment, where some gate has segments. `shape`: predictions by bucket, where some gate looks at them."""

    cells: tuple[Cell, ...]
    shape: tuple[int, ...]
    pods: int

    @property
    def requests(self) -> int:
        return sum(cell.requests for cell in self.cells)

    @property
    def errors(self) -> int:
        return sum(cell.errors for cell in self.cells)


def added(groups: Sequence[Counts]) -> Counts:
    """What several groups of pods answered together."""
    if len(groups) == 1:
        return groups[0]
    cells = tuple(
        Cell(
            sum(cell.requests for cell in same),
            sum(cell.errors for cell in same),
            tuple(map(sum, zip(*(cell.slow for cell in same), strict=True))),
        )
        for same in zip(*(counts.cells for counts in groups), strict=True)
    )
    shape = tuple(map(sum, zip(*(counts.shape for counts in groups), strict=True)))
    return Counts(cells, shape, max(counts.pods for counts in groups))


Told = Callable[[Sequence[Counts]], Any]
"""What a gate makes of the counts of some groups of pods: what its `Reads` would make of their counters."""


def told_by(reads: Reads, level: int | None) -> Told:
    """`level`: which of the bounds of interest is the gate's; None for errors."""
    if isinstance(reads, ShapeMeasure):
        return _shapes
    if isinstance(reads, SegmentMeasure):
        return lambda groups: {
            name: _arm([counts.cells[index] for counts in groups], level) for index, name in enumerate(SEGMENTS)
        }
    return lambda groups: _arm([cell for counts in groups for cell in counts.cells], level)


def _arm(cells: Sequence[Cell], level: int | None) -> Arm:
    if len(cells) == 1:
        cell = cells[0]
        return Arm(float(cell.requests), float(cell.errors if level is None else cell.slow[level]))
    requests = sum(cell.requests for cell in cells)
    events = sum(cell.errors if level is None else cell.slow[level] for cell in cells)
    return Arm(float(requests), float(events))


def _shapes(groups: Sequence[Counts]) -> dict[str, Shape]:
    return {VARIABLE: shape_of([sum(bucket) for bucket in zip(*(counts.shape for counts in groups), strict=True)])}


def shape_of(buckets: Sequence[float]) -> Shape:
    """A histogram as Prometheus has it, from what fell into each bucket."""
    total, cumulative = 0.0, {}
    for bound, count in zip(_BOUNDS, buckets, strict=True):
        total += count
        cumulative[bound] = total
    return Shape(cumulative)
