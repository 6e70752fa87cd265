"""Looks at all ModelDeployments at once, to find those that need a reconcile: few listings, not five requests each.

Most are idle, and of these nothing more has to be known. One is settled when the core, asked as in a reconcile, wants
nothing written; of every other one a reconcile is made, which reads the truth again.
"""

import asyncio
import logging
import random
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from millgate.api.names import LABEL_NAME
from millgate.api.spec import ModelDeploymentSpec
from millgate.controller.loop import Outside
from millgate.controller.observe import LABELLED_KINDS, Labelled, Observation, observation_of
from millgate.controller.perform import perform
from millgate.controller.status_writer import status_of
from millgate.controller.telemetry import Key
from millgate.kube.api import MODEL_DEPLOYMENT, Json, Kind, KubeApi, KubeError
from millgate.kube.queue import WorkQueue
from millgate.rollout.core import plan

logger = logging.getLogger(__name__)

# Names in one label selector: bounds the memory that an answer takes, and the length of a URL.
_NAMES_AT_ONCE = 100
# Between two hundreds, while others may be in a hurry.
_PAUSE_SECONDS = 0.1


class Surveyor:
    """Puts on the queue what is not settled."""

    def __init__(self, outside: Outside, queue: WorkQueue[Key], namespaces: tuple[str, ...]) -> None:
        self._outside = outside
        self._queue = queue
        self._namespaces = namespaces
        self._shown: set[Key] = set()

    @property
    def api(self) -> KubeApi:
        return self._outside.api

    async def look_at_all(self, *, pause_seconds: float = 0.0) -> None:
        """Look at every ModelDeployment, with a pause after each hundred. Raises KubeError.

        What is known but not there any longer is put on the queue too: it is forgotten by that.
        """
        self._shown = self._outside.telemetry.known()
        gone = set(self._shown)
        for namespace in self._namespaces or (None,):
            together: list[Json] = []
            async for cr in self._outside.api.each(MODEL_DEPLOYMENT, namespace):
                gone.discard(_key(cr))
                if together and (len(together) == _NAMES_AT_ONCE or _key(cr)[0] != _key(together[0])[0]):
                    await self._look_at(together)
                    await asyncio.sleep(pause_seconds)
                    together = []
                together.append(cr)
            if together:
                await self._look_at(together)
        for key in gone:
            self._queue.add(key)

    async def _look_at(self, crs: Sequence[Json]) -> None:
        """Of one namespace. Rollouts in flight do not wait for the others."""
        idle = [cr for cr in crs if not (cr.get("status") or {}).get("rollout")]
        for cr in crs:
            if (cr.get("status") or {}).get("rollout"):
                self._queue.add(_key(cr))
        if not idle:
            return
        children = await self._children(idle)
        for cr in idle:
            started = time.monotonic()
            if await self._is_settled(cr, Labelled.of(children[_key(cr)[1]])):
                self._outside.telemetry.reconciled("success", time.monotonic() - started)
            else:
                self._queue.add(_key(cr))
            await asyncio.sleep(0)  # others are at work too

    async def _children(self, crs: Sequence[Json]) -> Mapping[str, Mapping[Kind, Sequence[Json]]]:
        """By the name of the ModelDeployment and by kind."""
        namespace = _key(crs[0])[0]
        selector = f"{LABEL_NAME} in ({','.join(_key(cr)[1] for cr in crs)})"
        found: defaultdict[str, defaultdict[Kind, list[Json]]] = defaultdict(lambda: defaultdict(list))
        for kind in LABELLED_KINDS:
            async for child in self._outside.api.each(kind, namespace, selector=selector):
                found[child["metadata"]["labels"][LABEL_NAME]][kind].append(child)
        return found

    async def _is_settled(self, cr: Json, children: Labelled) -> bool:
        if cr["metadata"].get("deletionTimestamp") or not cr.get("status"):
            return False
        try:
            spec = ModelDeploymentSpec.model_validate(cr["spec"])
            before = status_of(cr)
            target = await self._outside.resolver.target(_key(cr), spec, before.resolution)
            observation = observation_of(cr, children, target) if target.problem is None else None
        except (ValidationError, KubeError):
            return False
        if observation is None:
            return False
        planned = plan(observation.snapshot, self._outside.clock())
        if planned.events or planned.requeue_after_seconds is not None or planned.status.to_json() != before.to_json():
            return False
        if not await self._all_hold((*planned.actions, *planned.then), observation):
            return False
        if _key(cr) not in self._shown:  # a reconcile may have shown something newer in the meantime
            self._outside.telemetry.show(_key(cr), planned.status)
        return True

    async def _all_hold(self, actions: Sequence[Any], observation: Observation) -> bool:
        try:
            for action in actions:
                await perform(_Untouched(), action, observation, self._outside.settings)
        except KubeError:
            return False
        return True


class _Untouched(KubeApi):
    """Nothing may be written, and nothing more is read: whatever is asked of it, something does not hold."""

    def __init__(self) -> None:
        """It has no connection."""

    async def _request(self, *_: Any, **__: Any) -> Json:
        raise KubeError(0, "NotSettled", "there is something to do")


def _key(cr: Json) -> Key:
    return cr["metadata"]["namespace"], cr["metadata"]["name"]


async def sweep(surveyor: Surveyor, *, first_seconds: float, seconds: float) -> None:
    """Look at everything after `first_seconds`, and then about every `seconds`.

    A lost watch event costs minutes, no more.
    """
    due_seconds = min(first_seconds, seconds)
    while True:
        await asyncio.sleep(due_seconds)
        try:
            await surveyor.look_at_all(pause_seconds=_PAUSE_SECONDS)
        except KubeError as error:
            logger.warning("the sweep could not list ModelDeployments", extra={"error": str(error)})
        due_seconds = seconds * random.uniform(0.9, 1.1)  # noqa: S311 - a spread
