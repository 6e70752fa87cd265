"""The table of `simulate`, and what has to be known to read it. Pure."""

from collections.abc import Sequence

from millgate.api.defaults import gates_of, steps_of
from millgate.api.spec import GateType, ModelDeploymentSpec
from millgate.cli.text import Style, columns, span
from millgate.simulate.cluster import is_played
from millgate.simulate.figures import Result, Tally
from millgate.simulate.play import Ending
from millgate.simulate.rule import RuleOfThumb
from millgate.simulate.thumb import pods_of
from millgate.simulate.traffic import Traffic

_HEAD = ("CANDIDATE", "PROMOTED", "ROLLED BACK", "HELD", "VERDICT AFTER", "BAD REQUESTS")
_THUMB_HEAD = ("RULE OF THUMB: ROLLED BACK", "AFTER", "BAD REQUESTS")


def table(results: Sequence[Result], rule: RuleOfThumb, style: Style) -> list[str]:
    """A row a candidate: the policy, and the rule of thumb beside it."""
    rows: list[tuple[str, ...]] = [(*_HEAD, *_THUMB_HEAD)]
    for result in results:
        policy = result.policy
        shares = (_percent(policy.shares[ending]) for ending in (Ending.PROMOTED, Ending.ROLLED_BACK, Ending.HELD))
        rows.append(
            (
                result.candidate.name,
                *shares,
                _times(policy),
                _count(policy.bad_requests),
                _percent(result.thumb.shares[Ending.ROLLED_BACK]),
                _times(result.thumb) if result.thumb.verdict is Ending.ROLLED_BACK else "-",
                _count(result.thumb.bad_requests),
            )
        )
    head, *lines = columns(rows)
    return [
        style.paint(head, "bold"),
        *lines,
        "",
        "VERDICT AFTER: half of the runs by the first time, nine in ten by the second, from the first request on.",
        "BAD REQUESTS: how many more failed than on stable; of 'slow' above stable's p99, of 'shifted' all answers.",
        _rule_line(rule),
    ]


def assumptions(spec: ModelDeploymentSpec, traffic: Traffic) -> list[str]:
    """What was played, and where it differs from what a reader of the spec may expect."""
    said = ["", _traffic_line(traffic)]
    for step in steps_of(spec.rollout):
        pods, total = pods_of(spec, step)
        share = round(100 * pods / total)
        if 0 < step.weight_percent < 100 and abs(share - step.weight_percent) > 1:
            text = f"{pods} of {total} pods are the candidate's"
            said.append(f"Step {step.name} gives {share} % where {step.weight_percent} % is asked for: {text}.")
    gates = {gate.name: gate for step in steps_of(spec.rollout) for gate in gates_of(spec.rollout, step)}
    passed = [name for name, gate in gates.items() if gate.type is not GateType.APPROVAL and not is_played(gate)]
    given = [name for name, gate in gates.items() if gate.type is GateType.APPROVAL]
    if passed:
        said.append(f"Taken to pass, since nothing is known of their answers: {', '.join(passed)}.")
    if given:
        said.append(f"Approved at once: {', '.join(given)}.")
    return said


def _rule_line(rule: RuleOfThumb) -> str:
    failed = f"more than {_percent(rule.max_error_rate)} of the candidate's answers failed"
    return f"RULE OF THUMB: one check a minute; taken back at the {_ordinal(rule.failed_checks)} that finds {failed}."


def _traffic_line(traffic: Traffic) -> str:
    latency = f"a median latency of {1000 * traffic.latency_median_seconds:g} ms"
    return f"Played with {traffic.requests_per_second:g} requests/s, {_percent(traffic.error_rate)} errors, {latency}."


def _times(tally: Tally) -> str:
    if tally.median_seconds is None or tally.p90_seconds is None:
        return "-"
    return f"{_span(tally.median_seconds)} / {_span(tally.p90_seconds)}"


def _span(seconds: float) -> str:
    return span(round(seconds)) if seconds >= 10 else f"{round(seconds)}s"


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.3g} %" if percent < 99.95 or percent == 100 else f"{percent:.2f} %"


def _count(number: float) -> str:
    return f"{number:,.1f}" if number < 100 else f"{number:,.0f}"


def _ordinal(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
