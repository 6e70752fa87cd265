"""The cluster that the acceptance runs on: the demo's stack, with a registry whose data outlives its pod."""

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2e.cluster.provider import Cluster
from e2e.demo import images, stack, trained
from e2e.demo.images import Images
from e2e.demo.kubectl import Kubectl

STORAGE = Path(__file__).with_name("storage.yaml")


@dataclass(frozen=True)
class World:
    """`versions`: the registry's numbers of the demo's five models.

    `figures`: what was measured, told at the end.
    """

    cluster: Cluster
    kubectl: Kubectl
    images: Images
    folder: Path
    versions: dict[int, str]
    figures: list[str] = field(default_factory=list)

    def millgate(self, *words: str) -> str:
        """`kubectl millgate WORDS`, as a person types it. Raises CommandError."""
        return self.kubectl.command([self.plugin, *words, "-n", stack.MODEL_NAMESPACE])

    @property
    def plugin(self) -> str:
        return str(Path(sys.executable).with_name("kubectl-millgate"))


def bring_up(cluster: Cluster) -> World:
    with ThreadPoolExecutor() as pool:
        training = pool.submit(trained.models)
        made = images.build(cluster)
        folder = training.result()
    cluster.up()
    images.load(cluster, made)
    kubectl = Kubectl(cluster.status())
    stack.clear(kubectl)
    kubectl.apply(stack.render("namespaces"))
    _give_storage(kubectl, made)
    start_registry(kubectl, made)
    registering = stack.Registering(kubectl, folder, others=True)
    try:
        configure(kubectl, made)
        versions = registering.finish()
    finally:
        registering.stop()
    return World(cluster, kubectl, made, folder, versions)


def configure(kubectl: Kubectl, made: Images, **config: Any) -> None:
    """Millgate with these settings beside the usual ones, and with none that an earlier call gave."""
    stack.install_millgate(kubectl, made, allowedImagePrefixes=["localhost/"], **config)
    stack.await_millgate(kubectl)


def start_registry(kubectl: Kubectl, made: Images) -> None:
    """The demo's MLflow as it should be, its data on the volume; also undoes whatever a test did to it."""
    manifest = stack.render("mlflow", mlflow_image=made.mlflow.reference)
    temporary, durable = (
        "- name: data\n        emptyDir: {}",
        "- name: data\n        persistentVolumeClaim: {claimName: mlflow}",
    )
    if temporary not in manifest:
        raise AssertionError("the demo's MLflow has no temporary volume 'data'")
    kubectl.apply(manifest.replace(temporary, durable))
    kubectl.await_rollout(stack.PLATFORM_NAMESPACE, "mlflow")


def _give_storage(kubectl: Kubectl, made: Images) -> None:
    """A folder of the node that any user may write to, which only a pod without restrictions can make."""
    kubectl.apply(STORAGE.read_text().replace("@IMAGE@", made.clients.reference))
    kubectl.run("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/mlflow-storage", "--timeout=120s")
