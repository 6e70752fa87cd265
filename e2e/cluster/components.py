"""The command line of every component, as data, for both sizes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.paths import Layout, write_if_changed
from e2e.cluster.supervisor import Component

SERVICE_RANGE = "10.96.0.0/16"
KUBERNETES_IP = "10.96.0.1"
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


@dataclass(frozen=True)
class Addresses:
    """Where the control plane listens."""

    ip: str
    apiserver: int
    etcd: int
    etcd_peer: int

    @property
    def server(self) -> str:
        return f"https://{self.ip}:{self.apiserver}"

    @property
    def ready_url(self) -> str:
        return f"{self.server}/readyz"


def audit_log(layout: Layout) -> Path:
    return layout.log / "audit.jsonl"


def kubeconfig_flag(layout: Layout, user: str) -> str:
    return f"--kubeconfig={layout.etc}/{user}.kubeconfig"


def etcd(binary: Path, addresses: Addresses, data: Path) -> Component:
    client, peer = f"http://127.0.0.1:{addresses.etcd}", f"http://127.0.0.1:{addresses.etcd_peer}"
    argv = [
        f"{binary}",
        "etcd",
        f"--data-dir={data}",
        "--unsafe-no-fsync",  # each `up` is a new cluster
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--log-level=warn",
    ]
    return Component("etcd", tuple(argv), after_ready=False)


def apiserver(binary: Path, layout: Layout, addresses: Addresses, extra: Sequence[str]) -> Component:
    pki, etc = layout.pki, layout.etc
    argv = [
        f"{binary}",
        "kube-apiserver",
        f"--etcd-servers=http://127.0.0.1:{addresses.etcd}",
        f"--secure-port={addresses.apiserver}",
        f"--advertise-address={addresses.ip}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--client-ca-file={pki}/ca.crt",
        f"--token-auth-file={etc}/tokens.csv",
        "--authorization-mode=Node,RBAC",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki}/sa.pub",
        f"--service-account-signing-key-file={pki}/sa.key",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--kubelet-client-certificate={pki}/kubelet-client.crt",
        f"--kubelet-client-key={pki}/kubelet-client.key",
        "--kubelet-preferred-address-types=InternalIP",
        f"--requestheader-client-ca-file={pki}/front-ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki}/front.crt",
        f"--proxy-client-key-file={pki}/front.key",
        "--profiling=false",
        *extra,
    ]
    return Component("apiserver", tuple(argv), after_ready=False)


def audit_flags(layout: Layout) -> list[str]:
    """Who asked for what, one JSON line a finished request, so that a test can count by user agent."""
    policy = layout.etc / "audit-policy.json"
    write_if_changed(policy, json.dumps(AUDIT_POLICY))
    return [f"--audit-policy-file={policy}", f"--audit-log-path={audit_log(layout)}", "--audit-log-maxsize=4000"]


def controller_manager(binary: Path, layout: Layout, extra: Sequence[str]) -> Component:
    pki, config = layout.pki, layout.etc / "kcm.kubeconfig"
    argv = [
        f"{binary}",
        "kube-controller-manager",
        kubeconfig_flag(layout, "kcm"),
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        "--leader-elect=false",
        "--use-service-account-credentials=false",
        f"--root-ca-file={pki}/ca.crt",
        f"--service-account-private-key-file={pki}/sa.key",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
        "--profiling=false",
        *extra,
    ]
    return Component("controller-manager", tuple(argv), after_ready=True)


def scheduler(binary: Path, layout: Layout, extra: Sequence[str]) -> Component:
    config = layout.etc / "scheduler.kubeconfig"
    argv = [
        f"{binary}",
        "kube-scheduler",
        kubeconfig_flag(layout, "scheduler"),
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        "--leader-elect=false",
        "--profiling=false",
        *extra,
    ]
    return Component("scheduler", tuple(argv), after_ready=True)


def kwok(binary: Path, layout: Layout) -> Component:
    """Fakes nodes and pods; its own defaults make a scheduled pod Ready at once."""
    argv = [
        f"{binary}",
        kubeconfig_flag(layout, "kwok"),
        "--manage-all-nodes=true",
        "--node-ip=127.0.0.1",
        "--cidr=10.245.0.1/16",
        "--node-lease-duration-seconds=40",
        "--v=ERROR",
    ]
    return Component("kwok", tuple(argv), after_ready=True)
