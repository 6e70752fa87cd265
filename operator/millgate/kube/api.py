"""The Kubernetes API as plain JSON: get, list, apply, create, patch and delete, with deadlines and typed errors.

Bodies are dicts because the typed models of the client cannot express the partial objects that server-side apply is
made of (facts/kopf.md, section 2). The client does what it is good at: login, TLS, proxies and connections.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

import aiohttp

from millgate.api.names import API_VERSION, FIELD_MANAGER
from millgate.api.names import KIND as MODEL_DEPLOYMENT_KIND
from millgate.api.names import PLURAL as MODEL_DEPLOYMENT_PLURAL
from millgate.kube.login import Login, LoginError

Json = dict[str, Any]
Versions = dict[tuple[str, str], str]

APPLY = "application/apply-patch+yaml"
MERGE_PATCH = "application/merge-patch+json"
_JSON = "application/json"
# Names and versions only: a listing of keys need not carry every spec and status through the process.
_NAMES_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"

_REQUEST_TIMEOUT_SECONDS = 10.0
_CONNECT_TIMEOUT_SECONDS = 3.0
_PAGE_SIZE = 500
_MAX_RETRY_AFTER_SECONDS = 5.0
_DEFAULT_RETRY_AFTER_SECONDS = 1.0


@dataclass(frozen=True)
class Kind:
    """A kind of namespaced objects."""

    api_version: str
    kind: str
    plural: str

    @property
    def root(self) -> str:
        return f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"

    def path(self, namespace: str | None, name: str = "", subresource: str = "") -> str:
        """The path of an object, of a namespace's objects, or (without a namespace) of all of the kind."""
        parts = [self.root]
        if namespace is not None:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        parts += [quote(part, safe="") for part in (name, subresource) if part]
        return "/".join(parts)


MODEL_DEPLOYMENT = Kind(API_VERSION, MODEL_DEPLOYMENT_KIND, MODEL_DEPLOYMENT_PLURAL)
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
REPLICA_SET = Kind("apps/v1", "ReplicaSet", "replicasets")
JOB = Kind("batch/v1", "Job", "jobs")
SERVICE = Kind("v1", "Service", "services")
POD = Kind("v1", "Pod", "pods")
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
ENDPOINT_SLICE = Kind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
EVENT = Kind("events.k8s.io/v1", "Event", "events")
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")


