"""Who may talk to a cluster's API server: keys, static tokens, kubeconfigs (written as JSON, which is YAML too)."""

import base64
import csv
import hashlib
import io
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from e2e.cluster.paths import ClusterError, Layout, write_if_changed

USERS = {  # kubeconfig: (user, groups)
    "admin": ("admin", "system:masters"),
    "kcm": ("system:kube-controller-manager", "system:masters"),
    "scheduler": ("system:kube-scheduler", ""),
    "kubelet": ("system:node:{name}", "system:nodes"),
    "proxy": ("system:kube-proxy", ""),
    "dns": ("system:coredns", "system:masters"),
    "kwok": ("kwok", "system:masters"),
}
SERVER_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


def write_keys(layout: Layout, binary: Path, addresses: Sequence[str]) -> None:
    """Certificates for the addresses, once: they stay when the cluster goes, as do the kubeconfigs made from them."""
    wanted = ",".join(addresses)
    done = layout.pki / "done"
    if done.exists() and done.read_text() == wanted:
        return
    shutil.rmtree(layout.pki, ignore_errors=True)
    layout.pki.mkdir(parents=True, mode=0o700)
    made = subprocess.run(
        [binary, "pki", layout.pki, wanted, ",".join(SERVER_NAMES)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise ClusterError(f"no keys: {made.stderr}")
    done.write_text(wanted)


def write_credentials(layout: Layout, server: str) -> None:
    authority = base64.b64encode((layout.pki / "ca.crt").read_bytes()).decode()
    secret = (layout.pki / "sa.key").read_bytes()
    tokens = io.StringIO()
    for short, (user, groups) in USERS.items():
        token = hashlib.sha256(secret + short.encode()).hexdigest()[:32]
        csv.writer(tokens).writerow([token, user.format(name=layout.name), short, *([groups] if groups else [])])
        text = json.dumps(kubeconfig(layout.name, short, server, authority, token), indent=1)
        write_if_changed(layout.etc / f"{short}.kubeconfig", text)
    write_if_changed(layout.etc / "tokens.csv", tokens.getvalue())


def kubeconfig(name: str, user: str, server: str, authority: str, token: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user, "namespace": "default"}}],
    }
