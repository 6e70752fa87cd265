"""What tests on a real API server share: kubectl, the CRD, waiting with a deadline, a control plane of one's own."""

import asyncio
import http.client
import inspect
import json
import os
import ssl
import subprocess
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from e2e.cluster.controlplane import ControlPlane
from e2e.cluster.processes import Runner
from e2e.cluster.wheels import client_tools

REPOSITORY = Path(__file__).resolve().parents[2]
CRD_FOLDER = REPOSITORY / "crds"
CRD = "crd/modeldeployments.millgate.dev"
Json = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Kubectl:
    """kubectl as a person types it: `kubectl("get", "mdep", namespace="risk")` gives what it prints."""

    kubeconfig: Path

    def run(self, *arguments: str, namespace: str = "", stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """The finished process, whatever it ended with."""
        where = ["--namespace", namespace] if namespace else []
        return subprocess.run(
            [client_tools(Runner()) / "kubectl", *where, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
        )

    def __call__(self, *arguments: str, namespace: str = "", stdin: str | None = None) -> str:
        """What it prints; it must succeed."""
        done = self.run(*arguments, namespace=namespace, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}{done.stdout}"
        return done.stdout

    def json(self, *arguments: str, namespace: str = "") -> Json:
        found: Json = json.loads(self(*arguments, "--output=json", namespace=namespace))
        return found

    def apply(self, *objects: Json, namespace: str = "") -> str:
        listing = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        return self("apply", "--filename=-", namespace=namespace, stdin=json.dumps(listing))


@contextmanager
def control_plane(*, audit: bool = False, nodes: int = 1, kwok: bool = True) -> Iterator[ControlPlane]:
    """A control plane with Millgate's CRD installed, for tests that stop, pause or fill theirs; gone at the end."""
    with ControlPlane(audit=audit, nodes=nodes, kwok=kwok) as plane:
        install_crd(Kubectl(plane.kubeconfig))
        yield plane


def install_crd(kubectl: Kubectl) -> None:
    kubectl("apply", f"--filename={CRD_FOLDER}")
    # `kubectl wait` fails at once on a CRD so new that it has no conditions at all.
    until = time.monotonic() + 30
    while kubectl.run("wait", "--for=condition=Established", "--timeout=30s", CRD).returncode:
        assert time.monotonic() < until, "the CRD is not served after 30 s"


@contextmanager
def new_namespace(kubectl: Kubectl, prefix: str = "test") -> Iterator[str]:
    name = f"{prefix}-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    try:
        yield name
    finally:
        kubectl.run("delete", "namespace", name, "--wait=false")


async def eventually(check: Callable[[], Awaitable[T] | T], *, seconds: float = 20.0, what: str = "") -> T:
    """What `check` returns as soon as it is true; an assertion it raises counts as 'not yet'."""
    until = time.monotonic() + seconds
    while True:
        try:
            found = check()
            found = await found if inspect.isawaitable(found) else found
            if found or time.monotonic() > until:
                assert found, f"not within {seconds} s: {what or inspect.getsource(check).strip()}"
                return found
        except AssertionError:
            if time.monotonic() > until:
                raise
        await asyncio.sleep(0.05)


def model_deployment(name: str = "fraud", *, namespace: str = "", spec: Json | None = None, **fields: Any) -> Json:
    """A ModelDeployment that the API server accepts; `fields` are set in its spec."""
    return {
        "apiVersion": "millgate.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": name, **({"namespace": namespace} if namespace else {})},
        "spec": (spec if spec is not None else {"model": {"name": "fraud", "version": "8"}}) | fields,
    }


class Clerk:
    """Hands objects to the API server to be checked and not to be stored, with field validation `Strict`."""

    def __init__(self, cluster: ControlPlane) -> None:
        trust = ssl.create_default_context(cafile=str(cluster.certificate_authority))
        server = urlsplit(cluster.server)
        self._connection = http.client.HTTPSConnection(server.hostname or "", server.port, timeout=30, context=trust)
        self._token = cluster.token

    def refuses(self, obj: Json, *, namespace: str = "default") -> str:
        """Its message; empty when it accepts the object."""
        path = f"/apis/millgate.dev/v1alpha1/namespaces/{namespace}/modeldeployments?dryRun=All&fieldValidation=Strict"
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        self._connection.request("POST", path, json.dumps(obj), headers)
        response = self._connection.getresponse()
        answer = json.loads(response.read())
        if response.status == http.HTTPStatus.CREATED:
            return ""
        assert response.status in {http.HTTPStatus.UNPROCESSABLE_ENTITY, http.HTTPStatus.BAD_REQUEST}, answer
        return str(answer["message"])
