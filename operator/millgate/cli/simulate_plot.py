"""The picture of a simulation: for each candidate one run over time, and when all runs came to their verdicts. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from millgate.cli.svg import Canvas, Panel, Point
from millgate.simulate.figures import Result
from millgate.simulate.play import Ending, Look, Outcome

WIDTH, ROW, HEAD, FOOT = 1000, 190, 66, 14
_LEFT, _RIGHT, _GAP = 48, 16, 76
_RUN_WIDTH = 500
_PANEL = 106
WEIGHT = "#dcdcdc"
GATES = ("#0072b2", "#e69f00", "#cc79a7", "#56b4e9", "#f0e442")
_ENDINGS = {Ending.PROMOTED: "#009e73", Ending.ROLLED_BACK: "#d55e00", Ending.HELD: "#8a6d00"}
_WORDS = {Ending.PROMOTED: "promoted", Ending.ROLLED_BACK: "rolled back", Ending.HELD: "held for a person"}
RULE = "#777777"


@dataclass(frozen=True)
class Row:
    """What is drawn of one candidate. `run`: a run like most of them, with what its looks showed."""

    result: Result
    run: Outcome


def usual_run(result: Result) -> int:
    """The number of a run that came to the usual verdict at the usual time."""
    mine = [(seconds, run) for run, (ending, seconds) in enumerate(result.ends) if ending is result.policy.verdict]
    return sorted(mine)[len(mine) // 2][1]


def picture(rows: Sequence[Row], heading: str) -> str:
    """The SVG document."""
    canvas = Canvas(WIDTH, HEAD + ROW * len(rows) + FOOT, heading)
    canvas.text((_LEFT - 30, 22), heading, size=14, bold=True)
    canvas.text((_LEFT, 46), "one run like most: weight (grey), evidence of each gate, verdict", size=11)
    canvas.text((_LEFT + _RUN_WIDTH + _GAP, 46), "share of the runs that had come to a verdict by then", size=11)
    for index, row in enumerate(rows):
        _draw(canvas, row, HEAD + ROW * index)
    return canvas.render()


def _draw(canvas: Canvas, row: Row, top: float) -> None:
    candidate, run = row.result.candidate, row.run
    canvas.text((_LEFT - 30, top + 12), candidate.name, size=12, bold=True)
    canvas.text((_LEFT + 56, top + 12), candidate.says, size=11)
    _run(Panel(canvas, _LEFT, top + 40, _RUN_WIDTH, _PANEL, _length(run)), run)
    _distribution(canvas, row.result, top + 40)


def _length(run: Outcome) -> float:
    looked = run.looks[-1].seconds if run.looks else 0.0
    return max(60.0, run.seconds, looked) * 1.02


def _run(panel: Panel, run: Outcome) -> None:
    """`evidence`: how far ln E has come on its way to ln(1/alpha); the gate fails at 100 %."""
    weights = _weights(run.looks)
    if weights:
        panel.filled_steps(weights, run.looks[-1].seconds, colour=WEIGHT)
    panel.axes()
    gates = list(dict.fromkeys(gate for look in run.looks for gate in look.evidence))
    x = panel.left
    for gate, colour in zip(gates, _cycled(len(gates)), strict=True):
        course = [(look.seconds, look.evidence[gate]) for look in run.looks if gate in look.evidence]
        panel.curve(course, colour=colour)
        panel.canvas.text((x, panel.top - 8), gate, colour=colour, bold=True)
        x += 9 * len(gate) + 12
    colour = _ENDINGS[run.ending]
    panel.upright(run.seconds, colour=colour)
    said = f"{_WORDS[run.ending]} after {_span(run.seconds)}"
    panel.canvas.text((panel.left + panel.width, panel.top - 8), said, anchor="end", colour=colour, bold=True)


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def _weights(looks: Sequence[Look]) -> list[Point]:
    points: list[Point] = []
    for look in looks:
        if not points or points[-1][1] != look.share:
            points.append((look.seconds, look.share))
    return points


def _cycled(count: int) -> list[str]:
    return [GATES[index % len(GATES)] for index in range(count)]


def _distribution(canvas: Canvas, result: Result, top: float) -> None:
    left = _LEFT + _RUN_WIDTH + _GAP
    longest = max(seconds for _, seconds in (*result.ends, *result.thumb_ends))
    panel = Panel(canvas, left, top, WIDTH - left - _RIGHT, _PANEL, max(60.0, longest) * 1.02)
    panel.axes()
    x = left
    for ending, colour in _ENDINGS.items():
        course = _cumulated(result.ends, ending)
        if course:
            panel.steps(course, colour=colour, width=2.2)
            canvas.text((x, top - 8), _WORDS[ending], colour=colour, bold=True)
            x += 8 * len(_WORDS[ending]) + 10
    by_rule = _cumulated(result.thumb_ends, Ending.ROLLED_BACK)
    if by_rule:
        panel.steps(by_rule, colour=RULE, dashed=True)
        canvas.text((WIDTH - _RIGHT, top - 8), "rolled back by the rule of thumb", anchor="end", colour=RULE)


def _cumulated(ends: Sequence[tuple[Ending, float]], ending: Ending) -> list[Point]:
    """The share of all runs that had ended so by each moment at which one did."""
    times = sorted(seconds for one, seconds in ends if one is ending)
    risen = {seconds: (index + 1) / len(ends) for index, seconds in enumerate(times)}
    return [(0.0, 0.0), *risen.items()] if times else []
