"""The settings of what is told about requests: which lines, which predictions, which traces, and what is masked."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from millgate_serving import tracing
from millgate_serving.access_log import WHICH, Which
from millgate_serving.prediction_log import STANDARD_OUTPUT, PredictionLogSettings
from millgate_serving.variables import Environment, invalid, number

_MEBIBYTE = 1 << 20
_LEAST_FILE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Observing:
    """Without any variable set: metrics, and a line for each request that is refused or fails."""

    access_log: Which = "errors"
    access_log_lines_per_second: int = 100
    counted_rows_per_second: float = 100_000
    mask: tuple[str, ...] = ()
    prediction_log: PredictionLogSettings | None = None
    feedback_rows: int = 0
    traces: bool = False
    trace_share: float = 0.01


def read(environment: Environment) -> Observing:
    """Raises ServingError InvalidConfiguration that names the variable."""
    which = environment.get("MILLGATE_ACCESS_LOG") or "errors"
    if which not in WHICH:
        raise invalid(f"MILLGATE_ACCESS_LOG must be one of {', '.join(WHICH)}")
    names = environment.get("MILLGATE_MASK_FIELDS", "").split(",")
    return Observing(
        access_log=cast(Which, which),
        access_log_lines_per_second=int(number(environment, "MILLGATE_ACCESS_LOG_LINES_PER_SECOND", 100, 1e6)),
        counted_rows_per_second=number(environment, "MILLGATE_COUNTED_ROWS_PER_SECOND", 100_000, 1e9),
        mask=tuple(name.strip() for name in names if name.strip()),
        prediction_log=_prediction_log(environment),
        feedback_rows=int(number(environment, "MILLGATE_FEEDBACK_ROWS", 0, 1e6)),
        traces=tracing.configured(environment),
        trace_share=number(environment, "MILLGATE_TRACE_SHARE", 0.01, 1),
    )


def _prediction_log(environment: Environment) -> PredictionLogSettings | None:
    where = environment.get("MILLGATE_PREDICTION_LOG", "")
    share = number(environment, "MILLGATE_PREDICTION_LOG_SHARE", 1, 1)
    mebibytes = number(environment, "MILLGATE_PREDICTION_LOG_FILE_MEBIBYTES", 64, 1 << 20)
    files = int(number(environment, "MILLGATE_PREDICTION_LOG_FILES", 4, 1000))
    if not where:
        return None
    if where != STANDARD_OUTPUT and not where.startswith("/"):
        raise invalid(f"MILLGATE_PREDICTION_LOG must be {STANDARD_OUTPUT} or a folder that begins with /")
    if files < 1:
        raise invalid("MILLGATE_PREDICTION_LOG_FILES must be a number from 1 to 1000")
    directory = None if where == STANDARD_OUTPUT else Path(where)
    return PredictionLogSettings(directory, share, max(int(mebibytes * _MEBIBYTE), _LEAST_FILE_BYTES), files)
