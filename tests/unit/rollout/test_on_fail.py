"""What a failing gate does: take back, hold the step for a person, or only warn. In every kind of gate and stage."""

import pytest

from millgate.api.conditions import EventReason
from millgate.api.request import RequestAction
from millgate.api.status import RequestResult, Stage, Verdict
from millgate.rollout.plan import Event

from .world import OPEN, World, make_spec

SHIFT = {"name": "shift", "type": "Compare", "compare": {"preset": "Predictions"}}  # `Hold` when left out
LAG = {"name": "lag", "type": "Query", "query": {"promql": "max(lag)", "max": "1"}}
GOLDEN = {"name": "golden", "type": "Job", "job": {"image": "registry.example/checks:1"}}


def steps(*gates: dict) -> list[dict]:
    return [
        {"name": "canary-20", "weightPercent": 20, "minSeconds": 60, "gates": list(gates)},
        {"name": "half", "weightPercent": 50, "minSeconds": 60},
        {"name": "all", "weightPercent": 100},
    ]


def in_its_first_step(*, guardrails: tuple[dict, ...] = (), own: tuple[dict, ...] = (), **rollout: object) -> World:
    """A second version whose gates have all said Pending so far."""
    policy = {"steps": steps(*own), "gates": list(guardrails), "keepWarmSeconds": 600} | rollout
    world = World(make_spec("1", **policy))
    settle(world)
    world.set_version("2")
    settle(world)
    assert world.status.rollout is not None
    assert world.status.rollout.step_name == "canary-20"
    return world


def settle(world: World) -> None:
    world.settle()
    world.finish_preflights(0)
    world.settle()


def step_of(world: World) -> str | None:
    return world.status.rollout.step_name if world.status.rollout else None


def ask(world: World, action: RequestAction, id_: str) -> RequestResult:
    world.ask(action, id_)
    world.settle()
    assert world.status.last_request is not None
    return world.status.last_request.result


def failures_told(world: World) -> list[str]:
    return [gate for _, gate in world.told]


HOLDING = [
    pytest.param((SHIFT,), (), "shift", id="guardrail Compare"),
    pytest.param((LAG | {"onFail": "Hold"},), (), "lag", id="guardrail Query"),
    pytest.param((), (SHIFT,), "shift", id="step's Compare"),
    pytest.param((), (LAG | {"onFail": "Hold"},), "lag", id="step's Query"),
    pytest.param((), (GOLDEN | {"onFail": "Hold"},), "golden", id="step's Job"),
]


@pytest.mark.parametrize(("guardrails", "own", "name"), HOLDING)
def test_a_gate_that_holds_stops_the_step_until_a_person_lets_it_pass(
    guardrails: tuple[dict, ...], own: tuple[dict, ...], name: str
) -> None:
    world = in_its_first_step(guardrails=guardrails, own=own)
    world.verdicts[name] = Verdict.FAIL
    world.settle()
    assert world.route == OPEN, "nothing is taken back"
    assert world.condition("Paused") == ("True", "AwaitingDecision")
    assert world.condition("CandidateHealthy") == ("False", "AwaitingDecision")
    assert world.condition("Ready") == ("False", "AwaitingDecision")
    assert [gate.on_fail for gate in world.status.gates] == ["Hold"]
    world.wait(100_000)
    world.settle()
    assert step_of(world) == "canary-20", "no deadline answers for a person"
    assert ask(world, RequestAction.PROMOTE, "yes") is RequestResult.APPLIED
    assert step_of(world) == "half"
    assert failures_told(world)[:1] == [name]


@pytest.mark.parametrize(("action", "outcome"), [(RequestAction.ABORT, "Aborted"), (RequestAction.ROLLBACK, "Aborted")])
def test_a_hold_is_answered_with_the_way_back(action: RequestAction, outcome: str) -> None:
    world = in_its_first_step(guardrails=(SHIFT,))
    world.verdicts["shift"] = Verdict.FAIL
    world.settle()
    assert ask(world, action, "no") is RequestResult.APPLIED
    assert world.route == world.hash_of("1")
    assert world.status.history[0].outcome == outcome


