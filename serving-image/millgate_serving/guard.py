"""Holds a model to what it promises of its answers: ranges, and numbers of a row that sum to what they should.

A NaN is outside of every range: nothing can be said of it. What is no array of numbers (ZipMap's lists of maps) has no
range, so a rule for it is refused when the model is loaded.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from millgate_serving.constraints import Constraints, OutputRules, invalid
from millgate_serving.describe import PREDICTIONS
from millgate_serving.engine import Outputs
from millgate_serving.refusal import OutputRefused

_FEW = 16
_Holds = Callable[[Any], bool]


class _Promise:
    """All rules for one output."""

    def __init__(self, place: int, name: str, rules: OutputRules) -> None:
        self.place = place
        self.rules = _rules(name, rules)
        self._least = -math.inf if rules.minimum is None else rules.minimum
        self._most = math.inf if rules.maximum is None else rules.maximum
        self._total, self._tolerance = rules.sums_to, rules.tolerance

    def is_kept_by_one_row(self, values: Any) -> bool:
        """False also where that cannot be told. Of a few numbers Python's loop is done before numpy has begun."""
        if values.size > _FEW or len(values) != 1:
            return False
        row = values.ravel().tolist()
        for value in row:
            if not self._least <= value <= self._most:  # a NaN is nowhere
                return False
        return self._total is None or bool(abs(sum(row) - self._total) <= self._tolerance)


class OutputGuard:
    """Counts the answers that broke each rule; every rule is there, at zero, from the start."""

    def __init__(self, rules: Mapping[str, OutputRules], names: tuple[str, ...]) -> None:
        """`names` are the engine's, of which the first is answered as `predictions`."""
        answered = (PREDICTIONS, *names[1:])
        self._promises = [_Promise(answered.index(name), name, promised) for name, promised in rules.items()]
        self.refused = {rule: 0 for promise in self._promises for rule, _, _ in promise.rules}

    def check(self, outputs: Outputs) -> None:
        """Raises OutputRefused for the first rule that the answer breaks."""
        for promise in self._promises:
            values = outputs[promise.place][1]
            if promise.is_kept_by_one_row(values):
                continue
            for rule, message, holds in promise.rules:
                if not holds(values):
                    self.refused[rule] += 1
                    raise OutputRefused(rule, message)


def guard_of(constraints: Constraints, names: tuple[str, ...], example: Outputs | None) -> OutputGuard | None:
    """None where nothing is promised. Raises ServingError ConstraintsInvalid when the model's own example breaks it."""
    rules = {name: rules for name, rules in constraints.outputs.items() if _any(rules)}
    if not rules:
        return None
    guard = OutputGuard(rules, names)
    if example is not None:
        _check_example(guard, example)
    return guard


def _check_example(guard: OutputGuard, example: Outputs) -> None:
    try:
        guard.check(example)
    except OutputRefused as error:
        raise invalid(f"outputs: the model's answer to its own input example breaks a rule: {error.message}") from None
    except (AttributeError, TypeError, ValueError) as error:
        raise invalid("outputs: there is a rule for an output that is not numbers") from error
    guard.refused = dict.fromkeys(guard.refused, 0)


def _any(rules: OutputRules) -> bool:
    return not rules.minimum is rules.maximum is rules.sums_to is None


def _rules(name: str, rules: OutputRules) -> list[tuple[str, str, _Holds]]:
    """The rule as metrics name it, as a client reads it, and whether an array keeps it."""
    found: list[tuple[str, str, _Holds]] = []
    if (least := rules.minimum) is not None:
        found.append((f"{name}.minimum", f"{name} must be at least {least:g}", lambda values: np.min(values) >= least))
    if (most := rules.maximum) is not None:
        found.append((f"{name}.maximum", f"{name} must be at most {most:g}", lambda values: np.max(values) <= most))
    if (total := rules.sums_to) is not None:
        message = f"{name} of a row must sum to {total:g}, give or take {rules.tolerance:g}"
        found.append((f"{name}.sumsTo", message, lambda values: _sums_to(values, total, rules.tolerance)))
    return found


def _sums_to(values: Any, total: float, tolerance: float) -> bool:
    rows = values.reshape(len(values), -1).sum(axis=1, dtype=np.float64)
    return bool(np.max(np.abs(rows - total)) <= tolerance)