class KubeError(Exception):
    """The API server refused a request, or could not be reached (status 0, reason `Unreachable`)."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class NotFound(KubeError):  # noqa: N818 - named as the API server names it
    """404: there is no such object, namespace or kind."""


class Conflict(KubeError):  # noqa: N818 - named as the API server names it
    """409: the object exists already, or is not the one (resourceVersion, uid) that was meant."""


@dataclass(frozen=True)
class Call:
    """One answered (or failed: status 0) request, for metrics."""

    verb: str
    kind: str
    status: int
    seconds: float


class KubeApi:
    """One API server. Every request has a deadline; a write is repeated only when the server said it was not taken.

    Errors: KubeError and its kinds, nothing else.
    """

    def __init__(
        self,
        login: Login,
        client: Any,
        *,
        on_call: Callable[[Call], None] | None = None,
        timeout_seconds: float = _REQUEST_TIMEOUT_SECONDS,
    ) -> None:
        self._login = login
        self._client = client
        self._on_call = on_call
        self._timeout_seconds = timeout_seconds

    @classmethod
    async def connect(  # noqa: PLR0913 - who logs in, and what is asked around each request
        cls,
        *,
        kubeconfig: str | None = None,
        context: str | None = None,
        impersonate: str | None = None,
        on_call: Callable[[Call], None] | None = None,
        may_write: Callable[[], bool] | None = None,
        timeout_seconds: float = _REQUEST_TIMEOUT_SECONDS,
    ) -> Self:
        """In a pod by its service account, otherwise by kubeconfig; as the user `impersonate`. Raises LoginError.

        `may_write` is asked before every write: one that lost its lease, or slept through it, must not write any more.
        """
        login = Login(kubeconfig, context, impersonate)
        client = await login.client(() if may_write is None else (_fence(may_write),))
        return cls(login, client, on_call=on_call, timeout_seconds=timeout_seconds)

    @property
    def namespace(self) -> str:
        """The namespace that the login stands in: of the kubeconfig's context, or the pod's own."""
        return self._login.namespace

    async def close(self) -> None:
        await self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def get(self, kind: Kind, namespace: str, name: str) -> Json | None:
        """None when there is no such object."""
        try:
            return await self._request("get", kind, "GET", kind.path(namespace, name))
        except NotFound:
            return None

    async def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        selector: str = "",
        fields: str = "",
        resource_version: str | None = None,
    ) -> list[Json]:
        """All objects, of all namespaces when none is given. `resource_version="0"` takes what a cache has."""
        query = {"labelSelector": selector, "fieldSelector": fields, "resourceVersion": resource_version or ""}
        return [item async for item in self._pages(kind, namespace, query, accept=_JSON)]

    def each(self, kind: Kind, namespace: str | None = None, *, selector: str = "") -> AsyncIterator[Json]:
        """All objects one after the other, with no more of them in memory than a page."""
        return self._pages(kind, namespace, {"labelSelector": selector}, accept=_JSON)

    async def list_versions(self, kind: Kind, namespace: str | None = None) -> Versions:
        """(namespace, name) and resourceVersion of all objects; their bodies are not sent."""
        found = {}
        async for item in self._pages(kind, namespace, {}, accept=_NAMES_ONLY):
            metadata = item["metadata"]
            found[metadata["namespace"], metadata["name"]] = metadata["resourceVersion"]
        return found

    async def apply(self, kind: Kind, obj: Json, *, subresource: str = "", manager: str = FIELD_MANAGER) -> Json:
        """Server-side apply, by force: the fields in `obj` are ours by contract. Returns the object as stored.

        `metadata.resourceVersion` makes it conditional: Conflict when the object has changed since.
        """
        metadata = obj["metadata"]
        path = kind.path(metadata["namespace"], metadata["name"], subresource)
        query = {"fieldManager": manager, "force": "true"}
        return await self._request("apply", kind, "PATCH", path, query=query, body=obj, content_type=APPLY)

    async def create(self, kind: Kind, obj: Json) -> Json:
        """Conflict when it exists already."""
        path = kind.path(obj["metadata"]["namespace"])
        return await self._request("create", kind, "POST", path, query={"fieldManager": FIELD_MANAGER}, body=obj)

    async def replace(self, kind: Kind, obj: Json) -> Json:
        """Update the whole object; Conflict unless `metadata.resourceVersion` is the newest."""
        metadata = obj["metadata"]
        path = kind.path(metadata["namespace"], metadata["name"])
        return await self._request("update", kind, "PUT", path, query={"fieldManager": FIELD_MANAGER}, body=obj)

    async def patch(  # noqa: PLR0913 - which object, and the patch with its two options
        self,
        kind: Kind,
        namespace: str,
        name: str,
        patch: Json,
        *,
        manager: str = FIELD_MANAGER,
        dry_run: bool = False,
    ) -> Json:
        """JSON merge patch. With `dry_run` the server checks everything and stores nothing."""
        path = kind.path(namespace, name)
        query = {"fieldManager": manager, "dryRun": "All" if dry_run else ""}
        return await self._request("patch", kind, "PATCH", path, query=query, body=patch, content_type=MERGE_PATCH)

    async def delete(
        self, kind: Kind, namespace: str, name: str, *, uid: str | None = None, propagation: str = "Background"
    ) -> None:
        """Absent is fine, and so is an object of that name with another uid: the one that was meant is gone."""
        body: Json = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        try:
            await self._request("delete", kind, "DELETE", kind.path(namespace, name), body=body)
        except NotFound:
            return
        except Conflict:
            if uid is None:
                raise

    async def version(self) -> Json:
        """The version of the API server; the cheapest question that needs it to be there."""
        return await self._request("get", Kind("v1", "Version", "version"), "GET", "/version")

    async def _pages(
        self, kind: Kind, namespace: str | None, query: Mapping[str, str], *, accept: str
    ) -> AsyncIterator[Json]:
        token = ""
        while True:
            # A cache (resourceVersion 0) answers at once and knows no pages.
            paging = {} if query.get("resourceVersion") == "0" else {"limit": str(_PAGE_SIZE), "continue": token}
            page = await self._request(
                "list", kind, "GET", kind.path(namespace), query={**query, **paging}, accept=accept
            )
            # Items of a list come without these two, and a reader of one item needs them.
            for item in page.get("items") or ():
                yield item if "kind" in item else {"apiVersion": kind.api_version, "kind": kind.kind, **item}
            token = page.get("metadata", {}).get("continue", "")
            if not token:
                return

    async def _request(  # noqa: PLR0913 - the parts of one HTTP request
        self,
        verb: str,
        kind: Kind,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        content_type: str = _JSON,
        accept: str = _JSON,
    ) -> Json:
        text = urlencode({key: value for key, value in (query or {}).items() if value})
        url = f"{self._client.configuration.host}{path}{'?' + text if text else ''}"
        headers = {"Accept": accept, "Content-Type": content_type}
        started = time.monotonic()
        status = 0
        try:
            async with asyncio.timeout(self._timeout_seconds):
                status, answer = await self._until_taken(method, url, headers, body)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            what = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
            raise KubeError(0, "Unreachable", f"{method} {path}: {what}") from error
        except LoginError as error:
            raise KubeError(HTTPStatus.UNAUTHORIZED, "Unauthorized", f"{method} {path}: {error}") from error
        finally:
            if self._on_call is not None:
                self._on_call(Call(verb, kind.kind, status, time.monotonic() - started))
        return _read(status, answer, f"{method} {path}")

    async def _until_taken(
        self, method: str, url: str, headers: Mapping[str, str], body: Json | None
    ) -> tuple[int, bytes]:
        """Send; again when the server is too busy to take the request (429), or once with fresh credentials (401)."""
        renewed = False
        while True:
            status, retry_after_seconds, answer = await self._send(method, url, headers, body)
            if status == HTTPStatus.TOO_MANY_REQUESTS:
                await asyncio.sleep(retry_after_seconds)
            elif status == HTTPStatus.UNAUTHORIZED and not renewed:
                renewed = True
                await self._login.renew()
            else:
                return status, answer

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: Json | None
    ) -> tuple[int, float, bytes]:
        own = {**self._client.default_headers, **headers}
        await self._client.update_params_for_auth(own, [], ["BearerToken"], url, method, body)
        timeout = aiohttp.ClientTimeout(total=self._timeout_seconds, sock_connect=_CONNECT_TIMEOUT_SECONDS)
        raw = await self._client.rest_client.request(method, url, headers=own, body=body, _request_timeout=timeout)
        async with raw.response as response:
            answer: bytes = await response.read()
            return response.status, _retry_after_seconds(response.headers.get("Retry-After")), answer


def _fence(may_write: Callable[[], bool]) -> aiohttp.TraceConfig:
    """Asks at the last moment, when there is a connection: making one takes time in which a process may be frozen."""

    async def remember(_: Any, request: Any, params: aiohttp.TraceRequestStartParams) -> None:
        request.method = params.method

    async def check(_: Any, request: Any, _params: Any) -> None:
        if request.method != "GET" and not may_write():
            raise KubeError(0, "NotLeading", "another process may write now")

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(remember)
    trace.on_connection_create_end.append(check)
    trace.on_connection_reuseconn.append(check)
    return trace


def _retry_after_seconds(text: str | None) -> float:
    try:
        return min(float(text or ""), _MAX_RETRY_AFTER_SECONDS)
    except ValueError:
        return _DEFAULT_RETRY_AFTER_SECONDS


def _read(status: int, answer: bytes, request: str) -> Json:
    try:
        body = json.loads(answer) if answer else {}
    except ValueError:
        body = {"reason": "NotJson", "message": "the answer is not JSON: is there a proxy in between?"}
        status = status if status >= 400 else 502
    if status < 400:
        return body if isinstance(body, dict) else {}
    reason = str(body.get("reason") or f"Http{status}")
    message = f"{request}: {status} {body.get('message') or reason}"
    error = {404: NotFound, 409: Conflict}.get(status, KubeError)
    raise error(status, reason, message)