def test_the_answer_counts_for_that_gate_in_that_step_only() -> None:
    world = in_its_first_step(guardrails=(SHIFT,), own=(GOLDEN | {"onFail": "Hold"},))
    world.verdicts["shift"] = Verdict.FAIL
    world.settle()
    assert ask(world, RequestAction.PROMOTE, "shift") is RequestResult.APPLIED
    assert step_of(world) == "canary-20", "the step lasts its time, and the other gate has not told yet"
    world.verdicts["golden"] = Verdict.FAIL
    world.wait(61)
    world.settle()
    assert world.condition("Paused") == ("True", "AwaitingDecision")
    assert ask(world, RequestAction.PROMOTE, "golden") is RequestResult.APPLIED
    assert step_of(world) == "half"
    world.wait(61)
    world.settle()
    assert step_of(world) == "half", "in the next step the same failure is another question"
    assert failures_told(world) == ["shift", "golden", "shift"]


def test_a_failure_that_is_over_is_still_a_question() -> None:
    world = in_its_first_step(guardrails=(LAG | {"onFail": "Hold"},))
    world.verdicts["lag"] = Verdict.FAIL
    world.settle()
    world.verdicts["lag"] = Verdict.PASS
    world.wait(61)
    world.settle()
    assert step_of(world) == "canary-20"
    assert world.condition("Paused") == ("True", "AwaitingDecision")
    assert failures_told(world) == ["lag"]


def test_an_edit_that_asks_for_no_hold_any_longer_lets_go() -> None:
    world = in_its_first_step(guardrails=(LAG | {"onFail": "Hold"},))
    world.verdicts["lag"] = Verdict.FAIL
    world.wait(61)
    world.settle()
    world.apply(make_spec("2", steps=steps(), gates=[LAG | {"onFail": "Alert"}], keepWarmSeconds=600))
    world.settle()
    assert step_of(world) == "half"


def test_a_failure_while_the_next_step_waits_for_its_pods_holds_that_step() -> None:
    world = in_its_first_step(guardrails=(SHIFT,))
    world.verdicts["shift"] = Verdict.PASS
    world.pods_come_by_themselves = False
    world.wait(61)
    world.settle()
    assert step_of(world) == "half"
    world.verdicts["shift"] = Verdict.FAIL
    world.settle()
    world.pods_become_ready()
    world.settle()
    rollout = world.status.rollout
    assert rollout is not None
    assert [record.name for record in rollout.steps] == ["canary-20"], "the weight does not grow"
    assert world.condition("Paused") == ("True", "AwaitingDecision")
    assert ask(world, RequestAction.PROMOTE, "yes") is RequestResult.APPLIED
    assert world.status.rollout is not None
    assert [record.name for record in world.status.rollout.steps] == ["canary-20", "half"]


@pytest.mark.parametrize("does", ["Rollback", "Hold", "Alert"])
def test_a_paused_rollout_listens_to_its_gates(does: str) -> None:
    world = in_its_first_step(guardrails=(LAG | {"onFail": does},))
    world.ask(RequestAction.PAUSE, "wait")
    world.settle()
    world.verdicts["lag"] = Verdict.FAIL
    world.wait(3000)
    world.settle()
    if does == "Rollback":
        assert world.condition("RolledBack") == ("True", "GuardrailBreached")
        return
    assert step_of(world) == "canary-20"
    assert world.condition("Paused") == ("True", "PausedByUser")
    assert failures_told(world) == ["lag"]
    world.ask(RequestAction.RESUME, "on")
    world.settle()
    assert step_of(world) == ("canary-20" if does == "Hold" else "half")


ALERTING = [
    pytest.param((SHIFT | {"onFail": "Alert"},), (), "shift", id="guardrail Compare"),
    pytest.param((LAG | {"onFail": "Alert"},), (), "lag", id="guardrail Query"),
    pytest.param((), (GOLDEN | {"onFail": "Alert"},), "golden", id="step's Job"),
]


@pytest.mark.parametrize(("guardrails", "own", "name"), ALERTING)
def test_a_gate_that_only_warns_is_told_once_and_the_step_goes_on(
    guardrails: tuple[dict, ...], own: tuple[dict, ...], name: str
) -> None:
    world = in_its_first_step(guardrails=guardrails, own=own)
    world.verdicts[name] = Verdict.FAIL
    world.settle()
    assert world.condition("CandidateHealthy") == ("False", "Failing")
    said = next(one.message for one in world.status.conditions if one.type == "CandidateHealthy")
    assert said == f"{name}: figures (onFail Alert: the rollout goes on)"
    world.settle()
    assert failures_told(world) == [name]
    world.wait(61)
    world.settle()
    assert step_of(world) == "half"


