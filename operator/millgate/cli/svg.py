"""A little SVG: panels with axes, lines, areas and words. Pure; it knows nothing of what it draws."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

FONT = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif"
INK, PALE = "#333333", "#e8e8e8"
_SPANS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
"""Seconds between the marks of a time axis."""
_MOST_MARKS = 7

Point = tuple[float, float]


@dataclass
class Canvas:
    """What has been drawn so far, in pixels from the upper left."""

    width: int
    height: int
    title: str
    _parts: list[str] = field(default_factory=list)

    def text(  # noqa: PLR0913  # a place, a word, and how it looks
        self, at: Point, words: str, *, size: int = 11, anchor: str = "start", colour: str = INK, bold: bool = False
    ) -> None:
        weight = ' font-weight="bold"' if bold else ""
        self._parts.append(
            f'<text x="{at[0]:.1f}" y="{at[1]:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}"{weight}>'
            f"{escape(words)}</text>"
        )

    def line(self, points: Sequence[Point], *, colour: str = INK, width: float = 1.0, dashed: bool = False) -> None:
        dashes = ' stroke-dasharray="5 3"' if dashed else ""
        self._parts.append(
            f'<polyline points="{_listed(points)}" fill="none" stroke="{colour}" stroke-width="{width:g}"'
            f' stroke-linejoin="round"{dashes}/>'
        )

    def area(self, points: Sequence[Point], *, colour: str) -> None:
        self._parts.append(f'<polygon points="{_listed(points)}" fill="{colour}"/>')

    def render(self) -> str:
        """The document."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" width="{self.width}" '
            f'height="{self.height}" font-family="{FONT}" role="img">'
        )
        ground = f'<rect width="{self.width}" height="{self.height}" fill="#ffffff"/>'
        return "\n".join([head, f"<title>{escape(self.title)}</title>", ground, *self._parts, "</svg>", ""])


@dataclass(frozen=True)
class Panel:
    """A part of the canvas with time to the right (0 to `seconds`) and a share upwards (0 to 1)."""

    canvas: Canvas
    left: float
    top: float
    width: float
    height: float
    seconds: float

    def at(self, seconds: float, share: float) -> Point:
        x = self.left + self.width * min(1.0, max(0.0, seconds / self.seconds))
        return x, self.top + self.height * (1 - min(1.0, max(0.0, share)))

    def axes(self) -> None:
        for share in (0.0, 0.5, 1.0):
            _, y = self.at(0, share)
            self.canvas.line([self.at(0, share), self.at(self.seconds, share)], colour=PALE)
            self.canvas.text((self.left - 6, y + 4), f"{100 * share:.0f} %", size=10, anchor="end")
        step = mark_seconds(self.seconds)
        for mark in range(math.floor(self.seconds / step) + 1):
            x, y = self.at(mark * step, 0)
            self.canvas.line([(x, y), (x, y + 4)])
            self.canvas.text((x, y + 16), clock(mark * step), size=10, anchor="middle")
        self.canvas.line([self.at(0, 0), self.at(self.seconds, 0)])

    def steps(self, points: Sequence[Point], *, colour: str, width: float = 1.6, dashed: bool = False) -> None:
        """A line that keeps its height until the next point, and the last one to the end."""
        self.canvas.line(self._stairs(points), colour=colour, width=width, dashed=dashed)

    def curve(self, points: Sequence[Point], *, colour: str, width: float = 1.6) -> None:
        self.canvas.line([self.at(*point) for point in points], colour=colour, width=width)

    def filled_steps(self, points: Sequence[Point], until: float, *, colour: str) -> None:
        stairs = self._stairs([*points, (until, points[-1][1])], to_the_end=False)
        self.canvas.area([self.at(points[0][0], 0), *stairs, self.at(until, 0)], colour=colour)

    def upright(self, seconds: float, *, colour: str) -> None:
        self.canvas.line([self.at(seconds, 0), self.at(seconds, 1)], colour=colour, width=2)

    def _stairs(self, points: Sequence[Point], *, to_the_end: bool = True) -> list[Point]:
        found: list[Point] = []
        for (seconds, share), (after, _) in zip(points, [*points[1:], (self.seconds, 0.0)], strict=True):
            found.append(self.at(seconds, share))
            if to_the_end or (seconds, share) != points[-1]:
                found.append(self.at(after, share))
        return found


def mark_seconds(seconds: float) -> int:
    """The distance of marks on an axis of this length: a round one, and not too many."""
    wide = (span for span in _SPANS if seconds / span <= _MOST_MARKS)
    return next(wide, math.ceil(seconds / _MOST_MARKS / 86_400) * 86_400)


def clock(seconds: float) -> str:
    """A time on an axis: '45s', '1m15', '10m', '2h30'."""
    whole = round(seconds)
    if whole % 60 and whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}" if whole > 60 else f"{whole}s"
    hours, minutes = divmod(whole // 60, 60)
    if hours == 0:
        return f"{minutes}m" if minutes else "0"
    return f"{hours}h{minutes:02d}" if minutes else f"{hours}h"


def _listed(points: Sequence[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
