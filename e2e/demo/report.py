"""The table at the end of the demo: figures from the clients' answers, and the claims that they must bear out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate

from e2e.demo.answers import Answer, Broken, Kind

# So long after the route was written nobody may be answered any more by the version that was taken back.
LINGER_SECONDS = 2.0
SHOWN_LOSSES = 5


@dataclass(frozen=True)
class Moment:
    """Something that happened, in seconds of the epoch."""

    time: float
    what: str


@dataclass(frozen=True)
class Outcome:
    """How a rollout ended, from the history in status."""

    version: str
    outcome: str
    reason: str
    message: str


@dataclass(frozen=True)
class Route:
    """A write of the live Service: from now on only pods of this version are chosen, or of both (None)."""

    time: float
    version: str | None


@dataclass(frozen=True)
class Told:
    """All that the report is made of. The versions are the registry's numbers of the three models, in order."""

    titles: dict[str, str]
    moments: tuple[Moment, ...]
    outcomes: tuple[Outcome, ...]
    answers: tuple[Answer, ...]
    routes: tuple[Route, ...]
    broken: Broken
    rollback_asked: float
    rollback_done: float
    rolled_back_from: str
    rolled_back_to: str


@dataclass(frozen=True)
class Claim:
    name: str
    value: str
    holds: bool


@dataclass(frozen=True)
class ByVersion:
    served: int
    bad: int
    right: int

    @property
    def right_share(self) -> float:
        return self.right / self.served if self.served else 0.0


def by_version(answers: Iterable[Answer], broken: Broken, versions: Iterable[str]) -> dict[str, ByVersion]:
    counts = {version: [0, 0, 0] for version in versions}
    for answer in answers:
        kind = broken.kind_of(answer)
        if kind is Kind.BAD:
            counts[broken.version][1] += 1
        elif kind is Kind.SERVED and answer.version in counts:
            counts[answer.version][0] += 1
            counts[answer.version][2] += int(answer.right or 0)
    return {version: ByVersion(*count) for version, count in counts.items()}


def lost(answers: Iterable[Answer], broken: Broken) -> list[Answer]:
    return [answer for answer in answers if broken.kind_of(answer) is Kind.LOST]


def exposure_seconds(answers: Sequence[Answer], broken: Broken) -> float | None:
    """From the first bad answer to the end of the last answer by that version; None where there was no bad one."""
    bad = [answer.end for answer in answers if broken.kind_of(answer) is Kind.BAD]
    if not bad:
        return None
    return max(answer.end for answer in answers if broken.is_by(answer)) - min(bad)


def last_answer(answers: Iterable[Answer], version: str, broken: Broken) -> float | None:
    """The end of the last answer by a version, good or bad."""
    by_it = (
        each.end for each in answers if each.version == version or (version == broken.version and broken.is_by(each))
    )
    return max(by_it, default=None)


def written(routes: Iterable[Route], version: str, since: float) -> float | None:
    """When the live Service was first pinned to a version after `since`."""
    return next((route.time for route in routes if route.version == version and route.time >= since), None)


def _first(outcomes: Sequence[Outcome], version: str) -> Outcome | None:
    """How the version's release ended; a person may have gone back from it later. History has the newest first."""
    return next((each for each in reversed(outcomes) if each.version == version), None)


def claims(told: Told) -> tuple[Claim, ...]:
    """Each is shown with what was measured; one that does not hold makes the demo fail."""
    first, better, broken = told.titles
    losses = lost(told.answers, told.broken)
    counts = by_version(told.answers, told.broken, told.titles)
    exposure = exposure_seconds(told.answers, told.broken)
    promoted, rejected = _first(told.outcomes, better), _first(told.outcomes, broken)
    old, new = counts[first].right_share, counts[better].right_share
    return (
        Claim("requests lost", f"{len(losses)} of {len(told.answers):,}", not losses and bool(told.answers)),
        Claim(f"v{better} promoted", _told(promoted), promoted is not None and promoted.outcome == "Promoted"),
        Claim(f"v{better} right more often than v{first}", f"{new:.1%} against {old:.1%}", new > old),
        Claim(
            f"v{broken} taken back by itself",
            _told(rejected),
            rejected is not None and rejected.outcome == "RolledBack",
        ),
        Claim(f"bad answers served by v{broken}", _bad(counts[broken]), counts[broken].bad > 0),
        Claim("first bad answer to zero traffic", _seconds(exposure), exposure is not None),
        _linger(told, broken, written(told.routes, better, told.broken.since)),
        *_rollback(told),
    )


