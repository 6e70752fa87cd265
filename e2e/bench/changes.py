"""How fast a person is heeded: from a changed spec to the candidate's pod, from an abort to the route."""

import asyncio
import time
from collections.abc import Sequence

from e2e.bench.figures import Figure
from e2e.bench.stage import Setting, Stage, endless_half, policy, stage_alone, subject
from e2e.cluster.progress import phase
from millgate.api.names import LABEL_HASH

AT_ONCE = 10
PODS_PEERS = "Argo Rollouts 0.12 s (0.11 to 0.17); Flagger 5.6 s (1.4 to 9.8)"
ABORT_PEERS = "Argo Rollouts 0.025 s (0.016 to 0.063); Flagger has no verb, webhook 5.6 s"


async def pod(setting: Setting) -> list[Figure]:
    """Spec change to the candidate's pod."""
    names = _names("pod", 3 if setting.quick else 10)
    async with stage_alone() as here:
        with phase("promote the first versions"):
            await _release_first(here, names)
        with phase("change one spec after the other"):
            times = [await _to_pod(here, name) for name in names]
    deployments, pods = zip(*times, strict=True)
    return [
        Figure("pod", "spec change to candidate's Deployment", "s", deployments),
        Figure("pod", "spec change to candidate's pod", "s", pods, at_most=0.12, peers=PODS_PEERS),
    ]


async def _to_pod(here: Stage, name: str) -> tuple[float, float]:
    known = here.stable_hash(name)
    asked = time.time()
    await here.apply(subject(name, "2", policy(endless_half())))
    await here.in_step([name], "half")
    found = []
    for kind in ("Deployment", "Pod"):
        moment = here.first(
            lambda one, kind=kind: (
                one.kind == kind  # type: ignore[misc]
                and one.name.startswith(f"{name}-")
                and one.obj["metadata"]["labels"].get(LABEL_HASH) not in (None, known)
            ),
            asked,
        )
        found.append(moment - asked)
    return found[0], found[1]


async def abort(setting: Setting) -> list[Figure]:
    """Abort asked to route at stable."""
    one_by_one, together = _names("one", 3 if setting.quick else 10), _names("many", AT_ONCE)
    async with stage_alone() as here:
        with phase("bring rollouts into a step"):
            await _release_first(here, [*one_by_one, *together])
            await here.apply_all([subject(name, "2", policy(endless_half())) for name in (*one_by_one, *together)])
            await here.in_step([*one_by_one, *together], "half")
        with phase("abort one after the other"):
            alone = []
            for name in one_by_one:
                alone.append(await _to_stable(here, name))
                await asyncio.sleep(0.5)  # what the abort brings with it is over
        with phase("abort ten at once"):
            crowd = await asyncio.gather(*(_to_stable(here, name) for name in together))
    at_once = "Argo Rollouts 0.28 s"
    return [
        Figure("abort", "abort asked to route at stable", "s", tuple(alone), at_most=0.03, peers=ABORT_PEERS),
        Figure("abort", "the same, ten at once", "s", tuple(crowd), at_most=0.28, peers=at_once),
    ]


async def _to_stable(here: Stage, name: str) -> float:
    asked = time.time()
    await here.ask(name, "Abort")
    return await here.moment_back(name, asked) - asked


def _names(prefix: str, count: int) -> Sequence[str]:
    return [f"{prefix}-{number}" for number in range(count)]


async def _release_first(here: Stage, names: Sequence[str]) -> None:
    await here.apply_all([subject(name, "1", policy(endless_half())) for name in names])
    await here.promoted(names)
