"""Evidence survives: an operator that is killed again and again comes to the same verdict, at most a look later."""

import random

import pytest

from millgate.api.status import Verdict
from tests.controlplane.custom_story import NEW_POD, OLD_POD, answers, scraped
from tests.controlplane.evidence_case import Counting, gate, reader
from tests.controlplane.prometheus_process import PrometheusProcess
from tests.controlplane.rollout_story import (
    CANDIDATE,
    INTERVAL_SECONDS,
    STABLE,
    Behaviour,
    Story,
    errors_gate,
)

KILLED_EVERY_SECONDS = 20


async def first_failures(
    metrics: Counting, story: Story, looks: list[float], killed_after: list[float]
) -> dict[str, tuple[float, str]]:
    """When each gate failed first (seconds after the anchor), and what it said. A killed operator knows nothing."""
    alive, failures, deaths = reader(metrics), dict[str, tuple[float, str]](), list(killed_after)
    for now in looks:
        while deaths and deaths[0] <= now:
            alive, deaths = reader(metrics), deaths[1:]
        for status in await alive.judge(story.request(now), story.at(now)):
            if status.verdict is Verdict.FAIL and status.name not in failures:
                failures[status.name] = (now, status.message)
    return failures


@pytest.mark.parametrize("seed", range(3))
async def test_killed_every_twenty_seconds_it_fails_the_same_gates_at_most_one_interval_later(
    prometheus: PrometheusProcess, metrics: Counting, seed: int
) -> None:
    gates = (
        errors_gate(warmupSeconds=30),
        gate("predictions", preset="Predictions"),
        gate("latency", preset="Latency"),
    )
    story = Story(gates=gates, steps=(("canary-10", 10, -0.5), ("half", 50, 123.0)))
    pods = {
        OLD_POD: (STABLE, Behaviour(90, lambda _: 0.01, 0.01)),
        NEW_POD: (CANDIDATE, Behaviour(10, lambda second: 0.1 if second > 140 else 0.01, 0.01, from_second=-60)),
    }
    prometheus.write(story.counters(pods))
    prometheus.write([*scraped(story, OLD_POD, *answers(STABLE, 90))])
    shift = answers(CANDIDATE, 10, lambda second: 0.9 if second > 140 else 0.0)
    prometheus.write([*scraped(story, NEW_POD, *shift, from_second=-60)])
    on_time = [tick * INTERVAL_SECONDS + 1.5 for tick in range(1, 41)]
    unbroken = await first_failures(metrics, story, on_time, [])
    # Each death costs the time until the next process looks: up to an interval.
    dice = random.Random(seed)
    deaths = [float(second) for second in range(KILLED_EVERY_SECONDS, 400, KILLED_EVERY_SECONDS)]
    broken = [
        now + (dice.uniform(0, INTERVAL_SECONDS) if any(now - 10 < d <= now for d in deaths) else 0.0)
        for now in on_time
    ]
    interrupted = await first_failures(metrics, story, broken, deaths)
    assert unbroken.keys() == {"errors", "predictions"}
    assert interrupted.keys() == unbroken.keys()
    for name, (failed_at, said) in unbroken.items():
        assert interrupted[name][1] == said
        assert 0 <= interrupted[name][0] - failed_at <= INTERVAL_SECONDS