@pytest.mark.parametrize(
    ("verdict", "waits"), [(Verdict.PENDING, True), (Verdict.INCONCLUSIVE, False), (Verdict.PASS, False)]
)
def test_a_gate_that_only_warns_is_waited_for_until_it_has_looked(verdict: Verdict, waits: bool) -> None:  # noqa: FBT001 - of a table
    world = in_its_first_step(guardrails=(LAG | {"onFail": "Alert"},), onInconclusive="Rollback")
    world.verdicts["lag"] = verdict
    world.wait(61)
    world.settle()
    assert (step_of(world) == "canary-20") is waits
    world.wait(3700)
    world.settle()
    assert step_of(world) not in {None, "canary-20"}, "not for longer than `maxSeconds`, and nothing is taken back"


def promoted(*guardrails: dict) -> World:
    world = in_its_first_step(guardrails=guardrails)
    world.verdicts = dict.fromkeys(("shift", "lag"), Verdict.PASS)
    for _ in range(3):
        world.wait(61)
        world.settle()
    assert world.status.rollout is not None
    assert world.status.rollout.stage is Stage.PROMOTING
    return world


def test_after_promotion_a_hold_is_told_and_shown_and_only_a_person_goes_back() -> None:
    world = promoted(SHIFT)
    world.verdicts["shift"] = Verdict.FAIL
    made = world.reconcile()
    assert [event.reason for event in made.events] == [EventReason.GATE_FAILED]
    world.settle()
    assert world.condition("CandidateHealthy") == ("False", "AwaitingDecision")
    assert world.condition("Ready") == ("True", "Promoted"), "the released version serves"
    assert world.route == world.hash_of("2")
    assert ask(world, RequestAction.ROLLBACK, "back") is RequestResult.APPLIED
    assert world.route == world.hash_of("1")


def test_after_promotion_a_hold_that_a_person_lets_pass_is_no_question_any_longer() -> None:
    world = promoted(SHIFT)
    assert ask(world, RequestAction.PROMOTE, "early") is RequestResult.REFUSED
    world.verdicts["shift"] = Verdict.FAIL
    world.settle()
    assert ask(world, RequestAction.PROMOTE, "fine") is RequestResult.APPLIED
    assert world.condition("CandidateHealthy") == ("False", "Failing")
    assert failures_told(world) == ["shift"]
    world.wait(601)
    world.settle()
    assert world.status.rollout is None, "keep-warm ends at its time"


@pytest.mark.parametrize(("does", "route"), [("Rollback", "1"), ("Hold", "2"), ("Alert", "2")])
def test_guardrails_are_listened_to_until_keep_warm_is_over(does: str, route: str) -> None:
    world = promoted(LAG | {"onFail": does})
    world.verdicts["lag"] = Verdict.FAIL
    world.settle()
    assert world.route == world.hash_of(route)


@pytest.mark.parametrize("verdict", [Verdict.PENDING, Verdict.INCONCLUSIVE])
def test_at_100_nobody_waits_for_what_stables_past_hour_cannot_tell_but_a_failure_takes_back(verdict: Verdict) -> None:
    errors = {"name": "errors", "type": "Compare", "compare": {"preset": "Errors"}}
    last = {"name": "all", "weightPercent": 100, "minSeconds": 60}
    for at_100, promoted_version in ((verdict, "2"), (Verdict.FAIL, "1")):
        world = in_its_first_step(guardrails=(errors,), steps=[*steps()[:2], last])
        world.verdicts["errors"] = Verdict.PASS
        for _ in range(2):
            world.wait(61)
            world.settle()
        assert step_of(world) == "all"
        world.verdicts["errors"] = at_100
        world.wait(61)
        world.settle()
        assert world.status.stable is not None
        assert world.status.stable.model_version == promoted_version


def test_a_gate_that_left_the_spec_has_no_say() -> None:
    world = in_its_first_step(guardrails=(LAG, SHIFT))
    world.verdicts = {"lag": Verdict.FAIL, "shift": Verdict.PASS}
    world.apply(make_spec("2", steps=steps(), gates=[SHIFT], keepWarmSeconds=600))
    world.wait(61)
    world.settle()
    assert step_of(world) == "half"


def test_the_event_names_gate_step_figures_and_what_to_do() -> None:
    world = in_its_first_step(guardrails=(SHIFT,))
    world.verdicts["shift"] = Verdict.FAIL
    text = "gate shift in step canary-20: figures; the step waits: kubectl millgate promote or abort"
    assert world.reconcile().events == (Event("Warning", EventReason.GATE_FAILED, text),)
