"""What a metrics outage does to a healthy candidate: nothing, and the rollout goes on by itself afterwards."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime

from e2e.bench.figures import Figure
from e2e.bench.metrics import Metrics, Mode
from e2e.bench.stage import (
    ENDLESS_SECONDS,
    Setting,
    Stage,
    badness_gate,
    policy,
    stage,
    step_in_hand,
    subject,
    watched_by,
)
from e2e.cluster.controlplane import ControlPlane
from e2e.cluster.progress import phase
from tests.controlplane.plane import control_plane

STEP_SECONDS, FAULT_AFTER_SECONDS = 10, 4.0
NAME = "healthy"
Fault = Callable[[Metrics], Awaitable[None]]


async def _away(metrics: Metrics) -> None:
    await metrics.refuse()


def _answering(mode: Mode) -> Fault:
    async def begin(metrics: Metrics) -> None:
        metrics.behave(mode)

    return begin


FAULTS: dict[str, tuple[Fault, str]] = {
    "away": (_away, "Argo Rollouts aborts at 40.7 s; Flagger rolls back at 18.0 s"),
    "empty": (_answering(Mode.EMPTY), "Argo Rollouts aborts at 40.7 s; Flagger rolls back at 18.0 s"),
    "NaN": (_answering(Mode.NAN), "Argo Rollouts aborts at 0.41 s or passes; Flagger rolls back at 18.0 s"),
    "hanging": (_answering(Mode.HANGS), "Argo Rollouts passes the step; Flagger rolls back at 18.0 s"),
}


async def outage(setting: Setting) -> list[Figure]:
    """Prometheus away, empty, NaN or hanging for 60 s beside a healthy candidate."""
    seconds = 20 if setting.quick else 60
    with control_plane(audit=True) as plane, phase(f"four operators, four faults of {seconds} s each"):
        return await asyncio.gather(*(_with_fault(plane, name, seconds) for name in FAULTS))


async def _with_fault(plane: ControlPlane, kind: str, seconds: int) -> Figure:
    begin, peers = FAULTS[kind]
    async with Metrics() as metrics, stage(plane, **watched_by(metrics)) as here:
        await _bring_into_step(here)
        await asyncio.sleep(FAULT_AFTER_SECONDS)
        await begin(metrics)
        await asyncio.sleep(seconds)
        broken = _broken(here)
        ended = time.time()
        metrics.behave(Mode.ANSWERS)
        if kind == "away":
            await metrics.listen()
        await here.in_step([NAME], "after")
        steps = here.status(NAME)["rollout"]["steps"]
        took = datetime.fromisoformat(steps[-1]["startTime"]).timestamp() - ended
    what = f"Prometheus {kind} for {seconds} s: its end to the next step"
    note = "no step passed, none rolled back meanwhile" if not broken else ""
    return Figure("outage", what, "s", (took,), at_most=15.0, peers=peers, note=note, broken=broken)


async def _bring_into_step(here: Stage) -> None:
    gate = badness_gate(NAME, here.namespace)
    judged = {"name": "judged", "weightPercent": 25, "minSeconds": STEP_SECONDS, "gates": [gate]}
    after = {"name": "after", "weightPercent": 50, "minSeconds": ENDLESS_SECONDS}
    steps = policy(judged, after, intervalSeconds=1)
    await here.apply(subject(NAME, "1", steps, replicas=4))
    await here.promoted([NAME])
    await here.apply(subject(NAME, "2", steps, replicas=4))
    await here.in_step([NAME], "judged")


def _broken(here: Stage) -> tuple[str, ...]:
    """Which promises did not hold while nothing was known."""
    status = here.status(NAME)
    found = []
    if step_in_hand(status) != "judged":
        found.append(f"the step was left for {step_in_hand(status) or 'none'}")
    if status.get("rejected"):
        found.append("the candidate was rejected")
    if status["rollout"]["stage"] != "Stepping":
        found.append(f"the rollout is {status['rollout']['stage']}")
    if not any(gate["verdict"] == "Inconclusive" for gate in status.get("gates", ())):
        found.append("the gate does not say that it cannot tell")
    return tuple(found)
