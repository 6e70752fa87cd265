"""A control plane without nodes, for tests: etcd, API server, controllers, scheduler, KWOK's fake nodes and pods.

It needs no root, no namespace and no system package, listens on loopback ports of its own choosing, and any number of
them run side by side.
"""

import itertools
import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from e2e.cluster import components, ports, spawn
from e2e.cluster.api import Api
from e2e.cluster.gobuild import HK, KWOK, PROMETHEUS, Builder
from e2e.cluster.identity import write_credentials, write_keys
from e2e.cluster.paths import ClusterError, Layout, cache, layout, locked, write_if_changed
from e2e.cluster.processes import Runner
from e2e.cluster.progress import phase, say
from e2e.cluster.supervisor import Component, answers

LOOPBACK = "127.0.0.1"
READY_SECONDS = 90.0
_numbers = itertools.count()


@dataclass(frozen=True)
class Options:
    """What a test may want otherwise."""

    audit: bool = False
    nodes: int = 1  # fake ones
    kwok: bool = True
    with_owner: bool = False  # ends when the process that started it ends
    apiserver_flags: tuple[str, ...] = ()


def bring_up(name: str, options: Options) -> Layout:
    """Start it, or find it running; returns once pods can be made."""
    here = layout(name)
    with locked(here.state / "up.lock"):
        if spawn.running(here):
            _wait_ready(here, options.nodes if options.kwok else 0)
            say(f"control plane {name} runs already")
            return here
        binaries = _binaries(here, kwok=options.kwok)
        with phase(f"start control plane {name}"):
            _start(here, binaries, options)
    return here


def _binaries(here: Layout, *, kwok: bool) -> dict[str, Path]:
    builder = Builder(Runner(here.state))
    with ThreadPoolExecutor() as pool:
        programs = [HK, KWOK] if kwok else [HK]
        builds = {program.name: pool.submit(builder.build, program) for program in programs}
        return {name: build.result() for name, build in builds.items()}


def _start(here: Layout, binaries: dict[str, Path], options: Options) -> None:
    spawn.end(here)
    spawn.fresh_logs(here)
    write_keys(here, binaries["hk"], [LOOPBACK, components.KUBERNETES_IP])
    for attempt in range(3):
        addresses = components.Addresses(LOOPBACK, *ports.pick(3))
        write_credentials(here, addresses.server)
        record = {
            "provider": "bare",
            "size": "control-plane",
            "server": addresses.server,
            "binaries": {key: str(path) for key, path in binaries.items()},
        }
        spawn.spawn(
            here,
            _components(here, binaries, addresses, options),
            ready_url=addresses.ready_url,
            with_owner=options.with_owner,
        )
        write_if_changed(here.record, json.dumps(record, indent=1))
        spawn.wait_for_supervisor(here)
        if _wait_ready(here, options.nodes if options.kwok else 0, give_up_on_dead=attempt < 2):
            return
        spawn.end(here)
        here.log.mkdir(exist_ok=True)


def _components(
    here: Layout, binaries: dict[str, Path], addresses: components.Addresses, options: Options
) -> list[Component]:
    hk = binaries["hk"]
    flags = [
        f"--bind-address={LOOPBACK}",
        "--endpoint-reconciler-type=none",  # a loopback address cannot be the endpoint of a Service
        "--max-requests-inflight=3000",  # benchmarks measure the operator, not this limit
        "--max-mutating-requests-inflight=2000",
        *(components.audit_flags(here) if options.audit else []),
        *options.apiserver_flags,
    ]
    manager = ["--secure-port=0", "--kube-api-qps=500", "--kube-api-burst=1000", "--concurrent-deployment-syncs=20"]
    found = [
        components.etcd(hk, addresses, here.state / "etcd"),
        components.apiserver(hk, here, addresses, flags),
        components.controller_manager(hk, here, manager),
        components.scheduler(hk, here, ["--secure-port=0", "--kube-api-qps=500", "--kube-api-burst=1000"]),
    ]
    if options.kwok:
        found.append(components.kwok(binaries["kwok"], here))
    return found


