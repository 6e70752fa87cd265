"""What a strategy stands for when `steps` and `gates` are left out, and the smaller defaults of `spec`."""

from collections.abc import Iterable

from millgate.api.spec import (
    Compare,
    ComparePreset,
    Gate,
    GateType,
    OnFail,
    Reference,
    Rollout,
    Server,
    Step,
    Strategy,
)

PORT = 8080
STARTUP_DEADLINE_SECONDS = 600
DRAIN_SECONDS = 15
QUANTILE = "0.99"
INCONCLUSIVE_AFTER_SECONDS = 3600
MAX_RATIO = "1.2"
MAX_RATIO_BEFORE = "2"
"""Against its own last hour a healthy revision may differ by the time of day alone."""
MIN_INDEX = "0.1"
"""The population stability index that is called a shift, where the usual bands begin. A mean that moves by half a
standard deviation makes 0.245 at most: at the upper band, 0.25, it would never be found."""

_ALL = Step(name="all", weight_percent=100)
_STEPS: dict[Strategy, tuple[Step, ...]] = {
    Strategy.BIG_BANG: (_ALL,),
    Strategy.BLUE_GREEN: (Step(name="preview", weight_percent=0), _ALL),
    Strategy.CANARY: (
        Step(name="canary-10", weight_percent=10, min_seconds=300),
        Step(name="canary-25", weight_percent=25, min_seconds=300),
        Step(name="half", weight_percent=50, min_seconds=300),
        _ALL,
    ),
}
_GUARDRAILS = (
    Gate(name="errors", type=GateType.COMPARE, compare=Compare(preset=ComparePreset.ERRORS, max_ratio="1.2")),
    Gate(name="latency", type=GateType.COMPARE, compare=Compare(preset=ComparePreset.LATENCY, max_ratio="1.5")),
)
_GATES: dict[Strategy, tuple[Gate, ...]] = {
    Strategy.BIG_BANG: (),
    # All traffic moves at once: there is never a moment at which both could be compared.
    Strategy.BLUE_GREEN: (),
    Strategy.CANARY: _GUARDRAILS,
}


def steps_of(rollout: Rollout) -> tuple[Step, ...]:
    return rollout.steps if rollout.steps is not None else _STEPS[rollout.strategy]


def guardrails_of(rollout: Rollout) -> tuple[Gate, ...]:
    return rollout.gates if rollout.gates is not None else _GATES[rollout.strategy]


def gates_of(rollout: Rollout, step: Step) -> tuple[Gate, ...]:
    """All gates of a step: its own, and the guardrails when it sends live traffic.

    A `Compare` needs requests to the candidate, so it is not asked at 0 percent. At 100 percent stable gets none, so
    the candidate is held against stable's own last hour.
    """
    guardrails = guardrails_of(rollout) if step.weight_percent > 0 else ()
    asked = (*guardrails, *(step.gates or ()))
    match step.weight_percent:
        case 0:
            return tuple(gate for gate in asked if gate.type is not GateType.COMPARE)
        case 100:
            return tuple(_without_stable(gate) for gate in asked)
        case _:
            return asked


def _without_stable(gate: Gate) -> Gate:
    """The question as it can be asked while stable, and its baseline, get no requests. The past is another time of day:
    hence a margin of at least 2, but for one that was chosen for `Before`.
    """
    compare = gate.compare
    if compare is None or compare.reference in {Reference.TRAINING, Reference.BEFORE}:
        return gate
    changes: dict[str, object] = {"reference": Reference.BEFORE}
    if not compare.is_of_a_distribution:
        margin = compare.max_ratio or MAX_RATIO
        wider = margin if float(margin) >= float(MAX_RATIO_BEFORE) else MAX_RATIO_BEFORE
        lower = compare.pass_ratio is not None and float(compare.pass_ratio) <= float(wider)
        changes |= {"max_ratio": wider} | ({"pass_ratio": None} if lower else {})
    return gate.model_copy(update={"compare": compare.model_copy(update=changes)})


def only_watched(rollout: Rollout, step: Step) -> frozenset[str]:
    """The gates that may take back in this step, but for which it does not wait.

    They were answered beside stable, or could not be, in the steps before; of the past hour, which is all that is left
    to compare with, more than is known will never be known. They are asked on until keep-warm is over.
    """
    asked = {gate.name: gate for gate in (*guardrails_of(rollout), *(step.gates or ()))}
    return frozenset(gate.name for gate in gates_of(rollout, step) if gate.compare != asked[gate.name].compare)


def needs_baseline(rollout: Rollout, step: Step) -> bool:
    """Does the step need fresh pods of the stable revision to compare with?"""
    return any(
        gate.compare is not None and gate.compare.reference is Reference.BASELINE for gate in gates_of(rollout, step)
    )


def named_gate(rollout: Rollout, step: str, name: str) -> Gate | None:
    """The gate that is asked under this name in the step of this name, whatever its weight; None when there is none."""
    own: Iterable[Gate] = next((found.gates or () for found in steps_of(rollout) if found.name == step), ())
    return next((gate for gate in (*guardrails_of(rollout), *own) if gate.name == name), None)


def alpha_of(rollout: Rollout) -> float:
    """The share of the false-rollback budget that each Compare gate of the rollout may spend (Bonferroni).

    A gate that asks another question at 100 percent than below gathers its evidence anew, so it counts as two.
    """
    questions = {
        (gate.name, gate.compare.model_dump_json())
        for step in steps_of(rollout)
        for gate in gates_of(rollout, step)
        if gate.compare is not None
    }
    return float(rollout.false_rollback_budget) / max(1, len(questions))


def max_ratio_of(compare: Compare) -> float:
    """The non-inferiority margin rho."""
    default = MAX_RATIO_BEFORE if compare.reference is Reference.BEFORE else MAX_RATIO
    return float(compare.max_ratio or default)


def min_effect_of(compare: Compare) -> float:
    """The difference below which a gate never fails: of shares or means, or a population stability index."""
    return float(compare.min_effect or (MIN_INDEX if compare.is_of_a_distribution else "0"))


def on_fail_of(gate: Gate) -> OnFail:
    """A model that is meant to differ answers differently: a shift is a question to a person, unless said otherwise."""
    if gate.on_fail is not None:
        return gate.on_fail
    presets = (ComparePreset.PREDICTIONS, ComparePreset.FEATURES)
    return OnFail.HOLD if gate.compare is not None and gate.compare.preset in presets else OnFail.ROLLBACK


def max_seconds_of(step: Step) -> int:
    return step.max_seconds if step.max_seconds is not None else step.min_seconds + INCONCLUSIVE_AFTER_SECONDS


def port_of(server: Server) -> int:
    return server.port or PORT


def drain_seconds_of(server: Server) -> int:
    return DRAIN_SECONDS if server.drain_seconds is None else server.drain_seconds


def startup_deadline_of(server: Server) -> int:
    return server.startup_deadline_seconds or STARTUP_DEADLINE_SECONDS
