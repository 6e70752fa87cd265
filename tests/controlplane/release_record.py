"""A record of what a namespace went through: every version of every object, in the order in which it was stored.

All kinds of one cluster share etcd's revision, so the resourceVersions of different kinds can be put in one order: the
record is what was so, not what somebody happened to see.
"""

import http.client
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from e2e.cluster.controlplane import ControlPlane

Json = dict[str, Any]
KINDS = {
    "ModelDeployment": "/apis/millgate.dev/v1alpha1/namespaces/{}/modeldeployments",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "Service": "/api/v1/namespaces/{}/services",
    "Pod": "/api/v1/namespaces/{}/pods",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "Lease": "/apis/coordination.k8s.io/v1/namespaces/{}/leases",
}


@dataclass(frozen=True)
class Change:
    """One version of an object. `at`: when it was seen here, in Unix seconds; `deleted`: its last version."""

    version: int
    kind: str
    name: str
    obj: Json
    deleted: bool
    at: float


class Record:
    """Watches a namespace from when it is made until `close`. Safe to read at any time."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.namespace = namespace
        self._plane = plane
        self._trust = ssl.create_default_context(cafile=str(plane.certificate_authority))
        self._lock = threading.Lock()
        self._changes: list[Change] = []
        self._newest: dict[tuple[str, str], Change] = {}
        self._connections: list[http.client.HTTPSConnection] = []
        self._closed = False
        self.failure: str | None = None
        for kind, path in KINDS.items():
            start = self._get(path.format(namespace))["metadata"]["resourceVersion"]
            self._follow(kind, f"{path.format(namespace)}?watch=1&resourceVersion={start}&timeoutSeconds=3600")

    def close(self) -> None:
        self._closed = True
        for connection in self._connections:
            connection.sock.close()

    def newest(self, kind: str, name: str) -> Json | None:
        """The object as it was stored last; None when it is not there."""
        with self._lock:
            change = self._newest.get((kind, name))
        return None if change is None or change.deleted else change.obj

    def of_kind(self, kind: str) -> list[Json]:
        """All objects of a kind as they were stored last."""
        with self._lock:
            return [change.obj for change in self._newest.values() if change.kind == kind and not change.deleted]

    def changes(self, since: int = 0) -> list[Change]:
        """Everything so far with a resourceVersion above `since`, in order. Waits until nothing is on its way."""
        self._catch_up()
        with self._lock:
            return sorted((change for change in self._changes if change.version > since), key=lambda one: one.version)

    def now(self) -> int:
        """The newest resourceVersion that was seen."""
        self._catch_up()
        with self._lock:
            return max((change.version for change in self._changes), default=0)

    def _catch_up(self, seconds: float = 20.0) -> None:
        """The record has what the API server lists at this moment."""
        until = time.monotonic() + seconds
        for kind, path in KINDS.items():
            if kind == "Lease":
                continue  # renewed all the time, and its newest version is in no order that matters
            listed = self._get(path.format(self.namespace))["items"]
            wanted = {item["metadata"]["name"]: int(item["metadata"]["resourceVersion"]) for item in listed}
            while not self._has(kind, wanted):
                assert self.failure is None, self.failure
                assert time.monotonic() < until, f"the watch of {kind} lags behind"
                time.sleep(0.02)

    def _has(self, kind: str, wanted: dict[str, int]) -> bool:
        with self._lock:
            seen = {name: change.version for (found, name), change in self._newest.items() if found == kind}
        return all(seen.get(name, 0) >= version for name, version in wanted.items())

    def _connect(self) -> http.client.HTTPSConnection:
        server = urlsplit(self._plane.server)
        return http.client.HTTPSConnection(server.hostname or "", server.port, context=self._trust)

    def _get(self, path: str) -> Json:
        # A CRD may be established some moments before its objects are served.
        until = time.monotonic() + 10.0
        while True:
            connection = self._connect()
            connection.request("GET", path, headers=self._headers())
            response = connection.getresponse()
            answer: Json = json.loads(response.read())
            connection.close()
            if response.status == http.HTTPStatus.OK:
                return answer
            assert time.monotonic() < until, answer
            time.sleep(0.1)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._plane.token}"}

    def _follow(self, kind: str, path: str) -> None:
        connection = self._connect()
        connection.request("GET", path, headers=self._headers())
        stream = connection.getresponse()
        self._connections.append(connection)
        threading.Thread(target=self._read, args=(kind, stream), name=f"record {kind}", daemon=True).start()

    def _read(self, kind: str, stream: http.client.HTTPResponse) -> None:
        try:
            for line in stream:
                self._note(kind, json.loads(line))
        except (OSError, ValueError, AttributeError, http.client.HTTPException) as error:
            if not self._closed:
                self.failure = f"the watch of {kind} ended: {error}"

    def _note(self, kind: str, event: Json) -> None:
        obj = event["object"]
        if event["type"] == "ERROR":
            self.failure = f"the watch of {kind}: {obj}"
            return
        change = Change(
            version=int(obj["metadata"]["resourceVersion"]),
            kind=kind,
            name=obj["metadata"]["name"],
            obj=obj,
            deleted=event["type"] == "DELETED",
            at=time.time(),
        )
        with self._lock:
            self._changes.append(change)
            self._newest[kind, change.name] = change


@contextmanager
def recorded(plane: ControlPlane, namespace: str) -> Iterator[Record]:
    record = Record(plane, namespace)
    try:
        yield record
    finally:
        record.close()