def _wait_ready(here: Layout, nodes: int, *, give_up_on_dead: bool = False) -> bool:
    """False where etcd or the API server died at once, as they do when somebody took their port meanwhile."""
    until = time.monotonic() + READY_SECONDS
    api = Api.of(here.kubeconfig)
    names = [f"fake-{number}" for number in range(nodes)]
    made = False
    while time.monotonic() < until:
        alive = spawn.ask(here, do="status")
        if give_up_on_dead and not {"etcd", "apiserver"} <= alive["components"].keys():
            return False
        try:
            if alive["ready"] and not made:
                for name in names:
                    api.add_fake_node(name)
                made = True
            if made and api.default_account() and all(api.node_ready(name) for name in names):
                return True
        except OSError:
            pass
        time.sleep(0.05)
    raise ClusterError(f"the control plane is not ready after {READY_SECONDS:.0f} s ({spawn.trouble(here)})")


def _purge_orphans() -> None:
    """Files of control planes whose test process was killed before it could remove them."""
    for state in (cache() / "state").glob("t*-*"):
        owner = state.name[1:].partition("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            spawn.end(layout(state.name), purge=True)


class ControlPlane:
    """A control plane for a `with` block: a name of its own, gone at the end, also when this process is killed.

    `name` is None for one that nobody else uses; then its files go too.
    """

    def __init__(self, name: str | None = None, *, audit: bool = False, nodes: int = 1, kwok: bool = True) -> None:
        self.name = name or f"t{os.getpid()}-{next(_numbers)}"
        self._purge = name is None
        self._options = Options(audit=audit, nodes=nodes, kwok=kwok, with_owner=True)
        self._layout = layout(self.name)

    def with_flags(self, *flags: str) -> Self:
        """More flags for the API server, before the start."""
        self._options = replace(self._options, apiserver_flags=flags)
        return self

    def __enter__(self) -> Self:
        if self._purge:
            _purge_orphans()
        bring_up(self.name, self._options)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        spawn.end(self._layout, purge=self._purge)

    @property
    def kubeconfig(self) -> Path:
        return self._layout.kubeconfig

    @property
    def server(self) -> str:
        return Api.of(self.kubeconfig).server

    @property
    def token(self) -> str:
        return Api.of(self.kubeconfig).token

    @property
    def certificate_authority(self) -> Path:
        return self._layout.pki / "ca.crt"

    @property
    def logs(self) -> Path:
        return self._layout.log

    def pids(self) -> dict[str, int]:
        """Component → process id: etcd, apiserver, controller-manager, scheduler, kwok."""
        found: dict[str, int] = spawn.ask(self._layout, do="status")["components"]
        return found

    def stop(self, component: str = "apiserver", *, number: int = signal.SIGKILL) -> None:
        """End one component with a signal and wait until it is gone; `start` brings it back with its data."""
        spawn.ask(self._layout, do="stop", name=component, signal=number)

    def start(self, component: str = "apiserver", *, seconds: float = 60.0) -> None:
        """Start it again; returns once the API server answers."""
        spawn.ask(self._layout, do="start", name=component)
        until = time.monotonic() + seconds
        while not answers(f"{self.server}/readyz", self.certificate_authority):
            if time.monotonic() > until:
                raise ClusterError(f"the API server is not ready {seconds:.0f} s after {component} was started")
            time.sleep(0.05)

    def restart_apiserver(self) -> None:
        self.stop("apiserver")
        self.start("apiserver")

    def stop_apiserver(self) -> None:
        """Connections are refused until `start()`."""
        self.stop("apiserver")

    def pause(self, component: str = "apiserver") -> None:
        """Connections hang until `resume`."""
        spawn.ask(self._layout, do="signal", name=component, signal=signal.SIGSTOP)

    def resume(self, component: str = "apiserver") -> None:
        spawn.ask(self._layout, do="signal", name=component, signal=signal.SIGCONT)

    def audit_events(self) -> Iterator[dict[str, Any]]:
        """The finished requests so far, oldest first (`audit=True`): verb, userAgent, objectRef, responseStatus, …"""
        with components.audit_log(self._layout).open() as lines:
            for line in lines:
                if line.endswith("\n"):  # the last one may be being written
                    yield json.loads(line)

    @staticmethod
    def prometheus() -> Path:
        """The real Prometheus, with Kubernetes discovery; built at the first call."""
        return Builder(Runner()).build(PROMETHEUS)
