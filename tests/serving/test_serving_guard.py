"""What a model promises of its answers is held, to the number, and what breaks it never looks like an answer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millgate_serving.constraints import Constraints, OutputRules
from millgate_serving.failure import ServingError
from millgate_serving.guard import OutputGuard, guard_of
from millgate_serving.refusal import OutputRefused

SHARE = OutputRules(minimum=0, maximum=1)
NAMES = ("label", "probabilities")


def guard(**rules: OutputRules) -> OutputGuard:
    return OutputGuard(rules, NAMES)


def broken(rules: OutputRules, values: object) -> str:
    """The rule that the second output breaks, or nothing."""
    outputs = [("label", np.array([1])), ("probabilities", np.array(values))]
    try:
        guard(probabilities=rules).check(outputs)
    except OutputRefused as error:
        return error.rule
    return ""


NAN = float("nan")
CASES = [
    (SHARE, [[0.0, 1.0]], ""),
    (SHARE, [[-0.001, 1.0]], "probabilities.minimum"),
    (SHARE, [[0.0, 1.001]], "probabilities.maximum"),
    (SHARE, [[NAN, 0.5]], "probabilities.minimum"),
    (SHARE, [[0.5, NAN]], "probabilities.minimum"),
    (SHARE, [[float("inf"), 0.5]], "probabilities.maximum"),
    (SHARE, [[0.5, 0.5]] * 100, ""),
    (SHARE, [[0.5, 0.5]] * 99 + [[0.5, 1.5]], "probabilities.maximum"),
    (SHARE, [[0.5, 0.5]] * 99 + [[NAN, 0.5]], "probabilities.minimum"),
    (SHARE, [0.5], ""),
    (OutputRules(maximum=3), [4], "probabilities.maximum"),
    (OutputRules(sums_to=1), [[0.3, 0.7]], ""),
    (OutputRules(sums_to=1), [[0.3, 0.6]], "probabilities.sumsTo"),
    (OutputRules(sums_to=1), [[0.3, NAN]], "probabilities.sumsTo"),
    (OutputRules(sums_to=1), [[0.5, 0.5], [0.6, 0.6]], "probabilities.sumsTo"),
    (OutputRules(sums_to=1, tolerance=0.25), [[0.5, 0.5], [0.6, 0.6]], ""),
    (OutputRules(sums_to=1), [[0.5, 0.5]] * 50 + [[NAN, 1]], "probabilities.sumsTo"),
]


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_a_rule_is_held_to_the_number(case):
    rules, values, rule = case
    assert broken(rules, values) == rule
    assert broken(rules, np.array(values, np.float32)) == rule


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(width=32), min_size=2, max_size=2), min_size=1, max_size=30))
def test_few_numbers_are_judged_as_many_are(rows):
    """Two ways lead to one verdict: Python's loop for a few numbers, numpy for many."""
    values = np.array(rows)
    many = np.concatenate([values] * 40)
    for rules in (OutputRules(minimum=0), OutputRules(maximum=1), OutputRules(sums_to=1)):
        assert broken(rules, values) == broken(rules, many)


def test_each_refusal_is_counted_by_its_rule_and_names_no_value():
    held = guard(predictions=OutputRules(minimum=0), probabilities=OutputRules(sums_to=1))
    assert held.refused == {"predictions.minimum": 0, "probabilities.sumsTo": 0}
    with pytest.raises(OutputRefused) as error:
        held.check([("label", np.array([-77])), ("probabilities", np.array([[0.5, 0.5]]))])
    assert error.value.message == "predictions must be at least 0"
    assert held.refused == {"predictions.minimum": 1, "probabilities.sumsTo": 0}


def test_a_model_without_rules_has_no_guard():
    assert guard_of(Constraints(), NAMES, None) is None
    assert guard_of(Constraints(outputs={"predictions": OutputRules()}), NAMES, None) is None


@pytest.mark.parametrize("values", [np.array([2.0]), [{"a": 1.0}], np.array(["text"], object)])
def test_a_model_whose_own_example_breaks_its_rules_is_not_served(values):
    constraints = Constraints(outputs={"predictions": SHARE})
    with pytest.raises(ServingError) as error:
        guard_of(constraints, ("label",), [("label", values)])
    assert error.value.reason == "ConstraintsInvalid"
    assert "outputs" in error.value.message
