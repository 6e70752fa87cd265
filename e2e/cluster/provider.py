"""Chooses which cluster: the one that MILLGATE_KUBECONFIG names, kind where Docker answers, or a bare one."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from e2e.cluster import controlplane, node, spawn
from e2e.cluster.containerd import Images
from e2e.cluster.controlplane import Options
from e2e.cluster.docker import docker_answers
from e2e.cluster.existing import Existing
from e2e.cluster.images import ImageBuilder, image_builder
from e2e.cluster.kind import Kind
from e2e.cluster.paths import ClusterError, default_name, layout
from e2e.cluster.processes import MARK, Runner
from e2e.cluster.progress import say
from e2e.cluster.status import SIZES, Status, bare_status, default_bare_name
from e2e.cluster.wheels import client_tools


class Cluster(Protocol):
    """What can be done with any of them."""

    def up(self) -> None: ...

    def down(self, *, purge: bool = False) -> None: ...

    def load_image(self, tar: Path) -> None: ...

    def status(self) -> Status: ...

    def image_builder(self) -> ImageBuilder: ...


class Bare:
    """A cluster of our own processes, of either size."""

    def __init__(self, name: str, size: str = "node", options: Options | None = None) -> None:
        self._name = name
        self._size = size
        self._options = options or Options()

    def up(self) -> None:
        if self._size == "node":
            node.bring_up(self._name)
        else:
            controlplane.bring_up(self._name, self._options)

    def down(self, *, purge: bool = False) -> None:
        ended = spawn.end(layout(self._name), purge=purge)
        say(f"{self._name}: ended {ended} processes" if ended else f"{self._name}: nothing ran")

    def load_image(self, tar: Path) -> None:
        if self.status().size != "node":
            raise ClusterError(f"{self._name} has fake pods only, which need no image")
        here = layout(self._name)
        Images(here, Runner(here.state)).load(tar)

    def status(self) -> Status:
        return bare_status(self._name)

    def image_builder(self) -> ImageBuilder:
        return image_builder(Runner(layout(self._name).state), docker=False)


def choose(
    name: str | None,
    size: str,
    options: Options,
    *,
    environment: Mapping[str, str] = os.environ,
    runner: Runner | None = None,
) -> Cluster:
    """The cluster that `up` is about. A control plane is always bare: its pods are fake, so no other would do."""
    if size == "control-plane":
        return Bare(name or default_name(size), size, options)
    if kubeconfig := environment.get("MILLGATE_KUBECONFIG"):
        return Existing(Path(kubeconfig), environment)
    commands = runner or Runner()
    if docker_answers(commands):
        return Kind(name or default_name(size), commands)
    return Bare(name or default_name(size))


def find(name: str | None, *, environment: Mapping[str, str] = os.environ) -> Cluster:
    """The cluster that the other commands are about: the one `up` recorded, or the one the environment names."""
    if not name and (kubeconfig := environment.get("MILLGATE_KUBECONFIG")):
        return Existing(Path(kubeconfig), environment)
    chosen = name or default_bare_name()
    if Kind.recorded(chosen):
        return Kind(chosen, Runner())
    return Bare(chosen, bare_status(chosen).size)


def to_end(name: str | None) -> list[Cluster]:
    """`down` without a name ends all that this checkout started, and never the cluster that the environment names."""
    names = [name] if name else [default_name(size) for size in SIZES]
    return [find(each) for each in names]


def inside(status: Status, argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The command line and environment that run a command where the cluster's addresses are reachable.

    kubectl and helm come first on its PATH.
    """
    path = f"{client_tools(Runner())}:{os.environ.get('PATH', os.defpath)}"
    environment = {**os.environ, "KUBECONFIG": status.kubeconfig, "PATH": path}
    if status.provider == "bare":
        environment[MARK] = status.state
    if not status.namespace_pid:
        return list(argv), environment
    entering = shutil.which("nsenter")
    if not entering:
        raise ClusterError("nsenter (Debian: util-linux) is not installed")
    # `ip netns exec` would mount another /sys, and so hide the cgroups
    return [entering, "-t", str(status.namespace_pid), "-n", "--", *argv], environment
