"""Runs a cluster's components: starts what the plan lists, reaps, and answers on a socket. Run by `up`, never by hand.

The components die with this process (the kernel sees to it), and this process dies with its namespace or, where it has
one, with its owner. Nothing is restarted by itself: a component that dies is a defect to see, or a test's doing.
"""

import fcntl
import json
import os
import select
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2e.cluster.paths import Layout
from e2e.cluster.processes import die_with_parent


@dataclass(frozen=True)
class Component:
    """One process of the cluster."""

    name: str
    argv: tuple[str, ...]
    after_ready: bool  # started once the API server answers

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "argv": list(self.argv), "afterReady": self.after_ready}


@dataclass
class Supervisor:
    """The components that run, and those that wait for the API server."""

    layout: Layout
    components: dict[str, Component]
    ready_url: str
    running: dict[int, str] = field(default_factory=dict)
    ready: bool = False

    def start(self, name: str) -> None:
        if name in self.running.values():
            return
        with (self.layout.log / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                self.components[name].argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.layout.state,
                preexec_fn=die_with_parent,  # noqa: PLW1509  this process has one thread
            )
        self.running[process.pid] = name
        note(f"{name} started as {process.pid}")

    def stop(self, name: str, number: int) -> None:
        """Send the signal and wait until the process is gone."""
        for pid in [pid for pid, other in self.running.items() if other == name]:
            os.kill(pid, number)
            os.kill(pid, signal.SIGCONT)  # a paused process would keep the signal waiting
            os.waitpid(pid, 0)
            del self.running[pid]
            note(f"{name} stopped with signal {number}")

    def signal(self, name: str, number: int) -> None:
        for pid, other in self.running.items():
            if other == name:
                os.kill(pid, number)

    def start_all(self, *, after_ready: bool) -> None:
        for component in self.components.values():
            if component.after_ready == after_ready:
                self.start(component.name)

    def reap(self) -> None:
        """As the namespace's first process this one also inherits orphans, for example of container shims."""
        try:
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if name := self.running.pop(ended[0], None):
                    note(f"{name} ended by itself, status {ended[1]}")
        except ChildProcessError:
            pass

    def look(self) -> None:
        """Start the second half once the API server is ready for the first time."""
        if self.ready or not answers(self.ready_url, self.layout.pki / "ca.crt"):
            return
        self.ready = True
        note("API server ready")
        self.start_all(after_ready=True)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        operation, name = request.get("do"), request.get("name", "")
        if operation in ("start", "stop", "signal") and name not in self.components:
            return {"error": f"no component {name!r}; there are {sorted(self.components)}"}
        if operation == "start":
            self.start(name)
        elif operation == "stop":
            self.stop(name, int(request.get("signal", signal.SIGKILL)))
        elif operation == "signal":
            self.signal(name, int(request["signal"]))
        return {"ready": self.ready, "components": {name: pid for pid, name in self.running.items()}}


def note(text: str) -> None:
    print(f"{time.time():.2f} {text}", flush=True)


def answers(url: str, certificate: Path) -> bool:
    try:
        context = ssl.create_default_context(cafile=str(certificate))
        with urllib.request.urlopen(url, timeout=2, context=context) as response:  # noqa: S310  the plan's own https URL
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def serve(supervisor: Supervisor, listener: socket.socket, owner: int | None) -> None:
    """The only loop; ends with the owner."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    if owner is not None:
        poll.register(owner, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll(500 if supervisor.ready else 50):
            if descriptor == owner:
                note("the owner ended")
                return
            converse(supervisor, listener)
        supervisor.reap()
        supervisor.look()


def converse(supervisor: Supervisor, listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(2)
        try:
            request = json.loads(connection.makefile("r").readline())
            supervisor.reap()
            connection.sendall(json.dumps(supervisor.answer(request)).encode() + b"\n")
        except (OSError, ValueError) as reason:
            note(f"a bad request: {reason}")


def main(state: str, lock: str, owner: str) -> int:
    layout = Layout(Path(state).name, Path(state))
    fcntl.flock(int(lock), fcntl.LOCK_UN)  # this process now carries the mark: see spawn
    os.close(int(lock))
    plan = json.loads(layout.plan.read_text())
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # the kernel then ends the components
    if plan["namespaced"]:
        from e2e.cluster.nodesetup import prepare_namespaces  # noqa: PLC0415  only the node needs it

        prepare_namespaces(layout)
    components = [Component(each["name"], tuple(each["argv"]), bool(each["afterReady"])) for each in plan["components"]]
    supervisor = Supervisor(layout, {each.name: each for each in components}, plan["readyUrl"])
    layout.control.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(layout.control))
        listener.listen(16)
        supervisor.start_all(after_ready=False)
        serve(supervisor, listener, int(owner) if owner != "-" else None)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
