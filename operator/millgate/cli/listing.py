"""The tables: one row per ModelDeployment, with the columns of `kubectl get mdep`, and the history of one. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime

from millgate.api.conditions import ConditionType
from millgate.api.status import rfc3339_seconds
from millgate.cli.text import Style, age, columns, span
from millgate.cli.view import View, version_name, version_of

_COLUMNS = ("NAME", "READY", "STATUS", "STABLE", "CANDIDATE", "WEIGHT", "STEP", "AGE")
_HISTORY = ("REVISION", "MODEL", "OUTCOME", "REASON", "STARTED", "TOOK")


def table(views: Sequence[View], now: datetime, style: Style, *, namespaces: bool = False, wide: bool = False) -> str:
    """`namespaces`: with a first column NAMESPACE. `wide`: with a last column MESSAGE."""
    ordered = sorted(views, key=lambda view: (view.namespace, view.name))
    rows = [
        (*((view.namespace,) if namespaces else ()), *_row(view, now), *((_message(view),) if wide else ()))
        for view in ordered
    ]
    head = (*(("NAMESPACE",) if namespaces else ()), *_COLUMNS, *(("MESSAGE",) if wide else ()))
    return style.finish("\n".join(columns([head, *rows])))


def history(view: View, now: datetime, style: Style, *, wide: bool = False) -> str:
    """The rollout in flight and those that have ended, the newest first."""
    rows = [*_running(view, now)]
    for entry in view.status.history:
        took = span((entry.end_time - entry.start_time).total_seconds())
        started = rfc3339_seconds(entry.start_time)
        row = (str(entry.revision), version_name(entry.model_version), entry.outcome.value, entry.reason, started, took)
        rows.append((*row, entry.message))
    head = (*_HISTORY, "MESSAGE")
    return style.finish("\n".join(columns([line if wide else line[:-1] for line in (head, *rows)])))


def _row(view: View, now: datetime) -> tuple[str, ...]:
    ready = view.condition(ConditionType.READY)
    rollout, candidate = view.status.rollout, view.status.candidate
    weight = candidate.observed_weight_percent if candidate else None
    step = rollout.step_display if rollout and candidate else None
    return (
        view.name,
        ready.status if ready else "Unknown",
        view.word,
        version_of(view.status.stable),
        _candidate(view),
        "-" if weight is None else f"{weight}%",
        step or "-",
        age(view.created, now),
    )


def _candidate(view: View) -> str:
    if view.status.candidate is not None:
        return version_of(view.status.candidate)
    taken_back = view.taken_back
    return f"{version_name(taken_back.model_version)} ✖" if taken_back else "-"


def _message(view: View) -> str:
    ready = view.condition(ConditionType.READY)
    return " ".join(ready.message.split()) if ready else ""


def _running(view: View, now: datetime) -> list[tuple[str, ...]]:
    rollout, track = view.in_flight, view.status.candidate
    if rollout is None or track is None or any(entry.revision == track.revision for entry in view.status.history):
        return []
    where = f"step {rollout.step_display}" if rollout.step_display else rollout.stage.value
    took = span((now - rollout.start_time).total_seconds())
    started = rfc3339_seconds(rollout.start_time.astimezone(UTC))
    return [(str(track.revision), version_of(track), "Running", where, started, took, "")]
