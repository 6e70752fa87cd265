"""A kind cluster, where a Docker engine answers. Written against kind's documented commands; see docs/cluster.md."""

import json
import shutil
from pathlib import Path

from e2e.cluster import tarimage
from e2e.cluster.images import ImageBuilder, image_builder
from e2e.cluster.paths import ClusterError, Layout, layout, locked, write_if_changed
from e2e.cluster.processes import Runner
from e2e.cluster.progress import phase, say
from e2e.cluster.status import Status, record
from e2e.cluster.wheels import client_tools

READY_WAIT = "180s"
CONFIG = """kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes:
- role: control-plane
"""


class Kind:
    """One kind cluster; its name is the one that kind knows it by."""

    def __init__(self, name: str, runner: Runner) -> None:
        self._layout = layout(name)
        self._runner = runner

    @staticmethod
    def recorded(name: str) -> bool:
        return record(layout(name)).get("provider") == "kind"

    def _there(self) -> bool:
        listed = self._runner.run(["kind", "get", "clusters"], check=False)
        return self._layout.name in listed.out.split()

    def up(self) -> None:
        if not shutil.which("kind"):
            raise ClusterError("Docker answers, but kind is not installed: https://kind.sigs.k8s.io")
        here = self._layout
        with locked(here.state / "up.lock"):
            write_if_changed(here.record, json.dumps({"provider": "kind", "size": "node"}))
            client_tools(self._runner)
            if self._there():
                self._export_kubeconfig(here)
                say(f"kind cluster {here.name} runs already")
                return
            config = here.etc / "kind.yaml"
            write_if_changed(config, CONFIG)
            with phase(f"kind create cluster {here.name}"):
                command: list[str | Path] = ["kind", "create", "cluster", "--name", here.name, "--config", config]
                self._runner.run([*command, "--kubeconfig", here.kubeconfig, "--wait", READY_WAIT])

    def _export_kubeconfig(self, here: Layout) -> None:
        here.etc.mkdir(parents=True, exist_ok=True)
        self._runner.run(["kind", "export", "kubeconfig", "--name", here.name, "--kubeconfig", here.kubeconfig])

    def down(self, *, purge: bool = False) -> None:
        """Deleting a cluster that is not there is no error to kind either."""
        here = self._layout
        with phase(f"kind delete cluster {here.name}"):
            self._runner.run(["kind", "delete", "cluster", "--name", here.name, "--kubeconfig", here.kubeconfig])
        here.record.unlink(missing_ok=True)
        shutil.rmtree(here.state / "loaded", ignore_errors=True)
        if purge:
            shutil.rmtree(here.state, ignore_errors=True)

    def load_image(self, tar: Path) -> None:
        try:
            wanted = tarimage.contents(tar)
        except (OSError, ValueError) as reason:
            raise ClusterError(str(reason)) from reason
        mark = self._layout.state / "loaded" / wanted.digest
        if mark.exists():
            return
        with phase(f"kind load {' '.join(wanted.references)}"):
            self._runner.run(["kind", "load", "image-archive", tar, "--name", self._layout.name])
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()

    def status(self) -> Status:
        here = self._layout
        return Status(
            name=here.name,
            provider="kind",
            size="node",
            running=self._there(),
            kubeconfig=str(here.kubeconfig),
        )

    def image_builder(self) -> ImageBuilder:
        return image_builder(self._runner, docker=True)
