"""The table of a rollout's gates: the newest verdict of each with the figures behind it. Pure."""

from collections.abc import Callable
from datetime import datetime

from millgate.api.conditions import Reason
from millgate.api.defaults import gates_of, steps_of
from millgate.api.spec import Compare, Gate, JobPreset
from millgate.api.status import GateStatus, Verdict
from millgate.cli.text import Colour, Style, age, columns, thousands
from millgate.cli.view import View

_HEAD = ("NAME", "VERDICT", "CANDIDATE", "STABLE", "LIMIT", "SAMPLES", "EVIDENCE", "LAST")
WORDS: dict[Verdict, tuple[str, Colour]] = {
    Verdict.PASS: ("✔ pass", "green"),
    Verdict.FAIL: ("✖ fail", "red"),
    Verdict.INCONCLUSIVE: ("? hold", "yellow"),
    Verdict.PENDING: ("◌ wait", "dim"),
}


def checks(view: View, now: datetime, style: Style) -> list[str]:
    """Below the table stands, for each gate that has not passed, what it says."""
    gates = view.status.gates
    if not gates:
        return []
    lines = columns([_HEAD, *(_row(view, gate, now) for gate in gates)])
    painted = [lines[0], *(_painted(line, gate, style) for line, gate in zip(lines[1:], gates, strict=True))]
    silent = {Reason.PENDING, Reason.AWAITING_APPROVAL}  # the table has said it already
    spoken = [gate for gate in gates if gate.verdict is not Verdict.PASS and gate.reason not in silent]
    return [*painted, *(f"{gate.name}: {gate.reason}: {gate.message}".rstrip(": ") for gate in spoken)]


def _row(view: View, gate: GateStatus, now: datetime) -> tuple[str, ...]:
    asked = _gate_of(view, gate)
    compare = asked.compare if asked is not None else None
    figure = _figures_of(asked)
    return (
        gate.name,
        WORDS[gate.verdict][0],
        figure(gate.value) if gate.value else "-",
        figure(gate.reference) if gate.reference else "-",
        f"{_side(asked, gate)}{figure(gate.limit)}" if gate.limit else "-",
        _samples(gate, compare),
        gate.evidence or "-",
        age(gate.last_check_time, now) if gate.last_check_time else "-",
    )


def _figures_of(gate: Gate | None) -> Callable[[str], str]:
    """How a person reads the figures of a gate. Those of a Compare gate are shares of requests."""
    preset = gate.job.preset if gate is not None and gate.job is not None else None
    if gate is not None and gate.compare is not None:
        return lambda share: f"{100 * float(share):.3g}%"
    if preset is JobPreset.LATENCY_BENCHMARK:
        return lambda seconds: f"{1000 * float(seconds):.3g} ms"
    if preset is JobPreset.MEMORY_FOOTPRINT:
        return lambda count: f"{float(count) / 2**20:.0f} MiB"
    return str


def _side(gate: Gate | None, said: GateStatus) -> str:
    """On which side of its limit a figure is good: that of the reference, where that tells."""
    if gate is not None and gate.compare is not None:
        return "<= "
    if gate is None or gate.job is None or not said.limit:
        return ""
    return "<= " if said.reference is None or float(said.reference) <= float(said.limit) else ">= "


def _painted(line: str, gate: GateStatus, style: Style) -> str:
    word, colour = WORDS[gate.verdict]
    return line.replace(word, style.paint(word, colour), 1)


def _samples(gate: GateStatus, compare: Compare | None) -> str:
    if gate.samples is None:
        return "-"
    if compare is not None and gate.samples < compare.min_samples:
        return f"{thousands(gate.samples)}/{thousands(compare.min_samples)}"
    return thousands(gate.samples)


def _gate_of(view: View, status: GateStatus) -> Gate | None:
    if view.spec is None:
        return None
    rollout = view.spec.rollout
    gates = (gate for step in steps_of(rollout) for gate in gates_of(rollout, step))
    return next((gate for gate in gates if gate.name == status.name), None)
