"""How long one decision takes: `plan` on snapshots of a real cluster, and the reading of such a snapshot."""

import gc
import time
from collections.abc import Callable
from datetime import UTC, datetime

from e2e.bench.figures import Figure
from e2e.bench.stage import BenchError, Setting, Stage, endless_half, policy, stage_alone, subject
from millgate.api.revision import ModelIdentity, revision_of
from millgate.api.spec import ModelDeploymentSpec, ModelSource
from millgate.api.status import Resolution, Status
from millgate.controller.observe import Observation, observe
from millgate.kube.api import MODEL_DEPLOYMENT
from millgate.rollout.core import plan
from millgate.rollout.snapshot import Target

NAME = "core"
CALLS, ROUNDS = 200, 10


async def core(setting: Setting) -> list[Figure]:
    """One call of `plan`, idle and in a step."""
    rounds = 3 if setting.quick else ROUNDS
    async with stage_alone() as here:
        await here.apply(subject(NAME, "1", policy(endless_half())))
        await here.promoted([NAME])
        idle = await _observed(here)
        await here.apply(subject(NAME, "2", policy(endless_half())))
        await here.in_step([NAME], "half")
        stepping = await _observed(here)
        readings = [await _reading_milliseconds(here) for _ in range(CALLS // 4)]
    return [
        Figure("core", "plan() of an idle ModelDeployment", "µs", _microseconds(idle, rounds)),
        Figure("core", "plan() in a step", "µs", _microseconds(stepping, rounds)),
        Figure("core", "observe() in a step: get, 4 lists, facts of pods", "ms", tuple(readings)),
    ]


def _microseconds(observation: Observation, rounds: int) -> tuple[float, ...]:
    now = datetime.now(UTC)
    return tuple(_timed(lambda: plan(observation.snapshot, now)) for _ in range(rounds))


def _timed(call: Callable[[], object]) -> float:
    """Microseconds a call, on average over many."""
    gc.collect()
    began = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - began) / CALLS * 1e6


async def _reading_milliseconds(here: Stage) -> float:
    began = time.perf_counter()
    await _observed(here)
    return (time.perf_counter() - began) * 1e3


async def _observed(here: Stage) -> Observation:
    cr = await here.api.get(MODEL_DEPLOYMENT, here.namespace, NAME)
    if cr is None:
        raise BenchError(f"{NAME} is gone")
    spec = ModelDeploymentSpec.model_validate(cr["spec"])
    resolution = Status.model_validate(cr["status"]).resolution
    identity = ModelIdentity(
        source=ModelSource.IMAGE, registry=spec.model.registry, name=NAME, version=spec.model.version or ""
    )
    revision = revision_of(identity, spec.server, "")
    known = Resolution(model=identity, key=resolution.key if resolution else "", hash=revision.hash)
    target = Target(revision=revision, resolution=known)
    return await observe(here.api, cr, target=target, verdicts=(), write_failure=None)
