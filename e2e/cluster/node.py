"""A bare node: a whole Kubernetes with real pods, in namespaces of its own, on a machine without Docker.

Nothing of it is seen outside: no listening port, no route, no iptables rule, no mount. No route leads out of it either.
"""

import json
import os
import platform
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from e2e.cluster import components, debian, nodefiles, spawn, wheels
from e2e.cluster.api import Api
from e2e.cluster.cgroups import make_cgroups
from e2e.cluster.containerd import Images
from e2e.cluster.gobuild import HK, Builder
from e2e.cluster.identity import write_credentials, write_keys
from e2e.cluster.images import Image, pause_image
from e2e.cluster.paths import ClusterError, Layout, layout, locked, write_if_changed
from e2e.cluster.processes import Runner, enter_network
from e2e.cluster.progress import phase, say
from e2e.cluster.supervisor import Component

READY_SECONDS = 120.0
ADDRESSES = components.Addresses(nodefiles.NODE_IP, 6443, 2379, 2380)
NAMESPACES = (
    *("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"),
    *("--mount-proc", "--propagation", "private", "--"),
)


def bring_up(name: str) -> Layout:
    """Start it, or find it running; returns once its node is Ready."""
    here = layout(name)
    if platform.machine() != "x86_64" or not sys.platform.startswith("linux"):
        raise ClusterError("a bare node needs Linux on x86-64; elsewhere use kind, or MILLGATE_KUBECONFIG")
    if os.geteuid() != 0:
        raise ClusterError(
            "a bare node needs root (namespaces, mounts, cgroups); without root use --size control-plane"
        )
    with locked(here.state / "up.lock"):
        if spawn.running(here):
            _wait_ready(here)
            say(f"node {name} runs already")
            return here
        binary, pause = _prepare(here)
        with phase(f"start node {name}"):
            _start(here, binary, pause)
    return here


def _prepare(here: Layout) -> tuple[Path, Image]:
    """Everything that is missing, at the same time: the compiler needs the processor, the rest mostly the network."""
    runner = Runner(here.state)
    builder = Builder(runner)
    with ThreadPoolExecutor() as pool:
        packages = pool.submit(debian.ensure, debian.NODE, runner)
        tools = pool.submit(wheels.client_tools, runner)
        binary = pool.submit(builder.build, HK)
        pause = pool.submit(pause_image, builder)
        for waiting in (packages, tools, binary, pause):
            waiting.result()
        return binary.result(), pause.result()


def _start(here: Layout, binary: Path, pause: Image) -> None:
    spawn.end(here)
    spawn.fresh_logs(here)
    here.kubelet.mkdir()
    make_cgroups(here.name)
    runner = Runner(here.state)
    if shutil.which("modprobe"):
        runner.run(["modprobe", "-a", "overlay", "br_netfilter"], check=False)  # built in, on some kernels
    write_keys(here, binary, ["127.0.0.1", nodefiles.NODE_IP, components.KUBERNETES_IP])
    write_credentials(here, ADDRESSES.server)
    nodefiles.write_node_files(here, pause.reference)
    record = {
        "provider": "bare",
        "size": "node",
        "server": ADDRESSES.server,
        "binaries": {"hk": str(binary)},
    }
    spawn.spawn(here, _components(here, binary), ready_url=ADDRESSES.ready_url, wrapper=NAMESPACES)
    write_if_changed(here.record, json.dumps(record, indent=1))
    spawn.wait_for_supervisor(here)
    images = Images(here, runner)
    images.wait()
    images.tidy()
    images.load(pause.tar)
    _wait_ready(here)


def _components(here: Layout, binary: Path) -> list[Component]:
    local = ["--bind-address=127.0.0.1"]
    return [
        components.etcd(binary, ADDRESSES, Path("/run/etcd")),
        components.apiserver(binary, here, ADDRESSES, []),
        Component("containerd", ("containerd", "-c", f"{here.etc}/containerd.toml"), after_ready=False),
        Component("kubelet", _kubelet(here, binary), after_ready=True),
        components.controller_manager(binary, here, local),
        components.scheduler(binary, here, local),
        Component("proxy", (f"{binary}", "kube-proxy", f"--config={here.etc}/proxy.json"), after_ready=True),
        Component("dns", (f"{binary}", "coredns", "-conf", f"{here.etc}/Corefile"), after_ready=True),
    ]


def _kubelet(here: Layout, binary: Path) -> tuple[str, ...]:
    return (
        f"{binary}",
        "kubelet",
        f"--config={here.etc}/kubelet.json",
        components.kubeconfig_flag(here, "kubelet"),
        f"--root-dir={here.kubelet}",
        f"--cert-dir={here.kubelet}/pki",
        f"--node-ip={nodefiles.NODE_IP}",
        f"--hostname-override={here.name}",
    )


def _wait_ready(here: Layout) -> None:
    """Only a thread that has entered the cluster's network can ask its API server."""
    pid = spawn.supervisor_pid(here)
    if pid is None:
        raise ClusterError(f"the node ended ({spawn.trouble(here)})")
    with ThreadPoolExecutor(1, initializer=enter_network, initargs=(pid,)) as inside:
        inside.submit(_poll_ready, here).result()


def _poll_ready(here: Layout) -> None:
    api = Api.of(here.kubeconfig)
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        try:
            if api.default_account() and api.node_ready(here.name):
                return
        except OSError:
            if not spawn.running(here):
                break
        time.sleep(0.1)
    raise ClusterError(f"the node is not Ready ({spawn.trouble(here)})")
