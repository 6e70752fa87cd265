"""The few requests to an API server that bringing up a cluster needs, with nothing but the standard library."""

import base64
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.cluster.paths import ClusterError


@dataclass(frozen=True)
class Api:
    """An API server as one of our own kubeconfigs names it."""

    server: str
    token: str
    authority: str

    @staticmethod
    def of(kubeconfig: Path) -> "Api":
        config = json.loads(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        return Api(cluster["server"], config["users"][0]["user"]["token"], authority)

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, seconds: float = 10.0
    ) -> dict[str, Any] | None:
        """None where the object is not there, or is there already; OSError where the server does not answer."""
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            "User-Agent": "millgate-e2e",
        }
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.server + path, data, headers, method=method)  # noqa: S310  https only
        context = ssl.create_default_context(cadata=self.authority)
        try:
            with urllib.request.urlopen(request, timeout=seconds, context=context) as response:  # noqa: S310
                answer: dict[str, Any] = json.loads(response.read())
                return answer
        except urllib.error.HTTPError as refused:
            if refused.code in {404, 409}:
                return None
            raise ClusterError(f"{method} {path}: {refused.code} {refused.read().decode()[:500]}") from refused

    def add_fake_node(self, name: str) -> None:
        """A node that KWOK keeps alive, with room for any test."""
        room = {"cpu": "10000", "memory": "100Ti", "pods": "100000", "ephemeral-storage": "100Ti"}
        self.call(
            "POST",
            "/api/v1/nodes",
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": name, "annotations": {"kwok.x-k8s.io/node": "fake"}, "labels": {"type": "kwok"}},
                "status": {"allocatable": room, "capacity": room},
            },
        )

    def node_ready(self, name: str) -> bool:
        node = self.call("GET", f"/api/v1/nodes/{name}") or {}
        conditions = node.get("status", {}).get("conditions", [])
        tainted = node.get("spec", {}).get("taints")
        return not tainted and any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def default_account(self) -> bool:
        """Without it no pod can be made; it shows that the controller-manager works."""
        return self.call("GET", "/api/v1/namespaces/default/serviceaccounts/default") is not None
