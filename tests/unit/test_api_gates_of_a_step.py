"""Which gates a step asks, against what, and which of them it waits for."""

import pytest

from millgate.api.defaults import (
    alpha_of,
    gates_of,
    max_ratio_of,
    min_effect_of,
    named_gate,
    needs_baseline,
    on_fail_of,
    only_watched,
)
from millgate.api.spec import Gate, OnFail, Reference, Rollout, Step

QUERY = {"name": "lag", "type": "Query", "query": {"promql": "max(lag)", "max": "1"}}
RATE = {"statistic": "Rate", "numerator": "failed", "denominator": "asked"}


def compare(name: str = "errors", **fields: object) -> dict:
    asked = fields if "statistic" in fields or "preset" in fields else {"preset": "Errors", **fields}
    return {"name": name, "type": "Compare", "compare": asked}


def rollout(*gates: dict, last: tuple[dict, ...] = ()) -> Rollout:
    steps = [
        {"name": "preview", "weightPercent": 0},
        {"name": "half", "weightPercent": 50},
        {"name": "all", "weightPercent": 100, "gates": list(last)},
    ]
    return Rollout.model_validate({"steps": steps, "gates": list(gates)})


def asked(policy: Rollout, step: str) -> dict[str, Gate]:
    return {gate.name: gate for gate in gates_of(policy, step_of(policy, step))}


def step_of(policy: Rollout, name: str) -> Step:
    return next(step for step in policy.steps or () if step.name == name)


def test_without_traffic_no_guardrail_is_asked() -> None:
    assert asked(rollout(compare(), QUERY), "preview") == {}


@pytest.mark.parametrize("reference", list(Reference))
def test_between_1_and_99_each_gate_is_asked_as_it_is_written(reference: Reference) -> None:
    gate = compare(preset="Predictions", reference=reference.value)
    found = asked(rollout(gate, QUERY), "half")
    assert found["errors"].compare is not None
    assert found["errors"].compare.reference is reference
    assert "lag" in found


@pytest.mark.parametrize(
    ("written", "reference", "margin"),
    [
        (compare(), Reference.BEFORE, 2.0),
        (compare(maxRatio="1.5"), Reference.BEFORE, 2.0),
        (compare(maxRatio="3"), Reference.BEFORE, 3.0),
        (compare(reference="Baseline"), Reference.BEFORE, 2.0),
        (compare(reference="Before"), Reference.BEFORE, 2.0),
        (compare(reference="Before", maxRatio="1.5"), Reference.BEFORE, 1.5),
        (compare(reference="Baseline", **RATE), Reference.BEFORE, 2.0),
    ],
)
def test_at_100_stables_past_hour_stands_in_for_stable_with_a_wider_margin(
    written: dict, reference: Reference, margin: float
) -> None:
    gate = asked(rollout(written), "all")["errors"]
    assert gate.compare is not None
    assert gate.compare.reference is reference
    assert max_ratio_of(gate.compare) == margin


def test_at_100_a_distribution_keeps_its_margin_and_training_stays_training() -> None:
    policy = rollout(compare("shift", preset="Predictions"), compare("skew", preset="Features", reference="Training"))
    found = asked(policy, "all")
    shift, skew = found["shift"].compare, found["skew"].compare
    assert shift is not None
    assert skew is not None
    below = asked(policy, "half")["shift"].compare
    assert below is not None
    assert (shift.reference, min_effect_of(shift), shift.max_ratio) == (Reference.BEFORE, min_effect_of(below), None)
    assert skew.reference is Reference.TRAINING
    assert on_fail_of(found["shift"]) is OnFail.HOLD


@pytest.mark.parametrize(("pass_ratio", "left"), [("1.9", None), ("2", None), ("2.5", "2.5")])
def test_at_100_a_pass_ratio_below_the_wider_margin_is_not_asked_for(pass_ratio: str, left: str | None) -> None:
    gate = asked(rollout(compare(passRatio=pass_ratio)), "all")["errors"]
    assert gate.compare is not None
    assert gate.compare.pass_ratio == left


def test_a_step_at_100_waits_for_what_was_written_for_it_and_watches_the_rest() -> None:
    policy = rollout(compare(), compare("past", reference="Before"), QUERY, last=(compare("own"),))
    assert only_watched(policy, step_of(policy, "all")) == {"errors", "own"}
    assert only_watched(policy, step_of(policy, "half")) == frozenset()


def test_only_a_step_between_1_and_99_needs_a_baseline() -> None:
    policy = rollout(compare(reference="Baseline"))
    assert [needs_baseline(policy, step) for step in policy.steps or ()] == [False, True, False]
    plain = rollout(compare())
    assert not any(needs_baseline(plain, step) for step in plain.steps or ())


def test_a_gate_is_found_by_its_name_among_those_of_its_step_and_the_guardrails() -> None:
    policy = rollout(compare(), last=(QUERY,))
    errors, lag = named_gate(policy, "half", "errors"), named_gate(policy, "all", "lag")
    assert errors is not None
    assert lag is not None
    assert (errors.name, lag.name) == ("errors", "lag")
    assert named_gate(policy, "half", "lag") is None
    assert named_gate(policy, "elsewhere", "errors") == errors


def test_the_budget_is_shared_by_all_questions() -> None:
    """A gate that asks another question at 100 than below counts as two."""
    assert alpha_of(rollout(compare())) == pytest.approx(0.005)
    assert alpha_of(rollout(compare(reference="Before"))) == pytest.approx(0.01)
