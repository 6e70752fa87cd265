"""`Query`: is one number inside its bounds, and if not, for how many readings in a row?"""

import math
from collections.abc import Sequence
from datetime import datetime

from millgate.api.conditions import Reason
from millgate.api.spec import Query
from millgate.api.status import GateStatus, Verdict

Numbers = Sequence[float]
"""What a query gave at one point of the grid: one value for each series of its result."""


def judge_readings(name: str, step: str, query: Query, readings: Sequence[Numbers], at: datetime) -> GateStatus:
    """The verdict on what a query gave at points of the grid of this step, newest first; the newest one is of `at`.

    NaN and infinity are no data: they come of a division by zero, and which side of a bound they fall on would
    depend on how the bound is written (Argo Rollouts passes or fails on it, Flagger fails).
    """
    unknown = GateStatus(
        name=name,
        step=step,
        verdict=Verdict.INCONCLUSIVE,
        reason=Reason.NO_DATA,
        limit=_limit(query),
        last_check_time=at,
    )
    numbers = readings[0]
    if len(numbers) > 1:
        message = f"the query gave {len(numbers)} series where one number is needed: aggregate them, as by sum()"
        return unknown.model_copy(update={"reason": Reason.AMBIGUOUS_RESULT, "message": message})
    value = _known(numbers)
    if value is None:
        said = f"the query gave {numbers[0]}" if numbers else "the query gave nothing"
        return unknown.model_copy(update={"message": said})
    known = unknown.model_copy(update={"value": f"{value:.6g}", "message": f"the query gave {value:.6g}"})
    outside = _outside(query, value)
    if outside is None:
        return known.model_copy(update={"verdict": Verdict.PASS, "reason": Reason.WITHIN_BOUNDS})
    message = f"{known.message}, which is {outside}"
    row = row_of(query, readings)
    if query.consecutive > 1:
        message = f"{message} ({row} of {query.consecutive} readings in a row)"
    verdict = Verdict.FAIL if row >= query.consecutive else Verdict.INCONCLUSIVE
    return known.model_copy(update={"verdict": verdict, "reason": Reason.OUT_OF_BOUNDS, "message": message})


def row_of(query: Query, readings: Sequence[Numbers]) -> int:
    """How many readings in a row are out of bounds, newest first; never more than the gate needs.

    A reading without a number breaks no row and adds nothing to it: an outage says nothing about the candidate.
    """
    row = 0
    for numbers in readings:
        value = _known(numbers)
        if value is not None and _outside(query, value) is None:
            return row
        row += value is not None
        if row >= query.consecutive:
            return row
    return row


def needs_earlier(query: Query, readings: Sequence[Numbers]) -> bool:
    """Whether an earlier reading than these, newest first, could change the verdict on the newest one."""
    values = [_known(numbers) for numbers in readings]
    if values[0] is None or any(value is not None and _outside(query, value) is None for value in values):
        return False
    return row_of(query, readings) < query.consecutive


def _known(numbers: Numbers) -> float | None:
    return numbers[0] if len(numbers) == 1 and math.isfinite(numbers[0]) else None


def _outside(query: Query, value: float) -> str | None:
    """On which side of the bounds the value is; None inside."""
    if query.min is not None and value < float(query.min):
        return f"below {query.min}"
    if query.max is not None and value > float(query.max):
        return f"above {query.max}"
    return None


def _limit(query: Query) -> str:
    if query.min is None:
        return f"<= {query.max}"
    return f">= {query.min}" if query.max is None else f"{query.min} to {query.max}"
