"""The promises of the design, as what must hold of every plan in a `World`."""

from datetime import timedelta
from typing import TYPE_CHECKING

from millgate.api.conditions import Reason
from millgate.api.defaults import gates_of, needs_baseline, on_fail_of, only_watched, steps_of
from millgate.api.request import RequestAction
from millgate.api.spec import Gate, GateType, OnFail, OnInconclusive
from millgate.api.status import Stage, Status, Verdict
from millgate.rollout.failures import unanswered
from millgate.rollout.plan import Plan, Route, Scale
from millgate.rollout.sizes import candidate_size

if TYPE_CHECKING:
    from .world import World


def check_plan(world: "World", before: Status, made: Plan) -> None:
    conditions = {condition.type: condition for condition in made.status.conditions}
    both = conditions["Reconciling"].status == conditions["Stalled"].status == "True"
    assert not both, "Reconciling and Stalled at once"
    if conditions["Ready"].status == "True":
        assert conditions["Ready"].observed_generation == world.generation
        assert made.status.stable is not None
        assert made.status.stable.model_version == world.spec.model.version, "Ready on an older spec"
    _check_back_first(world, before, made)
    _check_no_blind_step(world, before, made)
    _check_who_took_back(world, before, made)
    _check_baseline_came_first(world, before, made)


def _check_back_first(world: "World", before: Status, made: Plan) -> None:
    after = made.status.rollout
    newly = (
        after is not None
        and after.stage is Stage.ROLLING_BACK
        and (before.rollout is None or before.rollout.stage is not Stage.ROLLING_BACK)
    )
    if not newly or made.status.stable is None:
        return
    workload = world.workloads.get(made.status.stable.hash)
    if workload is not None and workload.ready > 0:
        expected = Route(((made.status.stable.hash, 100),))
        assert made.actions[:1] == (expected,), "rollback-first: the route is the first write"
    assert not any(isinstance(action, Scale) for action in made.actions), "rollback-first: nothing is scaled before"


def _check_no_blind_step(world: "World", before: Status, made: Plan) -> None:
    old, new = before.rollout, made.status.rollout
    if old is None or old.stage is not Stage.STEPPING or old.step_start_time is None or before.stable is None:
        return
    promoted = made.status.stable is not None and made.status.stable.hash != before.stable.hash
    # by its name: where steps were inserted before it, the same step only has another number
    stepped = new is not None and new.stage is Stage.STEPPING and new.step_name != old.step_name
    if not (promoted or stepped) or (new is not None and new.stage is Stage.ROLLING_BACK):
        return
    step = next((step for step in steps_of(world.spec.rollout) if step.name == old.step_name), None)
    if step is None:
        return  # the step was edited away
    assert world.now >= old.step_start_time + timedelta(seconds=step.min_seconds), "a step ended before its time"
    may_proceed = world.spec.rollout.on_inconclusive is OnInconclusive.PROCEED or old.proceed or world.request
    answered = world.request is not None and world.request.action is RequestAction.PROMOTE
    assert answered or not unanswered(world.spec, old), "a step went on without the answer that it waits for"
    watched = only_watched(world.spec.rollout, step)
    for gate in gates_of(world.spec.rollout, step):
        if gate.name in watched and world.verdicts.get(gate.name) is not Verdict.FAIL:
            continue
        _check_passed(world, gate, old.accepted, anyhow=bool(may_proceed))


def _check_passed(world: "World", gate: Gate, accepted: tuple[str, ...], *, anyhow: bool) -> None:
    if gate.type is GateType.APPROVAL or gate.name in accepted or on_fail_of(gate) is OnFail.ALERT:
        return
    verdict = world.verdicts.get(gate.name, Verdict.PENDING)
    answered = world.request is not None and world.request.action is RequestAction.PROMOTE
    if on_fail_of(gate) is OnFail.HOLD and answered:
        return
    assert verdict is not Verdict.FAIL, "no-blind-step: a failing gate was passed"
    assert verdict is Verdict.PASS or anyhow, "no-blind-step: a gate without a verdict was passed"


def _check_who_took_back(world: "World", before: Status, made: Plan) -> None:
    """Only a gate whose failure takes back has ever done so."""
    after = made.status.rollout
    if after is None or after.stage is not Stage.ROLLING_BACK or before.rollout is None:
        return
    if before.rollout.stage is Stage.ROLLING_BACK:
        return
    if after.reason in {Reason.GUARDRAIL_BREACHED, Reason.ANALYSIS_FAILED}:
        asked = (*(world.spec.rollout.gates or ()), *(g for s in steps_of(world.spec.rollout) for g in s.gates or ()))
        hard = {gate.name for gate in asked if on_fail_of(gate) is OnFail.ROLLBACK}
        failed = {name for name, verdict in world.verdicts.items() if verdict is Verdict.FAIL}
        assert hard & failed, "a gate that only holds or warns took a candidate back"


def _check_baseline_came_first(world: "World", before: Status, made: Plan) -> None:
    """A step that compares with a baseline begins when the baseline is ready, as large as the candidate."""
    old, new, stable = before.rollout, made.status.rollout, made.status.stable
    if new is None or stable is None or new.stage is not Stage.STEPPING or new.step_start_time is None:
        return
    steps = steps_of(world.spec.rollout)
    step = next((step for step in steps if step.name == new.step_name), None)
    opened = old is None or old.steps != new.steps
    if not opened or step is None or not needs_baseline(world.spec.rollout, step):
        return
    there = world.baselines.get(stable.hash)
    assert there is not None
    assert there.ready >= candidate_size(world.spec, steps, steps.index(step)), "a step began before its baseline"
