"""The course of a rollout's gates as a page and as JSON. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from millgate.api.status import rfc3339_seconds
from millgate.cli.checks import WORDS
from millgate.cli.explain_plot import plot
from millgate.cli.explain_replay import GateCourse, Look, Past, Side
from millgate.cli.text import Style, columns, thousands
from millgate.cli.view import View, version_name

MAX_ROWS = 40
_LABEL_WIDTH = 12
_COMPARED = ("TIME", "STEP", "WEIGHT", "CANDIDATE", "REFERENCE", "EVIDENCE", "VERDICT")
_ASKED = ("TIME", "STEP", "WEIGHT", "VALUE", "LIMIT", "VERDICT")


def page(view: View, past: Past, courses: Sequence[GateCourse], style: Style, *, with_plot: bool) -> str:
    """All gates in one line each, and the whole course of the one that was asked for, or that decided."""
    lines = [style.paint(f"{view.namespace}/{view.name}", "bold") + f"   {_story(past)}"]
    if past.policy_changed:
        lines += _labelled(
            "Note", ["`spec.rollout` has changed since: this is what it would say now, of the same data"]
        )
    shown = courses if len(courses) == 1 else [one for one in courses if one.verdict.verdict.value == "Fail"]
    if len(courses) > 1:
        lines += _labelled("Gates", columns([("NAME", "VERDICT", "REASON"), *(_summary(one) for one in courses)]))
    for course in shown:
        lines += ["", *_of_gate(course, past, style, with_plot=with_plot)]
    return style.finish("\n".join(lines))


def as_json(view: View, past: Past, courses: Sequence[GateCourse]) -> dict[str, Any]:
    return {
        "namespace": view.namespace,
        "name": view.name,
        "revision": past.revision,
        "modelVersion": past.model_version,
        "outcome": past.outcome,
        "policyChanged": past.policy_changed,
        "gates": [
            {
                "name": course.name,
                "verdict": course.verdict.to_json(),
                "operatorSaid": course.said,
                "sameAsOperator": course.same,
                "looks": [_look_as_json(look) for look in course.looks],
            }
            for course in courses
        ],
    }


def _look_as_json(look: Look) -> dict[str, Any]:
    status = look.status.to_json()
    shown: dict[str, Any] = {
        "time": rfc3339_seconds(look.at),
        "step": look.step,
        "weightPercent": look.weight_percent,
    }
    for name, side in (("candidate", look.candidate), ("stable", look.stable)):
        if side is not None:
            shown[name] = {"requests": side.requests, "events": side.events}
    wanted = ("value", "reference", "evidence", "verdict", "reason")
    return shown | {key: status[key] for key in wanted if key in status}


def _story(past: Past) -> str:
    return f"rollout {past.revision}, {version_name(past.model_version)}   {past.outcome}"


def _summary(course: GateCourse) -> tuple[str, ...]:
    verdict = course.verdict
    return (course.name, WORDS[verdict.verdict][0], f"{verdict.reason}: {verdict.message}".rstrip(": "))


def _of_gate(course: GateCourse, past: Past, style: Style, *, with_plot: bool) -> list[str]:
    looks = _joined(course.looks)
    compared = any(look.status.evidence is not None for look in looks)
    rows = [_row(look, compared=compared) for look in looks]
    verdict, word = course.verdict, WORDS[course.verdict.verdict]
    first, day = _clock(course.looks[0].at), _day(course)
    lines = _labelled("Gate", [f"{course.name}: {len(course.looks)} looks, {first} to {day}"])
    if with_plot:
        lines += plot(course.looks, style)
    lines += columns([_COMPARED if compared else _ASKED, *rows])
    said = f"{style.paint(*word)}   {verdict.reason}: {verdict.message}".rstrip(": ")
    return [*lines, *_labelled("Verdict", [said]), *_labelled("Operator", _operator(course, past))]


def _operator(course: GateCourse, past: Past) -> list[str]:
    if course.said is None:
        return ["said nothing of this gate that status still has"]
    if course.same:
        return ["said the same"]
    if past.policy_changed:
        return [f"said: {course.said}"]
    hint = "the same is reached only while Prometheus has all of the data, and with the operator's --scrape-interval"
    return [f"said: {course.said}", hint]


def _row(look: Look, *, compared: bool) -> tuple[str, ...]:
    status = look.status
    where = (_clock(look.at), look.step, f"{look.weight_percent}%")
    verdict = f"{WORDS[status.verdict][0]}   {status.reason}"
    if compared:
        return (*where, _side(look.candidate), _side(look.stable), status.evidence or "-", verdict)
    return (*where, status.value or "-", status.limit or "-", verdict)


def _joined(looks: Sequence[Look]) -> list[Look]:
    """So few rows that a person can read them: neighbours of one step become one row, with the later verdict."""
    width = -(-len(looks) // MAX_ROWS)
    rows: list[Look] = []
    for index, look in enumerate(looks):
        if rows and index % width and rows[-1].step == look.step:
            before = rows.pop()
            mine, theirs = _sum(before.candidate, look.candidate), _sum(before.stable, look.stable)
            rows.append(replace(look, candidate=mine, stable=theirs))
        else:
            rows.append(look)
    return rows


def _sum(one: Side | None, other: Side | None) -> Side | None:
    if one is None or other is None:
        return one or other
    events = None if one.events is None or other.events is None else one.events + other.events
    return Side(one.requests + other.requests, events)


def _side(side: Side | None) -> str:
    if side is None:
        return "-"
    requests = thousands(round(side.requests))
    return requests if side.events is None else f"{side.events:,.6g} of {requests}"


def _labelled(label: str, body: Sequence[str]) -> list[str]:
    heads = [label, *[""] * (len(body) - 1)]
    return [f"{head:<{_LABEL_WIDTH}}{line}".rstrip() for head, line in zip(heads, body, strict=True)]


def _clock(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%H:%M:%S")


def _day(course: GateCourse) -> str:
    return course.looks[-1].at.astimezone(UTC).strftime("%H:%M:%S UTC on %Y-%m-%d")
