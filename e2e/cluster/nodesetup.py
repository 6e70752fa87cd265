"""Turns the supervisor's fresh namespaces into a machine for one node: mounts, addresses, routes. Runs inside them."""

import os
import subprocess
from pathlib import Path

from e2e.cluster.components import SERVICE_RANGE
from e2e.cluster.debian import SYSTEM_PATH
from e2e.cluster.nodefiles import DNS_IP, NODE_IP
from e2e.cluster.paths import Layout

# No flag moves these; they stay on the machine as empty folders.
FIXED_FOLDERS = ("/var/log/containers", "/var/lib/cni", "/var/lib/kubelet")
SETTINGS = {"net/ipv4/ip_forward": "1", "net/bridge/bridge-nf-call-iptables": "1"}


def prepare_namespaces(layout: Layout) -> None:
    os.environ["PATH"] = SYSTEM_PATH
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    _run("mount", "--make-rshared", "/")
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")  # sockets, locks, CNI's state, etcd's data
    for folder in ("/run/etcd", "/run/lock"):
        Path(folder).mkdir(mode=0o700)
    for folder in FIXED_FOLDERS:
        Path(folder).mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "tmpfs", folder)
    _run("mount", "--bind", f"{layout.etc}/resolv.conf", "/etc/resolv.conf")
    _run("ip", "link", "set", "lo", "up")
    for address in (NODE_IP, DNS_IP):
        _run("ip", "address", "add", f"{address}/32", "dev", "lo")
    # Without any route to a service address a connection from here ends before OUTPUT can rewrite it.
    _run("ip", "route", "add", SERVICE_RANGE, "dev", "lo", "src", NODE_IP)
    for name, value in SETTINGS.items():
        setting = Path("/proc/sys", name)
        if setting.exists():
            setting.write_text(value)


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True)
