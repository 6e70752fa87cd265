"""What is promised of the gates, cell by cell: those of facts/gates.md 2.2 (base, bad, R1 to R9), drift and means."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from e2e.bench.gates_judged import (
    ALPHA,
    Outcome,
    Rollout,
    detected_share,
    errors,
    errors_against_the_past,
    means,
    median_seconds,
    segments,
    shapes,
    shapes_against_the_past,
)
from e2e.bench.gates_worlds import Course, ErrorWorld, Ladder, MeanWorld, SegmentWorld, ShapeWorld, always_one


@dataclass(frozen=True)
class Cell:
    """One world with what is promised of it. Seconds count from `onset_seconds`, from when the candidate is bad."""

    group: str
    name: str
    rollout: Rollout
    rolled_back_at_most: float | None = None
    median_seconds_at_most: float | None = None
    found_at_least: float | None = None
    onset_seconds: int = 0
    within_seconds: float = math.inf

    def row(self, found: Sequence[Outcome]) -> tuple[str, ...]:
        """The cells of a table, under HEAD."""
        median = median_seconds(found) - self.onset_seconds
        failed = sum(one.failed_requests for one in found) / len(found)
        return (
            self.group,
            self.name,
            f"{len(found):,}",
            f"{100 * detected_share(found):.2f} %",
            f"{100 * self._in_time(found):.2f} %" if self.found_at_least is not None else "",
            "" if math.isinf(median) else f"{median:.0f} s",
            f"{failed:.1f}" if failed else "",
            self._promise(),
            "yes" if self.holds(found) else "**no**",
        )

    def holds(self, found: Sequence[Outcome]) -> bool:
        if self.rolled_back_at_most is not None and detected_share(found) > self.rolled_back_at_most:
            return False
        if self.found_at_least is not None and self._in_time(found) < self.found_at_least:
            return False
        limit = self.median_seconds_at_most
        return limit is None or median_seconds(found) - self.onset_seconds <= limit

    def _in_time(self, found: Sequence[Outcome]) -> float:
        return detected_share(found, after=self.onset_seconds, until=self.onset_seconds + self.within_seconds)

    def _promise(self) -> str:
        promises = []
        if self.rolled_back_at_most is not None:
            promises.append(f"rolled back ≤ {100 * self.rolled_back_at_most:g} %")
        if self.found_at_least is not None:
            within = "" if math.isinf(self.within_seconds) else f" in {self.within_seconds:g} s"
            promises.append(f"found{within} ≥ {100 * self.found_at_least:g} %")
        if self.median_seconds_at_most is not None:
            promises.append(f"median ≤ {self.median_seconds_at_most:.0f} s")
        return ", ".join(promises)


HEAD = ("group", "cell", "runs", "rolled back", "in time", "median", "failed requests", "promised", "holds")


def constant(value: float, _: float) -> float:
    return value


def between(first: float, last: float, inside: float, outside: float, second: float) -> float:
    return inside if first <= second < last else outside


def rising(second: float) -> float:
    return 0.5 + 1.5 * second / 2400


# Column C2 of facts/gates.md: by (base error rate, requests a second), the medians for 2x, 5x and 50x in seconds.
FACTORS = (2.0, 5.0, 50.0)
REPORT: dict[tuple[float, float], tuple[float | None, ...]] = {
    (0.001, 1): (None, None, 1230),
    (0.001, 10): (None, 1840, 130),
    (0.001, 100): (2320, 430, 20),
    (0.001, 1000): (660, 50, 10),
    (0.01, 1): (None, 1960, 180),
    (0.01, 10): (2340, 430, 20),
    (0.01, 100): (660, 50, 10),
    (0.01, 1000): (80, 10, 10),
}
HEALTHY_AT_MOST, ROBUST_AT_MOST, MEDIAN_TOLERANCE = 0.005, 0.015, 1.1


def _named(rate: float, requests: float, what: str) -> str:
    return f"{100 * rate:g} % errors, {requests:g}/s: {what}"


def _healthy(rate: float, requests: float) -> Cell:
    world = ErrorWorld(requests, rate)
    return Cell("base", _named(rate, requests, "healthy"), errors(world), rolled_back_at_most=HEALTHY_AT_MOST)


def _bad(rate: float, requests: float, factor: float, median: float | None) -> Cell:
    world = ErrorWorld(requests, rate, partial(constant, factor))
    limit = None if median is None else MEDIAN_TOLERANCE * median
    return Cell("bad", _named(rate, requests, f"{factor:g}x"), errors(world), median_seconds_at_most=limit)


def _robust(name: str, world: ErrorWorld) -> Cell:
    return Cell("robust", name, errors(world), rolled_back_at_most=ROBUST_AT_MOST)


def _late(factor: float) -> ErrorWorld:
    return ErrorWorld(100, 0.01, partial(between, 1800, math.inf, factor, 1.0))


def _common(weather: Course) -> ErrorWorld:
    return ErrorWorld(100, 0.01, always_one, weather)


BASE = [_healthy(*key) for key in REPORT]
BAD = [
    _bad(*key, factor, median)
    for key, medians in REPORT.items()
    for factor, median in zip(FACTORS, medians, strict=True)
]
TWENTY = (0.05,) * 20
ROBUST = [
    _robust("R1 incident x20 on both, in the last step", _common(partial(between, 1800, 2100, 20.0, 1.0))),
    _robust("R2 incident x20 on both, in the first step", _common(partial(between, 0, 300, 20.0, 1.0))),
    _robust("R3 base rate drifts from half to double", _common(rising)),
    _robust(
        "R4 5x in the first 60 s, warm-up of 120 s",
        ErrorWorld(100, 0.01, partial(between, 0, 60, 5.0, 1.0), warmup_seconds=120),
    ),
    *(
        _robust(f"R5 errors in clusters of {size:g}", ErrorWorld(100, 0.01, cluster_size=size))
        for size in (2.0, 5.0, 20.0)
    ),
    Cell(
        "robust", "R6 10x in one of 20 segments", segments(SegmentWorld(100, 0.01, TWENTY, 10.0)), found_at_least=0.99
    ),
    Cell(
        "robust",
        "R6 healthy in 20 segments",
        segments(SegmentWorld(100, 0.01, TWENTY, 1.0)),
        rolled_back_at_most=ROBUST_AT_MOST,
    ),
    _robust("R7 harmless 1.1x at 1000/s", ErrorWorld(1000, 0.01, partial(constant, 1.1))),
    Cell(
        "robust",
        "R8 turns 5x bad at minute 30",
        errors(_late(5.0)),
        found_at_least=0.99,
        onset_seconds=1800,
        within_seconds=60,
    ),
    Cell(
        "robust",
        "R9 turns 2x bad at minute 30",
        errors(_late(2.0)),
        found_at_least=0.99,
        median_seconds_at_most=MEDIAN_TOLERANCE * 190,
        onset_seconds=1800,
    ),
]

# Predictions are looked at every 15 s for 40 minutes, as by default; at 10 % of the traffic, or up the ladder.
ALONG = Ladder((0.10,), 2400, 15)
LADDER = Ladder((0.05, 0.10, 0.25, 0.50), 600, 15)
HALF, TWICE = partial(constant, 0.5), partial(constant, 2.0)
JUMP = partial(between, 900, math.inf, 0.5, 0.0)


def _no_drift(name: str, world: ShapeWorld) -> Cell:
    return Cell("drift", name, shapes(world), rolled_back_at_most=HEALTHY_AT_MOST)


def _waves(second: float) -> float:
    return round(0.5 * math.sin(2 * math.pi * second / 1200), 2)


DRIFT = [
    *(_no_drift(f"no shift, {rate:g}/s, 10 %", ShapeWorld(rate, ladder=ALONG)) for rate in (1.0, 10.0, 100.0)),
    *(_no_drift(f"no shift, {rate:g}/s, 5 to 50 %", ShapeWorld(rate, ladder=LADDER)) for rate in (1.0, 10.0, 100.0)),
    _no_drift("+0.5 sd on both at minute 15, 100/s", ShapeWorld(100, JUMP, JUMP, ladder=LADDER)),
    _no_drift("±0.5 sd waves on both, 100/s", ShapeWorld(100, _waves, _waves, ladder=LADDER)),
    *(
        _no_drift(f"no shift, 100/s, rows in batches of {size:g}", ShapeWorld(100, cluster_size=size, ladder=ALONG))
        for size in (5.0, 20.0)
    ),
    *(
        Cell(
            "drift",
            f"+0.5 sd, 10/s, 10 %, {buckets} buckets",
            shapes(ShapeWorld(10, HALF, buckets=buckets, ladder=ALONG)),
            found_at_least=0.95,
            within_seconds=300,
            median_seconds_at_most=300,
        )
        for buckets in (10, 20, 30)
    ),
    Cell("drift", "+0.25 sd, 10/s, 10 %", shapes(ShapeWorld(10, partial(constant, 0.25), ladder=ALONG))),
]

MEANS = [
    *(
        Cell("mean", f"healthy, {rate:g}/s", means(MeanWorld(rate)), rolled_back_at_most=HEALTHY_AT_MOST)
        for rate in (10.0, 100.0)
    ),
    Cell("mean", "at the margin of 1.2x, 100/s", means(MeanWorld(100, 1.2)), rolled_back_at_most=ALPHA),
    Cell(
        "mean", "cost of both doubles, 100/s", means(MeanWorld(100, 1.0, rising)), rolled_back_at_most=HEALTHY_AT_MOST
    ),
    *(Cell("mean", f"1.5x, {rate:g}/s", means(MeanWorld(rate, 1.5)), found_at_least=0.95) for rate in (10.0, 100.0)),
]

# All traffic is the candidate's: stable's hour before is the reference, with a margin of two.
ALL = Ladder((1.0,), 2400, 15)


def _alone(name: str, world: ErrorWorld, at_most: float) -> Cell:
    return Cell("before", name, errors_against_the_past(world), rolled_back_at_most=at_most)


BEFORE = [
    *(
        _alone(f"1 % in the hour before, {rate:g}/s: healthy", ErrorWorld(rate, 0.01, ladder=ALL), HEALTHY_AT_MOST)
        for rate in (1.0, 10.0, 100.0)
    ),
    *(
        _alone(
            f"1 % in the hour before, {rate:g}/s: at the margin, 2x", ErrorWorld(rate, 0.01, TWICE, ladder=ALL), 0.01
        )
        for rate in (1.0, 10.0, 100.0)
    ),
    _alone("base rate drifts from half to double", ErrorWorld(100, 0.01, always_one, rising, ladder=ALL), 0.01),
    _alone("errors in clusters of 5", ErrorWorld(100, 0.01, cluster_size=5.0, ladder=ALL), HEALTHY_AT_MOST),
    Cell(
        "before",
        "1 % in the hour before, 100/s: 5x",
        errors_against_the_past(ErrorWorld(100, 0.01, partial(constant, 5.0), ladder=ALL)),
        found_at_least=0.99,
        within_seconds=60,
    ),
    *(
        Cell(
            "before",
            f"no shift, {rate:g}/s",
            shapes_against_the_past(ShapeWorld(rate, ladder=ALL)),
            rolled_back_at_most=HEALTHY_AT_MOST,
        )
        for rate in (1.0, 10.0)
    ),
    Cell(
        "before",
        "no shift, 10/s alone, rows in batches of 20",
        shapes_against_the_past(ShapeWorld(10.0, cluster_size=20.0, ladder=ALL)),
        rolled_back_at_most=HEALTHY_AT_MOST,
    ),
    Cell(
        "before",
        "+0.5 sd, 1/s",
        shapes_against_the_past(ShapeWorld(1.0, HALF, ladder=ALL)),
        found_at_least=0.95,
        within_seconds=600,
    ),
]

CELLS: tuple[Cell, ...] = (*BASE, *BAD, *ROBUST, *DRIFT, *MEANS, *BEFORE)
