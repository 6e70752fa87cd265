"""What the Jobs of a rollout's gates have said, as status remembers it: nothing of it can be read again."""

import re

from millgate.api.conditions import Reason
from millgate.api.defaults import named_gate
from millgate.api.spec import GateType
from millgate.api.status import GateStatus, Verdict
from millgate.cli.explain_replay import GateCourse, Look, Past

_TAKEN_BACK_BY = re.compile(r"gate (\S+) in step (\S+): (.+)", re.DOTALL)


def told_by_jobs(past: Past) -> tuple[GateCourse, ...]:
    """One look a gate: the newest verdict of a rollout in flight, and of one that was taken back what did it."""
    return tuple(_course(past, said) for said in (*past.said, *_last_words(past)) if _is_of_a_job(past, said))


def _last_words(past: Past) -> tuple[GateStatus, ...]:
    found = _TAKEN_BACK_BY.fullmatch(past.message)
    if found is None:
        return ()
    name, step, message = found.groups()
    return (GateStatus(name=name, step=step, verdict=Verdict.FAIL, reason=Reason.JOB_FAILED, message=message),)


def _is_of_a_job(past: Past, said: GateStatus) -> bool:
    gate = named_gate(past.request.policy, said.step, said.name)
    return gate is not None and gate.type is GateType.JOB


def _course(past: Past, said: GateStatus) -> GateCourse:
    weights = {step.name: step.weight_percent for step in past.request.rollout.steps}
    look = Look(said.last_check_time or past.end, said.step, weights.get(said.step, 0), said)
    return GateCourse(said.name, (look,), f"{said.verdict.value} {said.reason}: {said.message}", same=True)
