"""The rows of the table of safe defaults (facts/gates.md 7.3): what pods count, and what must be said of it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from millgate.api.spec import Gate
from millgate.api.status import GateStatus
from millgate.evidence.reader import EvidenceReader
from millgate.evidence.reading import Metrics
from tests.controlplane.prometheus_process import PrometheusProcess
from tests.controlplane.rollout_story import (
    CANDIDATE,
    INTERVAL_SECONDS,
    SCRAPE_SECONDS,
    STABLE,
    Behaviour,
    Story,
    Written,
    errors_gate,
)

Pods = dict[str, tuple[str, Behaviour]]
Change = Callable[[Story, list[Written]], list[Written]]
STEPS = (("canary-10", 10, -0.5),)
TWO_STEPS = (("canary-10", 10, -0.5), ("half", 50, 103.0))
OLDER = "r00000old0"


def reader(metrics: Metrics) -> EvidenceReader:
    return EvidenceReader(metrics, scrape_interval_seconds=SCRAPE_SECONDS)


def stable(share: float = 0.01, **more: object) -> tuple[str, Behaviour]:
    return STABLE, Behaviour(50, lambda _: share, **more)


def candidate(share: float = 0.01, per_second: float = 10, **more: object) -> tuple[str, Behaviour]:
    return CANDIDATE, Behaviour(per_second, lambda _: share, **{"from_second": -20, **more})


def as_it_is(_: Story, written: list[Written]) -> list[Written]:
    return written


def without(metric: str, pod: str) -> Change:
    """The pod exports no such series."""

    def change(_: Story, written: list[Written]) -> list[Written]:
        return [one for one in written if not (one[0]["__name__"] == metric and one[0]["pod"] == pod)]

    return change


def reset_at(second: float, pod: str) -> Change:
    """The container restarts: all of its counters begin again at zero."""

    def change(story: Story, written: list[Written]) -> list[Written]:
        return [
            (labels, _begun_again(samples, story.anchor + second) if labels["pod"] == pod else samples)
            for labels, samples in written
        ]

    return change


def _begun_again(samples: list[tuple[float, float]], moment: float) -> list[tuple[float, float]]:
    lost = next(value for time, value in samples if time >= moment)
    return [(time, value - lost if time >= moment else value) for time, value in samples]


def grown_by(amount: float, pod: str) -> Change:
    """The pod has counted so much before it is seen for the first time."""

    def change(_: Story, written: list[Written]) -> list[Written]:
        return [
            (labels, [(time, value + amount) for time, value in samples] if labels["pod"] == pod else samples)
            for labels, samples in written
        ]

    return change


@dataclass(frozen=True)
class Row:
    """A row of the table: what the pods count, and what is said of it."""

    situation: str
    pods: Pods
    expected: tuple[str, str]
    words: str
    change: Change = as_it_is
    gate: Gate = field(default_factory=errors_gate)
    steps: tuple[tuple[str, int, float], ...] = STEPS
    seconds: float = 301.5
    samples: tuple[float, float] | None = None


async def verdict_of(server: PrometheusProcess, metrics: Metrics, row: Row) -> GateStatus:
    """What is said of it, live, tick by tick, and by a process that knows nothing of what was before: the same."""
    story = Story(gates=(row.gate,), steps=row.steps)
    written = row.change(story, story.counters(row.pods))
    if written:
        server.write(written)
    live = reader(metrics)
    seconds = [*range(11, int(row.seconds), INTERVAL_SECONDS), row.seconds]
    for second in seconds:
        (alive,) = await live.judge(story.request(second), story.at(second))
    (fresh,) = await reader(metrics).judge(story.request(row.seconds), story.at(row.seconds))
    assert fresh == alive
    return fresh