def _rollback(told: Told) -> tuple[Claim, ...]:
    """By one command: until it had ended, and until nobody was answered by the version that was left."""
    took = told.rollback_done - told.rollback_asked
    after = {each.version for each in told.answers if each.start > told.rollback_done + LINGER_SECONDS}
    return (
        Claim(f"rollback to v{told.rolled_back_to} by one command", _seconds(took), after == {told.rolled_back_to}),
        _linger(told, told.rolled_back_from, written(told.routes, told.rolled_back_to, told.rollback_asked)),
    )


def _linger(told: Told, version: str, route_written: float | None) -> Claim:
    """How long after the one write of the route a version still answered."""
    name = f"last answer by v{version} after the route's write"
    last = last_answer(told.answers, version, told.broken)
    if route_written is None or last is None:
        return Claim(name, "the route was never written" if route_written is None else "it never answered", holds=False)
    return Claim(name, _seconds(max(0.0, last - route_written)), last - route_written <= LINGER_SECONDS)


def _told(outcome: Outcome | None) -> str:
    return "no" if outcome is None else f"{outcome.outcome}: {outcome.reason}. {outcome.message}".rstrip(". ")


def _bad(count: ByVersion) -> str:
    total = count.served + count.bad
    return f"{count.bad} of its {total:,} ({count.bad / total:.1%})" if total else "none: it was never asked"


def _seconds(value: float | None) -> str:
    return "it never was" if value is None else f"{value:.1f} s"


def clock(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%H:%M:%S")


def render(told: Told) -> str:
    """The table as text."""
    return "\n".join([*_when(told.moments), "", *_requests(told), "", *_outcome(claims(told)), *_losses(told)])


def _when(moments: Sequence[Moment]) -> list[str]:
    """In the order in which it was seen. Some times in status are whole seconds, which may seem to run backwards."""
    times = list(accumulate((each.time for each in moments), max))
    return ["WHEN (UTC)"] + [
        f"  {clock(time)}  {time - times[0]:6.1f} s  {each.what}" for time, each in zip(times, moments, strict=True)
    ]


def _requests(told: Told) -> list[str]:
    lines = [f"  {'VERSION':<8} {'ANSWERS':>9} {'BAD':>6} {'RIGHT':>7}  MODEL"]
    for version, count in by_version(told.answers, told.broken, told.titles).items():
        right = f"{count.right_share:.1%}" if count.served else "-"
        lines.append(f"  v{version:<7} {count.served:>9,} {count.bad:>6,} {right:>7}  {told.titles[version]}")
    if told.answers:
        took = max(each.end for each in told.answers) - min(each.start for each in told.answers)
        kept = sum(each.connection == "kept" for each in told.answers) / len(told.answers)
        rate = len(told.answers) / took if took else 0.0
        lines.append(f"  {rate:.0f} requests a second for {took:.0f} s, {kept:.0%} of them on kept-alive connections")
    return ["REQUESTS", *lines]


def _outcome(found: Sequence[Claim]) -> list[str]:
    width = max(len(each.name) for each in found)
    return ["OUTCOME"] + [f"  {'ok ' if each.holds else 'NOT'}  {each.name:<{width}}  {each.value}" for each in found]


def _losses(told: Told) -> list[str]:
    losses = lost(told.answers, told.broken)
    shown = [
        f"  {clock(each.end)}  code {each.code}, {each.connection} connection, row {each.row}: {each.error}"
        for each in losses[:SHOWN_LOSSES]
    ]
    return ["", "LOST", *shown] if shown else []
