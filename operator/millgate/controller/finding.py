"""What a check of the serving image says at its end (docs/checks.md), and its figures as a gate's status has them."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VERDICTS = frozenset({"Pass", "Fail", "Unknown"})
_UNITS = ("", "Seconds", "Bytes")
_COUNTS = ("rows", "requests")
_MOST = 2**53
_WHOLE = 1e6


@dataclass(frozen=True)
class Finding:
    """`verdict` is one of VERDICTS. Figures are finite: shares are fractions, times in seconds, memory in bytes."""

    check: str
    verdict: str
    figures: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Finding | None":
        """None where the document is no verdict of a check."""
        check, verdict, figures = (document.get(name) for name in ("check", "verdict", "figures"))
        if not isinstance(check, str) or verdict not in VERDICTS:
            return None
        named = figures if isinstance(figures, dict) else {}
        return cls(check, str(verdict), {name: float(value) for name, value in named.items() if _is_number(value)})

    @property
    def candidate(self) -> float | None:
        return self._of("candidate")

    @property
    def stable(self) -> float | None:
        return self._of("stable")

    @property
    def limit(self) -> float | None:
        """How far from stable's figure the candidate's may be; without stable the bound of a time."""
        figures, stable = self.figures, self.stable
        if stable is None:
            return figures.get("maxSeconds")
        if "maxRatio" in figures:
            return stable * figures["maxRatio"]
        if "margin" in figures:  # of a share as it is, of an error as a share of it
            return stable - figures["margin"] if "difference" in figures else stable * (1 + figures["margin"])
        return None

    @property
    def samples(self) -> int | None:
        """Rows or requests; None for a number that no status could hold."""
        found = next((self.figures[name] for name in _COUNTS if name in self.figures), -1)
        return int(found) if 0 <= found < _MOST else None

    def _of(self, role: str) -> float | None:
        return next((self.figures[role + unit] for unit in _UNITS if role + unit in self.figures), None)


def as_text(figure: float | None) -> str | None:
    """As status keeps numbers."""
    if figure is None:
        return None
    return f"{figure:.0f}" if _WHOLE <= abs(figure) < _MOST else f"{figure:.6g}"


def _is_number(value: object) -> bool:
    """Neither NaN nor infinite, nor a whole number that is too large for a float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
