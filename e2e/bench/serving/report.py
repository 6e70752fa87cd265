"""The comparison as Markdown, and whether it holds what was aimed at."""

import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from e2e.bench.serving.servers import SERVERS, Server
from e2e.bench.serving.sidebyside import Cell, Found, Run

OURS = "millgate"
ONE_ROW = "1 row, JSON"
# Times as many requests at one row; KServe and MLServer as they are delivered.
TIMES = {"mlflow": 100.0, "mlserver": 10.0, "kserve": 10.0}
P99_MS, MEMORY_MIB, READY_SECONDS = 2.0, 120.0, 1.0

_HEAD = ("server", "asks", "req/s", "p50", "p99", "p99 at half", "CPU/req", "RSS / PSS", "ready after")


def median(cell: Cell, of: Callable[[Run], float]) -> float:
    return statistics.median(of(run) for run in cell.runs)


def p99_at_half(cell: Cell) -> float | None:
    """In milliseconds; None where it was not measured."""
    return statistics.median(run.p99_ms for run in cell.halves) if cell.halves else None


def table(known: Mapping[str, Found]) -> str:
    """One row for each server and case that was measured."""
    rows: list[Sequence[str]] = [_HEAD, ("---",) * len(_HEAD)]
    for server in SERVERS:
        found = known.get(server.name)
        if found is not None:
            rows += _rows(server, found, known)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _rows(server: Server, found: Found, known: Mapping[str, Found]) -> list[Sequence[str]]:
    title = f"{server.title}{f' ({server.note})' if server.note else ''}, {server.engine}"
    if not found.cells:
        return [(title, "", "not measured", *[""] * (len(_HEAD) - 3))]
    made: list[Sequence[str]] = []
    whole = (
        f"{found.rss_mib:.0f} / {found.pss_mib:.0f} MiB",
        f"{statistics.median(found.start_seconds):.2f} s" if found.start_seconds else "",
    )
    for name, cell in found.cells.items():
        first = not made
        if not cell.runs:
            made.append((title if first else "", name, "not measured", *[""] * (len(_HEAD) - 3)))
            continue
        rate, at_half = median(cell, lambda run: run.requests_per_second), p99_at_half(cell)
        made.append(
            (
                title if first else "",
                name,
                f"{rate:,.0f}{_times(rate, name, known)}",
                f"{median(cell, lambda run: run.p50_ms):.2f} ms",
                f"{median(cell, lambda run: run.p99_ms):.2f} ms",
                "" if at_half is None else f"{at_half:.2f} ms",
                f"{median(cell, lambda run: run.cpu_microseconds):,.0f} µs",
                *(whole if first else ("", "")),
            )
        )
    return made


def _times(rate: float, case: str, known: Mapping[str, Found]) -> str:
    """Against mlflow in the same case."""
    base = known["mlflow"].cells.get(case) if "mlflow" in known else None
    return f" ({rate / median(base, lambda run: run.requests_per_second):,.0f}x)" if base and base.runs else ""


def goals(known: Mapping[str, Found]) -> list[tuple[str, bool]]:
    """What was aimed at, with the figure, and whether it holds; only what was measured."""
    ours = known.get(OURS)
    cell = ours.cells.get(ONE_ROW) if ours else None
    if ours is None or cell is None or not cell.runs:
        return []
    rate = median(cell, lambda run: run.requests_per_second)
    judged = []
    for name, aim in TIMES.items():
        other = known[name].cells.get(ONE_ROW) if name in known else None
        if other and other.runs:
            times = rate / median(other, lambda run: run.requests_per_second)
            judged.append((f"{times:.0f} times the requests of {name} (aim: {aim:.0f})", times >= aim))
    at_half = p99_at_half(cell)
    if at_half is not None:
        judged.append((f"p99 {at_half:.2f} ms at half of the maximum (aim: < {P99_MS:.0f} ms)", at_half < P99_MS))
    judged.append((f"{ours.rss_mib:.0f} MiB (aim: < {MEMORY_MIB:.0f})", ours.rss_mib < MEMORY_MIB))
    if ours.start_seconds:
        ready = statistics.median(ours.start_seconds)
        judged.append((f"ready after {ready:.2f} s (aim: < {READY_SECONDS:.0f})", ready < READY_SECONDS))
    return judged


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {"cores": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()}
