"""How much processor time and memory the pod was given: the limits of its control group, of either version."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_MOUNT = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")
_NO_LIMIT = 1 << 60


def cpus(mount: Path = _MOUNT, own_groups: Path = _OWN_GROUPS) -> float | None:
    """The smallest quota from the process's own group up to the root, in cores; None where there is no limit.

    https://docs.kernel.org/admin-guide/cgroup-v2.html (cpu.max) and .../scheduler/sched-bwc.html (cpu.cfs_quota_us).
    """
    quotas = [quota for folder in _folders("cpu", mount, own_groups) if (quota := _quota(folder)) is not None]
    return min(quotas, default=None)


def memory_bytes(mount: Path = _MOUNT, own_groups: Path = _OWN_GROUPS) -> int | None:
    """The smallest limit on the same way; None where there is none."""
    limits = [limit for folder in _folders("memory", mount, own_groups) if (limit := _limit(folder)) is not None]
    return min(limits, default=None)


def threads(quota: float | None, available: int | None = None) -> int:
    """Threads for one model: whole cores of the quota, as those beyond it would only wait for the next period.

    Without a limit one: a node's cores belong to all of its pods.
    """
    usable = available or len(os.sched_getaffinity(0))
    return 1 if quota is None else max(1, min(int(quota), usable))


def _folders(controller: str, mount: Path, own_groups: Path) -> Iterator[Path]:
    """In a container the own group is usually mounted as the root, and the path that the kernel names is not there."""
    try:
        lines = own_groups.read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if number == "0" and not controllers:
            roots = [mount, mount / "unified"]
        elif controller in controllers.split(","):
            roots = [mount / controller, mount / controllers]
        else:
            continue
        path = PurePosixPath(group.lstrip("/"))
        for root in roots:
            yield from (root / part for part in (path, *path.parents) if ".." not in part.parts)


def _quota(folder: Path) -> float | None:
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text().split()[:2]
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        return None if quota == "max" or int(quota) <= 0 else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _limit(folder: Path) -> int | None:
    """Version 1 writes the largest number of pages where version 2 writes `max`."""
    name = "memory.max" if (folder / "memory.max").is_file() else "memory.limit_in_bytes"
    try:
        text = (folder / name).read_text().strip()
        return None if text == "max" or int(text) >= _NO_LIMIT else int(text)
    except (OSError, ValueError):
        return None
