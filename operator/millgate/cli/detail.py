"""One ModelDeployment in full: where its traffic goes, what is judged, and why something was taken back. Pure."""

from datetime import datetime

from millgate.api.conditions import ConditionType
from millgate.api.status import Condition, Outcome, Rejected, Stage, Track
from millgate.cli.checks import checks
from millgate.cli.outlook import after_a_rollback, git_says, upcoming, way_back
from millgate.cli.page import Page
from millgate.cli.text import Style, bar, relative, utc
from millgate.cli.view import View, version_name, version_of

_LABEL_WIDTH = 12
# For these, True is the news; for the others, anything but True is.
_ABNORMAL = {ConditionType.RECONCILING, ConditionType.STALLED, ConditionType.PAUSED, ConditionType.ROLLED_BACK}


def detail(view: View, now: datetime, style: Style, flags: str = "") -> str:
    page = Page(view, now, style, flags)
    sections = (
        ("Message", _message(page)),
        ("Traffic", _traffic(page)),
        ("Why", _why(page)),
        ("Git", git_says(page)),
        ("Next", upcoming(page)),
        ("Checks", checks(view, now, style)),
        ("Pods", _pods(view)),
        ("Conditions", [_conditions(page)]),
        ("Request", _request(page)),
        ("Now", after_a_rollback(page)),
        ("Undo", way_back(page)),
    )
    lines = [_head(page)]
    for label, body in sections:
        heads = [label, *[""] * (len(body) - 1)]
        lines += [f"{head:<{_LABEL_WIDTH}}{line}".rstrip() for head, line in zip(heads, body, strict=False)]
    return style.finish("\n".join(lines))


def _head(page: Page) -> str:
    view, style = page.view, page.style
    sign = style.paint("◌", "yellow")
    if view.holds(ConditionType.READY):
        sign = style.paint("✔", "green")
    elif view.holds(ConditionType.STALLED):
        sign = style.paint("✖", "red")
    elif view.holds(ConditionType.PAUSED):
        sign = style.paint("⏸", "yellow")
    return f"{style.paint(f'{view.namespace}/{view.name}', 'bold')}   {sign} {view.word}   {_story(page)}"


def _story(page: Page) -> str:
    view, status = page.view, page.view.status
    rollout, stable = view.in_flight, status.stable
    if rollout is not None and rollout.stage is Stage.ROLLING_BACK:
        since = utc(rollout.stage_start_time, page.now)
        return f"{version_of(status.candidate)} → {version_of(stable)}   going back since {since}"
    if rollout is not None:
        first = f"{version_of(stable)} → " if stable else "first version "
        step = f"   step {rollout.step_display}" if rollout.step_display else ""
        return f"{first}{version_of(status.candidate)}{step}   started {relative(rollout.start_time, page.now)}"
    if stable is None:
        return "no version serves yet"
    taken_back = view.taken_back
    if taken_back is not None:
        return f"serving {version_of(stable)}; {version_name(taken_back.model_version)} was taken back"
    return f"serving {version_of(stable)}"


def _message(page: Page) -> list[str]:
    """What Ready says, and what any other condition says that speaks of trouble, each sentence once."""
    view = page.view
    if _why(page):
        return []
    spoken: list[str] = []
    for type_ in (
        ConditionType.READY,
        ConditionType.ACCEPTED,
        ConditionType.AVAILABLE,
        ConditionType.TRAFFIC_PROGRAMMED,
    ):
        condition = view.condition(type_)
        if condition is None or not condition.message or condition.message in " ".join(spoken):
            continue
        if type_ is ConditionType.READY:
            spoken.append(condition.message)
        elif condition.status == "False":
            spoken.append(f"{condition.reason}: {condition.message}")
    return [line for text in spoken for line in text.splitlines()]


def _traffic(page: Page) -> list[str]:
    status = page.view.status
    parts = [
        f"{role} {version_of(track)}  {bar(track.observed_weight_percent)} {track.observed_weight_percent}%"
        for role, track in (("stable", status.stable), ("candidate", status.candidate))
        if track is not None and track.observed_weight_percent is not None
    ]
    if not parts:
        return []
    note = _wanted(page)
    return ["   ".join([*parts, note] if note else parts)]


def _wanted(page: Page) -> str:
    candidate = page.view.status.candidate
    programmed = page.view.condition(ConditionType.TRAFFIC_PROGRAMMED)
    words = []
    if candidate is not None and candidate.desired_weight_percent is not None:
        words.append(f"desired {candidate.desired_weight_percent}%")
    if programmed is not None and candidate is not None:
        words.append(f"programmed {_sign(programmed, page.style)}")
    return f"({', '.join(words)})" if words else ""


def _why(page: Page) -> list[str]:
    """Why a version is being taken back, or why what `spec` asks for stays out."""
    rollout, taken_back = page.view.in_flight, page.view.taken_back
    if rollout is not None and rollout.stage is Stage.ROLLING_BACK and rollout.reason:
        return [f"{utc(rollout.stage_start_time, page.now)}  {rollout.reason}: {rollout.message or ''}".rstrip(": ")]
    if rollout is not None or taken_back is None:
        return []
    why = f"{relative(taken_back.time, page.now)}  {taken_back.reason}: {taken_back.message}".rstrip(": ")
    return [page.style.paint(why, "red"), *_how_long(page, taken_back)]


def _how_long(page: Page, taken_back: Rejected) -> list[str]:
    """When its rollout ran. A version that was taken back after its promotion had none of its own."""
    for entry in page.view.status.history:
        if (
            entry.end_time > entry.start_time
            and entry.hash == taken_back.hash
            and entry.outcome in {Outcome.ROLLED_BACK, Outcome.ABORTED}
        ):
            began = utc(entry.start_time, page.now)
            return [f"its rollout began {began} and ended {utc(entry.end_time, page.now)}"]
    return []


def _pods(view: View) -> list[str]:
    status = view.status
    tracks = [track for track in (status.stable, status.candidate, status.previous) if track is not None]
    return [" · ".join(f"{version_of(track)} {_ready(view, track)} ready" for track in tracks)] if tracks else []


def _ready(view: View, track: Track) -> str:
    wanted = view.spec.replicas if view.spec else None
    return f"{track.ready_replicas}/{wanted}" if wanted and track == view.status.stable else str(track.ready_replicas)


def _conditions(page: Page) -> str:
    """What should hold, and of what should not hold only what does. Ready stands in the first line already."""
    known = [condition for type_ in ConditionType if (condition := page.view.condition(type_))]
    shown = [c for c in known if c.type != ConditionType.READY and (c.type not in _ABNORMAL or c.status == "True")]
    if not shown:
        return "none yet: the operator has not looked at this object"
    return "  ".join(f"{condition.type} {_sign(condition, page.style)}" for condition in shown)


def _sign(condition: Condition, style: Style) -> str:
    if condition.status == "Unknown":
        return "?"
    if condition.type in _ABNORMAL:
        return style.paint("yes", "yellow") if condition.status == "True" else "-"
    return style.paint("✔", "green") if condition.status == "True" else style.paint("✖", "red")


def _request(page: Page) -> list[str]:
    """The last answer, or the question that still waits for one."""
    last, asked = page.view.status.last_request, page.view.asked
    if asked is not None and (last is None or last.id != asked):
        return [f"{asked} is not answered yet"]
    if last is None:
        return []
    return [f"{last.action} {last.result.value.lower()} {relative(last.time, page.now)}: {last.message}".rstrip(": ")]
