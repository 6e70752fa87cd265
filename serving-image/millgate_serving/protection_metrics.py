"""What protects the server, as metrics: what waits, what was shed, and which answers were refused or repeated."""

from collections.abc import Callable
from typing import Any

from millgate_serving.answers import Answers
from millgate_serving.distribution_text import escaped, header
from millgate_serving.guard import OutputGuard
from millgate_serving.running import Runner
from millgate_serving.turns import Turns


def lines_of(
    runner: Runner, turns: Turns, now: Callable[[], float], guard: OutputGuard | None, answers: Answers[Any] | None
) -> Callable[[str], list[str]]:
    """A part of the exposition; rules come from the model, so no client can make series."""

    def lines(labels: str) -> list[str]:
        waiting = runner.waiting + turns.waiting
        told = _value("millgate_waiting_requests", "gauge", "Requests that wait for the model.", labels, waiting)
        told += _value("millgate_model_calls", "gauge", "Calls of the model in threads.", labels, runner.running)
        overdue, what = runner.overdue_seconds(now()), "By how much the longest call has passed the deadline."
        told += _value("millgate_model_overdue_seconds", "gauge", what, labels, round(overdue, 3))
        if guard is not None:
            name = "millgate_output_refused_total"
            told += header(name, "counter", "Answers of the model that broke a rule of its own, which became errors.")
            told += [f'{name}{{{labels},rule="{escaped(rule)}"}} {count}' for rule, count in guard.refused.items()]
        if answers is not None:
            for name, kind, what, value in (
                ("hits_total", "counter", "Requests that were answered from the cache.", answers.hits),
                ("misses_total", "counter", "Requests that were not in the cache.", answers.misses),
                ("bytes", "gauge", "About how much the cache holds.", answers.bytes),
            ):
                told += _value(f"millgate_answer_cache_{name}", kind, what, labels, value)
        return told

    return lines


def _value(name: str, kind: str, what: str, labels: str, value: float) -> list[str]:
    return [*header(name, kind, what), f"{name}{{{labels}}} {value}"]
