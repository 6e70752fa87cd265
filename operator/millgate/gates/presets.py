"""What the presets of `Compare` read: the series that the serving image exports, and the PromQL that reads them.

Every selector names the namespace and the revision, so that no other model's and no older pod's counters can vote.
"""

import re
from collections.abc import Iterable, Sequence

from millgate.api.defaults import QUANTILE
from millgate.api.spec import Compare, ComparePreset
from millgate.gates.counters import Measure
from millgate.gates.latency import HISTORY_SECONDS, Bound

REQUESTS = "millgate_requests_total"
ERRORS = "millgate_request_errors_total"
DURATION_COUNT = "millgate_request_duration_seconds_count"
DURATION_BUCKET = "millgate_request_duration_seconds_bucket"


def needs_bound(compare: Compare) -> bool:
    return compare.preset is ComparePreset.LATENCY


def quantile_of(compare: Compare) -> float:
    return float(compare.quantile or QUANTILE)


def measure_of(compare: Compare, bound: Bound | None) -> Measure | None:
    """The counters of a gate; None while it does not know its bound yet."""
    if not needs_bound(compare):
        return Measure(whole=REQUESTS, part=ERRORS)
    if bound is None:
        return None
    return Measure(whole=DURATION_COUNT, part=DURATION_BUCKET, part_le=bound.le, complement=True)


def described(compare: Compare, bound: Bound | None) -> str:
    """How the gate's events read after a share: '1.2 % of 300 …'."""
    if not needs_bound(compare):
        return "requests failed"
    return f"requests took longer than {bound.le} s" if bound else "requests were slow"


def counters_expression(
    namespace: str, revisions: Sequence[str], measures: Iterable[Measure], fresh_seconds: int
) -> str:
    """All counters of a rollout in one query: each one's last sample, if it is not older than `fresh_seconds`.

    An instant selector would go back five minutes, and would see markers of staleness that are written after the fact;
    `last_over_time` gives the same answer whenever it is asked, and keeps the name of the metric.
    """
    wanted = list(measures)
    names = sorted({name for measure in wanted for name in (measure.whole, measure.part)})
    bounds = sorted({measure.part_le for measure in wanted if measure.part_le is not None})
    matchers = [
        f"__name__=~{_quoted(_any_of(names))}",
        f"namespace={_quoted(namespace)}",
        f"revision=~{_quoted(_any_of(revisions))}",
        f"le=~{_quoted(_any_of(['', *bounds]))}",
    ]
    return f"last_over_time({{{','.join(matchers)}}}[{fresh_seconds}s])"


def history_expression(namespace: str, revision: str) -> str:
    """How many requests the revision answered within each latency bound, over the hour before."""
    matchers = f"namespace={_quoted(namespace)},revision={_quoted(revision)}"
    return f"sum by (le) (increase({DURATION_BUCKET}{{{matchers}}}[{HISTORY_SECONDS}s]))"


def _any_of(texts: Sequence[str]) -> str:
    return "|".join(re.escape(text) for text in texts)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
