"""How things look on a terminal: signs and colours, columns, times and spans. Pure; it knows nothing of Kubernetes."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

Colour = Literal["green", "red", "yellow", "dim", "bold"]
_CODES: Mapping[Colour, str] = {"green": "32", "red": "31", "yellow": "33", "dim": "2", "bold": "1"}
_ASCII = {
    "✔": "+",
    "✖": "x",
    "◌": "~",
    "⏸": "=",
    "→": "->",
    "█": "#",
    "░": ".",
    "·": "-",
    "≤": "<=",
    "≥": ">=",
    "…": "...",
}
_BAR_CELLS = 20


@dataclass(frozen=True)
class Style:
    """What the terminal can show."""

    unicode: bool = True
    colour: bool = False

    def paint(self, text: str, colour: Colour) -> str:
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self.colour else text

    def finish(self, text: str) -> str:
        """The last touch before printing: a terminal without Unicode gets plain signs."""
        if self.unicode:
            return text
        for sign, plain in _ASCII.items():
            text = text.replace(sign, plain)
        return text.encode("ascii", "replace").decode("ascii")


def style_for(*, is_terminal: bool, encoding: str | None, no_color: bool, env: Mapping[str, str]) -> Style:
    """Colours only on a terminal and never against NO_COLOR; Unicode only where the locale has it.

    The environment is asked beside the stream, as Python writes UTF-8 even in the C locale.
    """
    locale = env.get("LC_ALL") or env.get("LC_CTYPE") or env.get("LANG") or ""
    writes_unicode = (encoding or "").lower().replace("-", "") == "utf8"
    shows_unicode = os.name == "nt" or "utf-8" in locale.lower() or "utf8" in locale.lower()
    colour = is_terminal and not no_color and not env.get("NO_COLOR") and env.get("TERM") != "dumb"
    return Style(unicode=writes_unicode and shows_unicode, colour=colour)


def columns(rows: Sequence[Sequence[str]], *, gap: int = 2) -> list[str]:
    """Left-aligned columns; the last one is not padded."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        (" " * gap).join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def bar(percent: int) -> str:
    full = round(percent * _BAR_CELLS / 100)
    return "█" * full + "░" * (_BAR_CELLS - full)


def span(seconds: float) -> str:
    """A length of time as kubectl writes ages, two units at most: '3.4s', '48m', '3h02m', '41d'."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f}s"
    whole = int(seconds)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return f"{minutes}m{whole % 60:02d}s" if whole % 60 else f"{minutes}m"
    if hours < 2:
        return f"{minutes}m"
    if hours < 48:
        return f"{hours}h{minutes % 60:02d}m" if minutes % 60 else f"{hours}h"
    return f"{days}d"


def age(then: datetime, now: datetime) -> str:
    """A span in whole seconds: an age is never worth a decimal."""
    seconds = (now - then).total_seconds()
    return f"{max(0, int(seconds))}s" if seconds < 10 else span(seconds)


def utc(moment: datetime, now: datetime) -> str:
    """A time of today without its date, another day's with it."""
    moment, now = moment.astimezone(UTC), now.astimezone(UTC)
    return moment.strftime("%H:%M:%S UTC" if moment.date() == now.date() else "%Y-%m-%d %H:%M:%S UTC")


def relative(moment: datetime, now: datetime) -> str:
    """'01:12:03 UTC (48m ago)' or '02:10:00 UTC (in 10m)'."""
    away = age(now, moment) if moment > now else age(moment, now)
    return f"{utc(moment, now)} ({f'in {away}' if moment > now else f'{away} ago'})"


def thousands(number: int) -> str:
    return f"{number:,}"
