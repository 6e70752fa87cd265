"""What a benchmark found: samples with a unit, what the budget and the peers say of it, as a table and as JSON."""

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

HEAD = ("row", "what", "median", "range", "n", "budget", "holds", "peers (measured elsewhere)", "note")


class Statistic(StrEnum):
    """Which number of the samples the budget is about."""

    MEDIAN = "median"
    P99 = "p99"
    WORST = "worst"


@dataclass(frozen=True)
class Figure:
    """Samples in `unit`. The budget holds while `statistic` of them lies from `at_least` to `at_most`, both included.

    `broken` are promises that did not hold while it was measured, in words. Without bounds the figure only informs.
    """

    row: str
    what: str
    unit: str
    samples: tuple[float, ...]
    at_most: float | None = None
    at_least: float | None = None
    statistic: Statistic = Statistic.MEDIAN
    peers: str = ""
    note: str = ""
    broken: tuple[str, ...] = ()
    load: float = field(default_factory=lambda: os.getloadavg()[0])

    @property
    def judged(self) -> float:
        """The number that is compared with the budget."""
        match self.statistic:
            case Statistic.MEDIAN:
                return statistics.median(self.samples)
            case Statistic.P99:
                return nearest_rank(self.samples, 0.99)
            case Statistic.WORST:
                return max(self.samples)

    @property
    def holds(self) -> bool | None:
        """None where there is no budget."""
        if self.broken:
            return False
        if self.at_most is None and self.at_least is None:
            return None
        low = self.at_least if self.at_least is not None else float("-inf")
        high = self.at_most if self.at_most is not None else float("inf")
        return low <= self.judged <= high

    @property
    def budget(self) -> str:
        if self.at_most is None and self.at_least is None:
            return ""
        if self.at_least is None:
            bound = f"≤ {shown(self.at_most or 0.0)}"
        elif self.at_most is None:
            bound = f"≥ {shown(self.at_least)}"
        else:
            bound = f"{shown(self.at_least)} to {shown(self.at_most)}"
        return f"{self.statistic} {bound} {self.unit}"

    def cells(self) -> tuple[str, ...]:
        verdict = {True: "yes", False: "**no**", None: ""}[self.holds]
        spread = f"{shown(min(self.samples))} to {shown(max(self.samples))}" if len(self.samples) > 1 else ""
        if self.statistic is Statistic.P99:
            spread += f", p99 {shown(self.judged)}"
        note = "; ".join(part for part in (self.note, *self.broken) if part)
        median = f"{shown(statistics.median(self.samples))} {self.unit}"
        return (self.row, self.what, median, spread, str(len(self.samples)), self.budget, verdict, self.peers, note)

    def as_json(self) -> dict[str, Any]:
        return {
            "row": self.row,
            "what": self.what,
            "unit": self.unit,
            "samples": list(self.samples),
            "median": statistics.median(self.samples),
            "statistic": self.statistic.value,
            "judged": self.judged,
            "atMost": self.at_most,
            "atLeast": self.at_least,
            "holds": self.holds,
            "peers": self.peers,
            "note": self.note,
            "broken": list(self.broken),
            "loadAverage": self.load,
        }


def nearest_rank(samples: Sequence[float], share: float) -> float:
    """The percentile by the nearest rank: a sample that was seen, never a number between two."""
    ordered = sorted(samples)
    return ordered[max(0, -(-len(ordered) * share // 1).__int__() - 1)]


def shown(number: float) -> str:
    """Three digits that count, and whole numbers as such."""
    if number == int(number):
        return str(int(number))
    digits = 3 if abs(number) < 1 else 2 if abs(number) < 10 else 1
    return f"{number:.{digits}f}"


def as_markdown(figures: Sequence[Figure]) -> str:
    rows = [HEAD, ("---",) * len(HEAD), *(figure.cells() for figure in figures)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def as_json(figures: Sequence[Figure]) -> str:
    machine = {"processors": os.cpu_count(), "architecture": platform.machine(), "python": platform.python_version()}
    return json.dumps({"machine": machine, "figures": [figure.as_json() for figure in figures]}, indent=1)
