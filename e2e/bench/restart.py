"""What a killed operator costs: the real length of a step in which it dies and is started again."""

import asyncio
import time
from datetime import datetime

from e2e.bench.figures import Figure
from e2e.bench.stage import ENDLESS_SECONDS, BenchError, Setting, Stage, policy, stage_alone, subject
from e2e.cluster.progress import phase

STEP_SECONDS, KILLED_AFTER_SECONDS, AWAY_SECONDS = 20, 8.0, 5.0
ROLLOUTS = 5
PEERS = "Argo Rollouts 31.2 s (30.6 to 31.4), 19.99 s without election; Flagger 23.97 s (23.95 to 24.05)"


async def restart(setting: Setting) -> list[Figure]:
    """A step of 20 s in which the operator is killed after 8 s and started again 5 s later, leader election on."""
    samples: list[float] = []
    async with stage_alone() as here:
        for version in range(2, 3 if setting.quick else 4):
            with phase("a step with a kill in it"):
                samples += await _steps_with_a_kill(here, version)
    what = f"a step of {STEP_SECONDS} s with a kill -9 and a restart in it"
    return [Figure("restart", what, "s", tuple(samples), at_least=19.0, at_most=21.0, peers=PEERS)]


async def _steps_with_a_kill(here: Stage, version: int) -> list[float]:
    names = [f"kill-{number}" for number in range(ROLLOUTS)]
    timed = {"name": "timed", "weightPercent": 25, "minSeconds": STEP_SECONDS}
    after = {"name": "after", "weightPercent": 50, "minSeconds": ENDLESS_SECONDS}
    steps = policy(timed, after)
    if version == 2:
        await here.apply_all([subject(name, "1", steps, replicas=4) for name in names])
        await here.promoted(names)
    await here.apply_all([subject(name, str(version), steps, replicas=4) for name in names])
    await here.in_step(names, "timed")
    began = max(_begun(here, name, "timed") for name in names)
    await asyncio.sleep(began + KILLED_AFTER_SECONDS - time.time())
    here.operator.kill()
    await asyncio.sleep(AWAY_SECONDS)
    here.operator.start()
    await here.in_step(names, "after")
    return [_begun(here, name, "after") - _begun(here, name, "timed") for name in names]


def _begun(here: Stage, name: str, step: str) -> float:
    """When the step began, as the status says: that is what opens the route."""
    status = here.status(name)
    found = [entry for entry in status["rollout"]["steps"] if entry["name"] == step]
    if not found:
        raise BenchError(f"{name} has never been in {step}")
    return datetime.fromisoformat(found[0]["startTime"]).timestamp()
