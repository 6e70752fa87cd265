"""`Query`: is one number inside its bounds?"""

import math
from collections.abc import Sequence
from datetime import datetime

from millgate.api.conditions import Reason
from millgate.api.spec import Query
from millgate.api.status import GateStatus, Verdict


def judge_numbers(name: str, step: str, query: Query, numbers: Sequence[float], at: datetime) -> GateStatus:
    """The verdict on what a query gave: one value for each series of its result.

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
    if len(numbers) > 1:
        message = f"the query gave {len(numbers)} series where one number is needed: aggregate them, as by sum()"
        return unknown.model_copy(update={"reason": Reason.AMBIGUOUS_RESULT, "message": message})
    if not numbers or not math.isfinite(numbers[0]):
        said = f"the query gave {numbers[0]}" if numbers else "the query gave nothing"
        return unknown.model_copy(update={"message": said})
    value = numbers[0]
    verdict, reason, message = _within(query, value)
    known = {"verdict": verdict, "reason": reason, "message": message, "value": f"{value:.6g}"}
    return unknown.model_copy(update=known)


def _within(query: Query, value: float) -> tuple[Verdict, Reason, str]:
    said = f"the query gave {value:.6g}"
    if query.min is not None and value < float(query.min):
        return Verdict.FAIL, Reason.OUT_OF_BOUNDS, f"{said}, which is below {query.min}"
    if query.max is not None and value > float(query.max):
        return Verdict.FAIL, Reason.OUT_OF_BOUNDS, f"{said}, which is above {query.max}"
    return Verdict.PASS, Reason.WITHIN_BOUNDS, said


def _limit(query: Query) -> str:
    if query.min is None:
        return f"<= {query.max}"
    return f">= {query.min}" if query.max is None else f"{query.min} to {query.max}"
