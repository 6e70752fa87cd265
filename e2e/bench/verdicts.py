"""How fast a bad candidate is taken back: from the first bad answer of the metrics store to the route at stable."""

import asyncio
from collections.abc import Sequence

from e2e.bench.figures import Figure, Statistic
from e2e.bench.metrics import Metrics
from e2e.bench.stage import Setting, Stage, badness_gate, endless_half, policy, stage_alone, subject, watched_by
from e2e.cluster.progress import phase

AT_ONCE = 10
IN_FLIGHT = 100
PEERS = "Argo Rollouts 0.08 s (0.05 to 0.19); Flagger 10.02 s (9.96 to 10.06)"
SEVERAL_PEERS = "Argo Rollouts 0.40 s"


async def verdict(setting: Setting) -> list[Figure]:
    """First bad answer of Prometheus to route at stable, read every second."""
    one_by_one = [f"one-{number}" for number in range(3 if setting.quick else 10)]
    together = [f"many-{number}" for number in range(AT_ONCE)]
    async with Metrics() as metrics, stage_alone(**watched_by(metrics)) as here:
        with phase("one bad candidate after the other"):
            alone: tuple[float, ...] = ()
            for name in one_by_one:
                await _bring_into_step(here, [name], interval_seconds=1)
                alone += await _turned_bad(here, metrics, [name])
        with phase("ten bad candidates at once"):
            await _bring_into_step(here, together, interval_seconds=1)
            crowd = await _turned_bad(here, metrics, together)
    return [
        Figure("verdict", "first bad answer to route at stable", "s", alone, at_most=0.08, peers=PEERS),
        Figure("verdict", "the same, ten at once", "s", crowd, at_most=0.2, peers=SEVERAL_PEERS),
    ]


async def flight(setting: Setting) -> list[Figure]:
    """Verdict known to route at stable with 100 rollouts in flight, read every 15 seconds."""
    names = [f"flight-{number}" for number in range(IN_FLIGHT)]
    count = 10 if setting.quick else 20
    alone: tuple[float, ...] = ()
    async with Metrics() as metrics, stage_alone(**watched_by(metrics)) as here:
        with phase(f"bring {IN_FLIGHT} rollouts into a step"):
            await _bring_into_step(here, names, interval_seconds=15)
        with phase(f"{count} of them turn bad, one after the other"):
            for name in names[:count]:
                alone += await _turned_bad(here, metrics, [name])
        with phase("all of the others turn bad at once"):
            crowd = await _turned_bad(here, metrics, names[count:])
    return [
        Figure("flight", f"the same with {IN_FLIGHT} in flight", "s", alone, at_most=0.25, statistic=Statistic.P99),
        Figure("flight", f"all {len(crowd)} in flight turn bad at once", "s", crowd),
    ]


async def _bring_into_step(here: Stage, names: Sequence[str], *, interval_seconds: int) -> None:
    def judged(name: str, number: int) -> dict[str, object]:
        half = endless_half(badness_gate(name, here.namespace))
        return subject(name, str(number), policy(half, intervalSeconds=interval_seconds))

    await here.apply_all([judged(name, 1) for name in names])
    await here.promoted(names)
    await here.apply_all([judged(name, 2) for name in names])
    await here.in_step(names, "half")
    await here.until(
        lambda: all(_passes(here, name) for name in names),
        "the gate of each passed once",
        seconds=60.0 + interval_seconds,
    )


def _passes(here: Stage, name: str) -> bool:
    return any(gate["verdict"] == "Pass" for gate in here.status(name).get("gates", ()))


async def _turned_bad(here: Stage, metrics: Metrics, names: Sequence[str]) -> tuple[float, ...]:
    metrics.turns_bad(*names)

    async def one(name: str) -> float:
        await here.until(lambda: name in metrics.first_bad, f"{name} was asked about", seconds=60)
        return await here.moment_back(name, metrics.first_bad[name]) - metrics.first_bad[name]

    return tuple(await asyncio.gather(*(one(name) for name in names)))
