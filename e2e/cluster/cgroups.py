"""The node's cgroups: the kubelet wants its root group to exist in each hierarchy of version 1, or in version 2's."""

import os
import time
from pathlib import Path

from e2e.cluster.paths import ClusterError

CGROUPS = Path("/sys/fs/cgroup")
# By default a group weighs as much as one process outside of it, whatever number of pods it holds: beside a busy shell
# or two, a node would stand still. It weighs as much as eight.
WEIGHTS = {"cpu.shares": "8192", "cpu.weight": "800"}


def hierarchies(root: Path = CGROUPS) -> list[Path]:
    """The folders below which a group has to be made: the root itself where it is version 2."""
    if (root / "cgroup.controllers").exists():
        return [root]
    return [entry for entry in root.iterdir() if entry.is_dir() and not entry.is_symlink()]


def make_cgroups(name: str, root: Path = CGROUPS) -> None:
    for hierarchy in hierarchies(root):
        if hierarchy.name == "unified":  # version 2 beside version 1: the runtime makes its own there
            continue
        group = hierarchy / name
        group.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):  # version 1 starts them empty, and nothing can run there
            if hierarchy.name == "cpuset" and (hierarchy / setting).exists():
                (group / setting).write_text((hierarchy / setting).read_text())
        for setting, weight in WEIGHTS.items():  # one of them where processor time is shared out by this hierarchy
            if (group / setting).exists():
                (group / setting).write_text(weight)


def remove_cgroups(name: str, root: Path = CGROUPS, *, deadline_seconds: float = 5.0) -> None:
    """A group can be removed once the kernel has seen its last process go, which may be a moment after the kill."""
    until = time.monotonic() + deadline_seconds
    for hierarchy in hierarchies(root) if root.exists() else []:
        for folder, _, _ in os.walk(hierarchy / name, topdown=False):
            _remove(Path(folder), until)


def _remove(folder: Path, until: float) -> None:
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError as reason:
            if time.monotonic() > until:
                raise ClusterError(f"{folder} cannot be removed: {reason}") from reason
            time.sleep(0.02)
        else:
            return
