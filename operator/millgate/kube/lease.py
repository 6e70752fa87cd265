"""Leader election by one Lease: who may write, and for how long without hearing from the API server.

The library's own elector has no request timeouts, counts by the wall clock, and does not give a lease back
(facts/kopf.md, section 2).
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from millgate.kube.api import LEASE, Conflict, Json, KubeApi, KubeError

logger = logging.getLogger(__name__)

_INSTANCE = "millgate.dev/lease-instance"
# A released lease counts as expired at once; one second is the least that the API allows.
_RELEASED_SECONDS = 1


@dataclass(frozen=True)
class LeaseTerms:
    """How long a silent holder keeps the lease, when it gives up by itself, and how often it says that it lives.

    A holder gives up `duration - renew_deadline` seconds before another may take over: time in which its last requests
    end. Followers count the duration on their own clock, from the moment at which the record last changed.
    """

    namespace: str
    name: str
    identity: str
    duration_seconds: float = 10.0
    renew_deadline_seconds: float = 7.0
    period_seconds: float = 2.0

    @property
    def request_seconds(self) -> float:
        """One hanging request must not eat up the deadline."""
        return self.renew_deadline_seconds / 2


@dataclass(frozen=True)
class _Seen:
    """A record of the lease, and when (monotonic seconds) it was first seen like that."""

    version: str
    since: float


class Elector:
    """Runs for the lease, keeps it, and says when it is lost.

    - `reached` is set once the API server has answered, `leading` once the lease is held; `run` ends when it is lost.
    - The holder is named by its identity (its pod). A process finds a lease that is held in its own name to be its own:
      a restarted container goes on at once. Where two processes have one name, the one that comes later takes over and
      the other one loses the lease at its next renewal.
    - `may_act` is true only while the lease cannot be anybody else's, even when this process was frozen in between.
    """

    def __init__(
        self,
        api: KubeApi,
        terms: LeaseTerms,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._api = api
        self._terms = terms
        self._clock = clock
        self._sleep = sleep
        self._instance = uuid.uuid4().hex
        self._held: Json | None = None
        self._renewed = float("-inf")  # when the last successful renewal was sent
        self._seen: _Seen | None = None
        self.reached = asyncio.Event()
        self.leading = asyncio.Event()

    def may_act(self) -> bool:
        return self.leading.is_set() and self._clock() - self._renewed < self._terms.renew_deadline_seconds

    async def run(self) -> str:
        """Stand for election, then hold the lease. Returns, in words, why it was lost."""
        try:
            await self._stand()
            return await self._hold()
        finally:
            self.leading.clear()

    async def release(self) -> None:
        """Give the lease back, so that the next one need not wait. For a clean exit, after the last write."""
        if self._held is None:
            return
        free = _record(self._held, self._terms, self._instance)
        free["spec"].update({"holderIdentity": "", "leaseDurationSeconds": _RELEASED_SECONDS})
        self._held = None
        try:
            async with asyncio.timeout(1.0):
                await self._api.replace(LEASE, free)
        except (KubeError, TimeoutError) as error:
            logger.info("the lease could not be given back", extra={"error": str(error)})

    async def _stand(self) -> None:
        while True:
            sent = self._clock()
            try:
                async with asyncio.timeout(self._terms.request_seconds):
                    taken = await self._try_to_take()
            except (KubeError, TimeoutError) as error:
                logger.warning("the lease cannot be read", extra={"error": str(error) or "no answer in time"})
                taken = None
            if taken is not None:
                self._renew(taken, sent)
                self.leading.set()
                return
            await self._sleep(self._terms.period_seconds)

    async def _try_to_take(self) -> Json | None:
        terms = self._terms
        lease = await self._api.get(LEASE, terms.namespace, terms.name)
        self.reached.set()
        try:
            if lease is None:
                return await self._api.create(LEASE, _record(None, terms, self._instance))
            if self._is_free(lease):
                return await self._api.replace(LEASE, _record(lease, terms, self._instance))
        except Conflict:  # another one was quicker
            return None
        return None

    def _is_free(self, lease: Json) -> bool:
        version = lease["metadata"]["resourceVersion"]
        if self._seen is None or self._seen.version != version:
            self._seen = _Seen(version, self._clock())
        spec = lease.get("spec", {})
        if spec.get("holderIdentity") in (None, "", self._terms.identity):
            return True
        # The holder's own word counts: it may have been started with other terms.
        duration = max(float(spec.get("leaseDurationSeconds") or 0.0), self._terms.duration_seconds)
        return self._clock() - self._seen.since > duration

    async def _hold(self) -> str:
        while (left := self._terms.renew_deadline_seconds - (self._clock() - self._renewed)) > 0.0:
            await self._sleep(min(self._terms.period_seconds, left))
            sent = self._clock()
            try:
                async with asyncio.timeout(min(self._terms.request_seconds, left)):
                    renewed = await self._renewal()
            except (KubeError, TimeoutError) as error:
                logger.warning("the lease was not renewed", extra={"error": str(error) or "no answer in time"})
                continue
            if renewed is None:
                return "another process holds the lease"
            self._renew(renewed, sent)
        return f"the API server took no renewal for {self._terms.renew_deadline_seconds:.0f} s"

    async def _renewal(self) -> Json | None:
        """None when the lease is somebody else's."""
        try:
            return await self._api.replace(LEASE, _record(self._held, self._terms, self._instance))
        except Conflict:
            # A renewal whose answer was lost looks like this too; then the record is still ours.
            lease = await self._api.get(LEASE, self._terms.namespace, self._terms.name)
        if lease is None or not self._is_mine(lease):
            return None
        return await self._api.replace(LEASE, _record(lease, self._terms, self._instance))

    def _is_mine(self, lease: Json) -> bool:
        instance = lease["metadata"].get("annotations", {}).get(_INSTANCE)
        return bool(lease["spec"].get("holderIdentity") == self._terms.identity and instance == self._instance)

    def _renew(self, lease: Json, sent: float) -> None:
        self._held = lease
        self._renewed = sent


def _record(before: Json | None, terms: LeaseTerms, instance: str) -> Json:
    """The lease with this process as its holder, conditional on `before` being the newest."""
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    metadata = {"namespace": terms.namespace, "name": terms.name, "annotations": {_INSTANCE: instance}}
    spec: Json = {
        "holderIdentity": terms.identity,
        "leaseDurationSeconds": max(_RELEASED_SECONDS, round(terms.duration_seconds)),
        "acquireTime": now,
        "renewTime": now,
        "leaseTransitions": 0,
    }
    if before is not None:
        old = before.get("spec", {})
        metadata["resourceVersion"] = before["metadata"]["resourceVersion"]
        same = before["metadata"].get("annotations", {}).get(_INSTANCE) == instance
        spec["leaseTransitions"] = int(old.get("leaseTransitions") or 0) + (0 if same else 1)
        if same and old.get("acquireTime"):
            spec["acquireTime"] = old["acquireTime"]
    return {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": metadata, "spec": spec}
