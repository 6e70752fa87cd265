"""The cluster that MILLGATE_KUBECONFIG names: ours to use, not to start or end."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from e2e.cluster.docker import docker_answers
from e2e.cluster.images import ImageBuilder, image_builder
from e2e.cluster.paths import ClusterError
from e2e.cluster.processes import Runner
from e2e.cluster.progress import phase, say
from e2e.cluster.status import Status
from e2e.cluster.wheels import client_tools

LOAD_COMMAND = "MILLGATE_LOAD_COMMAND"


class Existing:
    """Somebody else's cluster."""

    def __init__(self, kubeconfig: Path, environment: Mapping[str, str], runner: Runner | None = None) -> None:
        self._kubeconfig = kubeconfig.absolute()
        self._environment = environment
        self._runner = runner or Runner()

    def up(self) -> None:
        if not self._kubeconfig.is_file():
            raise ClusterError(f"MILLGATE_KUBECONFIG names {self._kubeconfig}, which is no file")
        kubectl = client_tools(self._runner) / "kubectl"
        self._runner.run([kubectl, f"--kubeconfig={self._kubeconfig}", "get", "--raw", "/readyz"])
        say(f"using the cluster of {self._kubeconfig}")

    def down(self, *, purge: bool = False) -> None:  # noqa: ARG002  there is nothing of ours to purge
        say(f"the cluster of {self._kubeconfig} is not ours to end")

    def load_image(self, tar: Path) -> None:
        """How images get there is known only to whoever runs it."""
        command = self._environment.get(LOAD_COMMAND)
        if not command:
            raise ClusterError(
                f"say how your cluster takes an image tar, for example {LOAD_COMMAND}='minikube image load'"
            )
        with phase(f"{command} {tar.name}"):
            self._runner.run([*shlex.split(command), tar])

    def status(self) -> Status:
        return Status(
            name="existing",
            provider="existing",
            size="node",
            running=self._kubeconfig.is_file(),
            kubeconfig=str(self._kubeconfig),
        )

    def image_builder(self) -> ImageBuilder:
        return image_builder(self._runner, docker=docker_answers(self._runner))
