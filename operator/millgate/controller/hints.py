"""Watches of ModelDeployments and of what they own, by kopf: each event is a hint that puts a key on the queue.

Nothing is ever read from an event but which ModelDeployment it is about: the reconcile reads the truth. kopf runs in a
thread and event loop of its own, because it ends every task of its loop when it stops (facts/kopf.md, section 1.5) and
takes the signals of the main thread.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import kopf

from millgate.api.names import LABEL_NAME
from millgate.api.request import REQUEST_ANNOTATION, parse_request
from millgate.controller.telemetry import Key
from millgate.kube.api import DEPLOYMENT, JOB, MODEL_DEPLOYMENT, POD, SERVICE, Kind
from millgate.kube.login import Login

logger = logging.getLogger(__name__)

_CHILDREN = (DEPLOYMENT, SERVICE, JOB, POD)
# Every object is listed when the watches begin. That is no news where nothing is in flight: every ModelDeployment is
# looked at then, and once more after this time, since it may have changed before its watch began.
WARM_UP_SECONDS = 15.0


@dataclass(frozen=True)
class Hint:
    """Look at this ModelDeployment; `first` when a person waits for the answer.

    `listed`: a child that was there when its watch began. A rollout in flight may be waiting for just what has become
    of it since the first look.
    """

    key: Key
    kind: str
    first: bool = False
    listed: bool = False


class Hints:
    """The thread that watches. `died` is set when it ended without having been stopped: then nothing is seen any more.

    `on_hint` is called in the event loop that `start` was called in.
    """

    def __init__(self, namespaces: tuple[str, ...], known: Mapping[Key, str], on_hint: Callable[[Hint], None]) -> None:
        self._namespaces = namespaces
        self._known = dict(known)  # resourceVersion of the ModelDeployments that are being looked at already
        self._on_hint = on_hint
        self._stopped = False
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="watches", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._kopf: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self.died = asyncio.Event()

    def start(self) -> None:
        """Once; from the second time on nothing happens."""
        if self._loop is not None:
            return
        self._loop = asyncio.get_running_loop()
        self._began = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """Returns at once; the thread ends by itself, or with the process."""
        self._stopped = True
        if self._kopf is not None and self._thread.is_alive():
            loop, stop = self._kopf
            loop.call_soon_threadsafe(stop.set)

    def _run(self) -> None:
        try:
            asyncio.run(self._watch())
        except Exception:
            logger.exception("the watches ended")
        if not self._stopped:
            self._in_main_loop(self.died.set)

    async def _watch(self) -> None:
        stop = asyncio.Event()
        self._kopf = (asyncio.get_running_loop(), stop)
        where: dict[str, Any] = {"namespaces": self._namespaces} if self._namespaces else {"clusterwide": True}
        await kopf.operator(
            registry=_registry(self._changed, self._child_changed),
            settings=_settings(),
            standalone=True,
            stop_flag=stop,
            **where,
        )

    def _changed(self, event: Mapping[str, Any]) -> None:
        metadata = event["object"]["metadata"]
        key = (metadata["namespace"], metadata["name"])
        listed = event["type"] is None
        if listed and self._known.pop(key, None) == metadata["resourceVersion"]:
            return
        self._say(Hint(key, MODEL_DEPLOYMENT.kind, first=_has_open_request(event["object"])))

    def _child_changed(self, kind: Kind, event: Mapping[str, Any]) -> None:
        metadata = event["object"]["metadata"]
        key = (metadata["namespace"], metadata["labels"][LABEL_NAME])
        listed = event["type"] is None and time.monotonic() - self._began < WARM_UP_SECONDS
        self._say(Hint(key, kind.kind, listed=listed))

    def _say(self, hint: Hint) -> None:
        self._in_main_loop(self._on_hint, hint)

    def _in_main_loop(self, call: Callable[..., Any], *arguments: Any) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *arguments)


def _has_open_request(cr: Mapping[str, Any]) -> bool:
    """A person asked for something and has no answer yet. Only the order of the queue depends on it."""
    text = (cr["metadata"].get("annotations") or {}).get(REQUEST_ANNOTATION)
    if text is None:
        return False
    return bool(parse_request(text).id != (cr.get("status") or {}).get("lastRequest", {}).get("id"))


def _registry(
    on_change: Callable[[Mapping[str, Any]], None], on_child: Callable[[Kind, Mapping[str, Any]], None]
) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    async def log_in(**_: Any) -> kopf.AiohttpSession:
        server, session = await Login().session()
        return kopf.AiohttpSession(server=server, aiohttp_session=session)

    async def changed(event: Mapping[str, Any], **_: Any) -> None:
        on_change(event)

    async def child_changed(event: Mapping[str, Any], param: Kind, **_: Any) -> None:
        on_child(param, event)

    kopf.on.login(registry=registry)(log_in)
    kopf.on.event(*_group_version(MODEL_DEPLOYMENT), registry=registry)(changed)
    for kind in _CHILDREN:
        kopf.on.event(*_group_version(kind), id=kind.plural, param=kind, registry=registry)(child_changed)
    return registry


def _group_version(kind: Kind) -> tuple[str, str, str]:
    group, _, version = kind.api_version.rpartition("/")
    return group, version, kind.plural


def _settings() -> kopf.OperatorSettings:
    """No events, no annotations, no finalizers: kopf writes nothing, and asks for no more than it watches."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    # A task and the last event of each object are kept for this long; there is nothing to keep them for.
    settings.queueing.idle_timeout = 0.1
    settings.watching.connect_timeout = 5.0
    settings.watching.chunk_size = 100  # a page is in memory as a whole
    settings.networking.request_timeout = 30.0
    for kind in _CHILDREN:
        settings.watching.label_selectors[_group_version(kind)] = LABEL_NAME
    return settings
