"""What is known of a cluster from outside, for people and for programs."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from e2e.cluster import spawn
from e2e.cluster.paths import Layout, cache, default_name, layout
from e2e.cluster.wheels import KUBECTL

SIZES = ("node", "control-plane")


@dataclass(frozen=True)
class Status:
    """One cluster. `namespace_pid` is a process in the cluster's network namespace, where it has one."""

    name: str
    provider: str
    size: str
    running: bool
    kubeconfig: str
    server: str = ""
    namespace_pid: int | None = None
    state: str = ""
    components: tuple[str, ...] = ()
    binaries: tuple[tuple[str, str], ...] = ()

    def as_json(self) -> str:
        return json.dumps({**asdict(self), "binaries": dict(self.binaries)}, indent=1)

    def as_text(self) -> str:
        if not self.running:
            return f"{self.name}: not running"
        lines = [f"{self.name}: {self.provider} {self.size}, running", f"kubeconfig: {self.kubeconfig}"]
        if self.components:
            lines.append(f"components: {', '.join(sorted(self.components))}")
        if self.namespace_pid:
            lines.append(f"network namespace: of process {self.namespace_pid}")
        return "\n".join(lines)


def record(here: Layout) -> dict[str, Any]:
    try:
        read: dict[str, Any] = json.loads(here.record.read_text())
    except (OSError, ValueError):
        return {}
    return read


def tools_folder() -> Path:
    """Where kubectl and helm lie once they have been fetched."""
    return cache() / "tools" / f"{KUBECTL.package}-{KUBECTL.version}"


def bare_status(name: str) -> Status:
    here = layout(name)
    known = record(here)
    alive = spawn.running(here)
    pid = spawn.supervisor_pid(here) if alive and known.get("size") == "node" else None
    binaries = dict(known.get("binaries", {}))
    for tool in ("kubectl", "helm"):
        if (path := tools_folder() / tool).exists():
            binaries[tool] = str(path)
    return Status(
        name=name,
        provider="bare",
        size=known.get("size", "node"),
        running=alive,
        kubeconfig=str(here.kubeconfig),
        server=known.get("server", ""),
        namespace_pid=pid,
        state=str(here.state),
        components=tuple(spawn.ask(here, do="status")["components"]) if alive else (),
        binaries=tuple(sorted(binaries.items())),
    )


def default_bare_name() -> str:
    """The checkout's node where it runs, else its control plane where that runs, else the node."""
    names = [default_name(size) for size in SIZES]
    return next((name for name in names if spawn.running(layout(name))), names[0])
