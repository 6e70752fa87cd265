"""The table of a rollout's gates: the newest verdict of each with the figures behind it. Pure."""

from datetime import datetime

from millgate.api.conditions import Reason
from millgate.api.defaults import gates_of, steps_of
from millgate.api.spec import Compare
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
    compare = _compare_of(view, gate)
    share = _percent if compare is not None else _as_it_is
    return (
        gate.name,
        WORDS[gate.verdict][0],
        share(gate.value),
        share(gate.reference),
        f"<= {share(gate.limit)}" if compare is not None and gate.limit else share(gate.limit),
        _samples(gate, compare),
        gate.evidence or "-",
        age(gate.last_check_time, now) if gate.last_check_time else "-",
    )


def _percent(share: str | None) -> str:
    """A Compare gate's figures are shares of requests; people read percent."""
    return f"{100 * float(share):.3g}%" if share else "-"


def _as_it_is(figure: str | None) -> str:
    return figure or "-"


def _painted(line: str, gate: GateStatus, style: Style) -> str:
    word, colour = WORDS[gate.verdict]
    return line.replace(word, style.paint(word, colour), 1)


def _samples(gate: GateStatus, compare: Compare | None) -> str:
    if gate.samples is None:
        return "-"
    if compare is not None and gate.samples < compare.min_samples:
        return f"{thousands(gate.samples)}/{thousands(compare.min_samples)}"
    return thousands(gate.samples)


def _compare_of(view: View, status: GateStatus) -> Compare | None:
    if view.spec is None:
        return None
    rollout = view.spec.rollout
    gates = (gate for step in steps_of(rollout) for gate in gates_of(rollout, step))
    return next((gate.compare for gate in gates if gate.name == status.name), None)
