"""Clients of a model: requests and errors, counted for each ready pod as the serving image counts its own."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.controlplane.release_promises import COMPONENT, HASH, NAME, is_ready
from tests.controlplane.release_town import Town

Json = dict[str, Any]
TICK_SECONDS = 0.2
REQUESTS_PER_SECOND = 60.0


@dataclass
class Traffic:
    """`error_shares`: the share of requests that fails, by model version. `silent`: nothing is exported."""

    town: Town
    name: str
    error_shares: dict[str, float]
    silent: bool = False
    _counts: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0.0, 0.0]))

    async def run(self) -> None:
        before = time.monotonic()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = time.monotonic()
            self._count(now - before)
            before = now

    def _count(self, seconds: float) -> None:
        pods = [pod for pod in self.town.record.of_kind("Pod") if self._serves(pod)]
        exported = {} if self.silent else {pod["metadata"]["name"]: pod for pod in pods}
        for gone in set(self._counts) - set(exported):
            self.town.page.drop(namespace=self.town.namespace, pod=gone)
            del self._counts[gone]
        for name, pod in exported.items():
            version, revision = self._version(pod), pod["metadata"]["labels"][HASH]
            own = {"namespace": self.town.namespace, "pod": name, "revision": revision}
            own |= {"model": self.name, "version": version}
            counts = self._counts[name]
            counts[0] += REQUESTS_PER_SECOND * seconds
            counts[1] += REQUESTS_PER_SECOND * seconds * self.error_shares.get(version, 0.0)
            self.town.page.set("millgate_requests_total", float(int(counts[0])), code="200", **own)
            self.town.page.set("millgate_request_errors_total", float(int(counts[1])), **own)

    def _serves(self, pod: Json) -> bool:
        labels = pod["metadata"].get("labels") or {}
        return labels.get(NAME) == self.name and labels.get(COMPONENT) == "server" and is_ready(pod)

    def _version(self, pod: Json) -> str:
        env = pod["spec"]["containers"][0]["env"]
        return next(entry["value"] for entry in env if entry["name"] == "MILLGATE_MODEL_VERSION")


@asynccontextmanager
async def traffic(town: Town, name: str, **error_shares: float) -> AsyncIterator[Traffic]:
    """`v2=0.4`: of the requests to version 2 four in ten fail."""
    flow = Traffic(town, name, {version.removeprefix("v"): share for version, share in error_shares.items()})
    task = asyncio.create_task(flow.run())
    try:
        yield flow
    finally:
        task.cancel()
