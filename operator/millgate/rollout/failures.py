"""Gates that have failed: which of them take back, which hold the step for a person, and which only warn."""

from collections.abc import Sequence
from dataclasses import dataclass

from millgate.api.conditions import EventReason
from millgate.api.defaults import named_gate, on_fail_of
from millgate.api.spec import Gate, ModelDeploymentSpec, OnFail
from millgate.api.status import GateStatus, RolloutStatus, Stage, Verdict
from millgate.rollout.draft import Draft
from millgate.rollout.snapshot import Snapshot

_MESSAGE_LENGTH = 1024


@dataclass(frozen=True)
class Failure:
    """A gate of `spec` with the verdict that it has failed."""

    gate: Gate
    verdict: GateStatus

    @property
    def does(self) -> OnFail:
        return on_fail_of(self.gate)

    @property
    def sentence(self) -> str:
        verdict = self.verdict
        said = verdict.message or f"{verdict.value} is outside of {verdict.limit}"
        return f"gate {verdict.name} in step {verdict.step}: {said}"[:_MESSAGE_LENGTH]


def failures(spec: ModelDeploymentSpec, rollout: RolloutStatus, verdicts: Sequence[GateStatus]) -> tuple[Failure, ...]:
    """Of the newest step to have begun. What a gate said that is no longer in `spec` counts no more."""
    if not rollout.steps:
        return ()
    step = rollout.steps[-1].name
    failed = (one for one in verdicts if one.verdict is Verdict.FAIL and one.step == step)
    named = ((named_gate(spec.rollout, step, one.name), one) for one in failed)
    return tuple(Failure(gate, one) for gate, one in named if gate is not None)


def unanswered(spec: ModelDeploymentSpec, rollout: RolloutStatus) -> tuple[str, ...]:
    """Gates that have failed in the newest step and hold it until a person answers.

    Also one that passes again since: what it has seen is for a person to judge.
    """
    if not rollout.steps:
        return ()
    step = rollout.steps[-1].name
    gates = ((name, named_gate(spec.rollout, step, name)) for name in rollout.failed if name not in rollout.accepted)
    return tuple(name for name, gate in gates if gate is not None and on_fail_of(gate) is OnFail.HOLD)


def note_failures(draft: Draft, snapshot: Snapshot) -> Draft:
    """Each failure that takes nothing back is told once in its step, and kept in status: it outlives its verdict."""
    rollout = draft.rollout
    if rollout is None:
        return draft
    new = [
        failure
        for failure in failures(snapshot.spec, rollout, snapshot.verdicts)
        if failure.does is not OnFail.ROLLBACK and failure.gate.name not in rollout.failed
    ]
    noted = draft.with_rollout(failed=(*rollout.failed, *(failure.gate.name for failure in new)))
    for failure in new:
        noted = noted.saying(EventReason.GATE_FAILED, f"{failure.sentence}; {_what_now(failure, rollout)}", "Warning")
    return noted


def _what_now(failure: Failure, rollout: RolloutStatus) -> str:
    if failure.does is OnFail.ALERT:
        return "the rollout goes on (onFail Alert)"
    if rollout.stage is Stage.PROMOTING:
        return "kubectl millgate rollback, or promote to let it pass"
    return "the step waits: kubectl millgate promote or abort"
