"""Holds a model to what it promises of its answers: ranges, and numbers of a row that sum to what they should.

A NaN is outside of every range: nothing can be said of it. What is no array of numbers (ZipMap's lists of maps) has no
range, so a rule for it is refused when the model is loaded.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from millgate_serving.constraints import Constraints, OutputRules, invalid
from millgate_serving.describe import PREDICTIONS
from millgate_serving.engine import Outputs
from millgate_serving.refusal import OutputRefused

_FEW = 16
_Holds = Callable[[Any], bool]


class OutputGuard:
    """Counts the answers that broke each rule; every rule is there, at zero, from the start."""

    def __init__(self, rules: Mapping[str, OutputRules], names: tuple[str, ...]) -> None:
        """`names` are the engine's, of which the first is answered as `predictions`."""
        answered = (PREDICTIONS, *names[1:])
        self._checks: list[tuple[int, str, str, _Holds]] = []
        for name, promise in rules.items():
            self._checks += [(answered.index(name), *check) for check in _checks(name, promise)]
        self.refused = {rule: 0 for _, rule, _, _ in self._checks}

    def check(self, outputs: Outputs) -> None:
        """Raises OutputRefused for the first rule that the answer breaks."""
        for place, rule, message, holds in self._checks:
            if not holds(outputs[place][1]):
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


def _checks(name: str, rules: OutputRules) -> list[tuple[str, str, _Holds]]:
    """The rule as metrics name it, as a client reads it, and whether an array keeps it."""
    checks: list[tuple[str, str, _Holds]] = []
    if rules.minimum is not None:
        checks.append((f"{name}.minimum", f"{name} must be at least {rules.minimum:g}", _at_least(rules.minimum)))
    if rules.maximum is not None:
        checks.append((f"{name}.maximum", f"{name} must be at most {rules.maximum:g}", _at_most(rules.maximum)))
    if rules.sums_to is not None:
        message = f"{name} of a row must sum to {rules.sums_to:g}, give or take {rules.tolerance:g}"
        checks.append((f"{name}.sumsTo", message, _sums_to(rules.sums_to, rules.tolerance)))
    return checks


# Of a few numbers Python's own loop is done before numpy has begun.


def _at_least(bound: float) -> _Holds:
    def holds(values: Any) -> bool:
        if values.size <= _FEW:
            return not [value for value in values.ravel().tolist() if not value >= bound]  # NaN is not either
        return bool(np.minimum.reduce(values, None) >= bound)

    return holds


def _at_most(bound: float) -> _Holds:
    def holds(values: Any) -> bool:
        if values.size <= _FEW:
            return not [value for value in values.ravel().tolist() if not value <= bound]
        return bool(np.maximum.reduce(values, None) <= bound)

    return holds


def _sums_to(total: float, tolerance: float) -> _Holds:
    def holds(values: Any) -> bool:
        if values.ndim == 2 and len(values) == 1 and values.size <= _FEW:
            return bool(abs(sum(values[0].tolist()) - total) <= tolerance)
        rows = values.reshape(len(values), -1).sum(axis=1, dtype=np.float64)
        return bool(np.maximum.reduce(np.abs(rows - total)) <= tolerance)

    return holds
