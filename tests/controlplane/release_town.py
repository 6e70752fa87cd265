"""One operator with all that it reads, shared by the tests of releases: the rights of the chart, a real Prometheus."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from e2e.cluster.controlplane import ControlPlane
from tests.controlplane.chart import rendered
from tests.controlplane.operator_process import OperatorProcess
from tests.controlplane.plane import Kubectl, new_namespace
from tests.controlplane.prometheus_process import Page, PrometheusProcess
from tests.controlplane.release_record import Record, recorded

Json = dict[str, Any]
RIGHTS = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
PROMETHEUS_TIMEOUT_SECONDS = 1


@dataclass(frozen=True)
class Town:
    """A namespace with its record, the operator that looks after it, and the metrics that gates read."""

    plane: ControlPlane
    kubectl: Kubectl
    namespace: str
    record: Record
    operator: OperatorProcess
    prometheus: PrometheusProcess
    page: Page


@contextmanager
def open_town(plane: ControlPlane, kubectl: Kubectl, folder: Path) -> Iterator[Town]:
    page = Page()
    prometheus = PrometheusProcess(folder, page)
    prometheus.start()
    try:
        with new_namespace(kubectl, "town") as namespace, new_namespace(kubectl, "office") as office:
            config: Json = {
                "watchNamespaces": [namespace],
                "allowedImagePrefixes": ["registry.example/"],
                "prometheus": {
                    "url": prometheus.url,
                    "timeoutSeconds": PROMETHEUS_TIMEOUT_SECONDS,
                    "scrapeIntervalSeconds": 1,
                },
                "lease": {"name": "millgate", "namespace": office},
            }
            account = with_rights_of_the_chart(plane, kubectl, folder, office)
            operator = OperatorProcess(plane, folder, env=account, **config)
            with recorded(plane, namespace) as record, operator:
                operator.leading()
                yield Town(plane, kubectl, namespace, record, operator, prometheus, page)
            assert refused(plane, office) == []
    finally:
        prometheus.stop()
        page.close()


def with_rights_of_the_chart(plane: ControlPlane, kubectl: Kubectl, folder: Path, office: str) -> dict[str, str]:
    """The environment of a process that may do what the chart's ServiceAccount may, and nothing else."""
    kubectl.apply(*(obj for obj in rendered(release="millgate", namespace=office) if obj["kind"] in RIGHTS))
    token = kubectl("create", "token", "millgate", "--duration=2h", namespace=office).strip()
    config = json.loads(plane.kubeconfig.read_text())
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    path = folder / "account.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return {"KUBECONFIG": str(path), "POD_NAMESPACE": office}


def refused(plane: ControlPlane, office: str) -> list[Json]:
    """What the operator asked for and was not allowed."""
    name = f"system:serviceaccount:{office}:millgate"
    return [
        event["objectRef"] | {"verb": event["verb"]}
        for event in plane.audit_events()
        if event["user"]["username"] == name and event.get("responseStatus", {}).get("code") == 403
    ]
