"""Kills the operator as a kernel out of memory or a dying node does: at once, and without a word to anybody."""

import os
import signal
from pathlib import Path

from e2e.acceptance.world import World
from e2e.demo import stack

_PROCESS = b"millgate"


def kill_operator(world: World) -> str:
    """`kill -9` of the process in the operator's pod; gives the pod's name.

    The pod is then deleted too, for its Deployment to start another one at once: kubelet lets a container that ends
    again and again wait longer each time, and what is asked here is what the operator makes of it, not kubelet.
    """
    found = world.kubectl.get("pods", "-n", stack.OPERATOR_NAMESPACE) or {"items": []}
    pod = next(each for each in found["items"] if "deletionTimestamp" not in each["metadata"])
    processes = _of_pod(pod["metadata"]["uid"])
    if not processes:
        raise AssertionError(f"the pod {pod['metadata']['name']} has no process of the operator")
    for process in processes:
        os.kill(process, signal.SIGKILL)
    name: str = pod["metadata"]["name"]
    world.kubectl.run("delete", "pod", name, "-n", stack.OPERATOR_NAMESPACE, "--force", "--grace-period=0")
    return name


def _of_pod(uid: str) -> list[int]:
    """Processes of the operator in the pod's control groups, whose names hold the pod's uid."""
    marks = (uid.encode(), uid.replace("-", "_").encode())
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            groups, words = (folder / "cgroup").read_bytes(), (folder / "cmdline").read_bytes()
        except OSError:
            continue  # it has ended meanwhile
        if any(mark in groups for mark in marks) and _PROCESS in words:
            found.append(int(folder.name))
    return found
