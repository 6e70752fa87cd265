"""The course of a gate drawn with characters: how its evidence or its value went, and where the steps began. Pure."""

import math
from collections.abc import Sequence
from datetime import UTC

from millgate.cli.explain_replay import Look
from millgate.cli.text import Style

WIDTH = 72
HEIGHT = 8
_AXIS_WIDTH = 9


def plot(looks: Sequence[Look], style: Style) -> list[str]:
    """A column for each look, or for several of them the highest; a gap where nothing was known."""
    compared = any(look.status.evidence is not None for look in looks)
    heights = [_evidence(look) if compared else _value(look) for look in looks]
    known = [one for one in heights if one is not None]
    if not known:
        return ["nothing was known at any look"]
    top = 100.0 if compared else max(*known, 0.0) or 1.0
    groups = _groups(len(looks))
    tallest = [_tallest([heights[index] for index in group]) for group in groups]
    rows = [_line(tallest, top, row, style, unit=" %" if compared else "") for row in range(HEIGHT, 0, -1)]
    return [*rows, *_axis(looks, groups)]


def _tallest(heights: Sequence[float | None]) -> float | None:
    return max((one for one in heights if one is not None), default=None)


def _groups(count: int) -> list[range]:
    """The looks of each column."""
    width = math.ceil(count / WIDTH)
    return [range(first, min(first + width, count)) for first in range(0, count, width)]


def _line(tallest: Sequence[float | None], top: float, row: int, style: Style, *, unit: str) -> str:
    label = f"{top * row / HEIGHT:.3g}{unit}" if row in (HEIGHT, HEIGHT // 2) else ""
    full = (row - 0.5) * top / HEIGHT
    cells = "".join("█" if one is not None and one >= full else " " for one in tallest)
    return f"{label:>{_AXIS_WIDTH - 2}} |{style.paint(cells.rstrip(), 'yellow')}".rstrip()


def _axis(looks: Sequence[Look], groups: Sequence[range]) -> list[str]:
    """The time, and below it each step at the column in which it began."""
    first, last = (looks[index].at.astimezone(UTC).strftime("%H:%M:%S") for index in (0, -1))
    steps, names = ["-"] * len(groups), ""
    before = None
    for column, group in enumerate(groups):
        look = looks[group[0]]
        if look.step != before and len(names) <= column:
            steps[column] = "+"
            names = f"{names:<{column}}{look.step} {look.weight_percent}% "
        before = look.step
    gap = " " * _AXIS_WIDTH
    return [
        f"{gap[:-1]}+{''.join(steps)}",
        f"{gap}{names}".rstrip(),
        f"{gap}{first}{last:>{max(len(groups) - 8, 9)}}",
    ]


def _evidence(look: Look) -> float | None:
    evidence = look.status.evidence
    return None if evidence is None else float(evidence.removesuffix(" %"))


def _value(look: Look) -> float | None:
    return None if look.status.value is None else float(look.status.value)
