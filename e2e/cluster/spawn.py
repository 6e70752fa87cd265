"""Starts the supervisor of a cluster and talks to it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from e2e.cluster.cgroups import remove_cgroups
from e2e.cluster.paths import REPO_ROOT, ClusterError, Layout, locked, write_if_changed
from e2e.cluster.processes import command_line, end_marked, marked, marked_environment
from e2e.cluster.supervisor import Component

MODULE = "e2e.cluster.supervisor"


def ask(layout: Layout, **request: Any) -> dict[str, Any]:
    """One question to the supervisor; ClusterError where none answers."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(90)
            client.connect(str(layout.control))
            client.sendall(json.dumps(request).encode() + b"\n")
            answer: dict[str, Any] = json.loads(client.makefile("r").readline())
    except (OSError, ValueError) as reason:
        raise ClusterError(f"cluster {layout.name} does not run ({reason})") from reason
    if error := answer.get("error"):
        raise ClusterError(str(error))
    return answer


def running(layout: Layout) -> bool:
    try:
        ask(layout, do="status")
    except ClusterError:
        return False
    return True


def trouble(layout: Layout) -> str:
    """For an error message: which components ended by themselves, and where to read why."""
    try:
        planned = [component["name"] for component in json.loads(layout.plan.read_text())["components"]]
        alive = ask(layout, do="status")["components"]
    except FileNotFoundError:
        return "it was ended meanwhile"
    except ClusterError as reason:
        return f"{reason}; its log: {layout.log}/supervisor.log"
    ended = [name for name in planned if name not in alive]
    return f"not running: {', '.join(ended) or 'none'}; logs: {layout.log}"


def supervisor_pid(layout: Layout) -> int | None:
    """The supervisor's process id as seen from here (inside its namespace it is 1)."""
    for pid in marked(layout.state):
        words = command_line(pid)
        if MODULE in words and not words[0].endswith("unshare"):
            return pid
    return None


def spawn(
    layout: Layout,
    components: Sequence[Component],
    *,
    ready_url: str,
    wrapper: Sequence[str] = (),
    with_owner: bool = False,
) -> None:
    """Write the plan and start the supervisor, in the namespaces that `wrapper` makes.

    The lock is inherited and held until the new process carries the cluster's mark, so that a `down` that comes after a
    kill -9 of this process either finds nothing yet to start, or something it can see.
    """
    plan = {
        "namespaced": bool(wrapper),
        "readyUrl": ready_url,
        "components": [component.as_json() for component in components],
    }
    write_if_changed(layout.plan, json.dumps(plan, indent=1))
    layout.control.unlink(missing_ok=True)
    owner = os.pidfd_open(os.getpid()) if with_owner else None
    with locked(layout.state / "spawn.lock") as lock, (layout.log / "supervisor.log").open("ab") as log:
        keep = [lock] + ([owner] if owner is not None else [])
        told = [str(layout.state), str(lock), str(owner) if owner is not None else "-"]
        subprocess.Popen(
            [*wrapper, sys.executable, "-m", MODULE, *told],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=REPO_ROOT,
            env=marked_environment(layout.state),
            start_new_session=True,
            pass_fds=keep,
        )
    if owner is not None:
        os.close(owner)


def wait_for_supervisor(layout: Layout, *, seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not running(layout):
        if time.monotonic() > until:
            tail = (layout.log / "supervisor.log").read_text()[-2000:]
            raise ClusterError(f"the cluster's supervisor does not answer:\n{tail}")
        time.sleep(0.02)


def end(layout: Layout, *, purge: bool = False) -> int:
    """End every process of the cluster and clear what it left; gives how many processes there were."""
    if not layout.state.exists():  # no cluster yet, but perhaps builds that are for it
        return end_marked(layout.state)
    with locked(layout.state / "spawn.lock"):
        ended = end_marked(layout.state)
        remove_cgroups(layout.name)
        for name in ("ctl.sock", "containerd.sock", "containerd.sock.ttrpc", "cluster.json", "plan.json"):
            (layout.state / name).unlink(missing_ok=True)
        for name in ("etcd", "kubelet"):
            shutil.rmtree(layout.state / name, ignore_errors=True)
    if purge:
        shutil.rmtree(layout.state, ignore_errors=True)
    return ended


def fresh_logs(layout: Layout) -> None:
    shutil.rmtree(layout.log, ignore_errors=True)
    layout.log.mkdir(parents=True)
    layout.etc.mkdir(exist_ok=True)
