"""Chooses which cluster: the one that MILLGATE_KUBECONFIG names, kind where Docker answers, or a bare one."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from e2e.cluster import controlplane, spawn
from e2e.cluster.controlplane import Options
from e2e.cluster.paths import ClusterError, default_name, layout
from e2e.cluster.processes import MARK
from e2e.cluster.progress import say
from e2e.cluster.status import SIZES, Status, bare_status, default_bare_name, tools_folder


class Cluster(Protocol):
    """What can be done with any of them."""

    def up(self) -> None: ...

    def down(self, *, purge: bool = False) -> None: ...

    def load_image(self, tar: Path) -> None: ...

    def status(self) -> Status: ...


class BareControlPlane:
    """API server and controllers; its pods are fake, so it needs no images."""

    def __init__(self, name: str, options: Options) -> None:
        self._name = name
        self._options = options

    def up(self) -> None:
        controlplane.bring_up(self._name, self._options)

    def down(self, *, purge: bool = False) -> None:
        end_bare(self._name, purge=purge)

    def load_image(self, tar: Path) -> None:
        raise ClusterError(f"{tar}: {self._name} has fake pods only, which need no image")

    def status(self) -> Status:
        return bare_status(self._name)


def end_bare(name: str, *, purge: bool) -> None:
    ended = spawn.end(layout(name), purge=purge)
    say(f"{name}: ended {ended} processes" if ended else f"{name}: nothing ran")


def choose(name: str | None, size: str, options: Options) -> Cluster:
    return BareControlPlane(name or default_name(size), options)


def find(name: str | None) -> Cluster:
    return BareControlPlane(name or default_bare_name(), Options())


def to_end(name: str | None) -> list[Cluster]:
    """`down` without a name ends all that this checkout started."""
    names = [name] if name else [default_name(size) for size in SIZES]
    return [BareControlPlane(each, Options()) for each in names]


def inside(status: Status, argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The command line and environment that run a command where the cluster's addresses are reachable."""
    path = f"{tools_folder()}:{os.environ.get('PATH', os.defpath)}"
    environment = {**os.environ, "KUBECONFIG": status.kubeconfig, "PATH": path}
    if status.state:
        environment[MARK] = status.state
    if not status.namespace_pid:
        return list(argv), environment
    entering = shutil.which("nsenter")
    if not entering:
        raise ClusterError("nsenter (Debian: util-linux) is not installed")
    # `ip netns exec` would mount another /sys, and so hide the cgroups
    return [entering, "-t", str(status.namespace_pid), "-n", "--", *argv], environment
