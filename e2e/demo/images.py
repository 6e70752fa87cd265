"""The images that the demo runs, and what each is made of."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.gobuild import HK, Builder
from e2e.cluster.images import Image, Recipe
from e2e.cluster.paths import REPO_ROOT
from e2e.cluster.processes import Runner
from e2e.cluster.provider import Cluster

CLIENTS = Path(__file__).with_name("clients.py")
OPERATOR_FILES = ("pyproject.toml", "uv.lock", "README.md", "serving-image/pyproject.toml", "operator")
SERVING_FILES = (
    *("requirements-fast.txt", "requirements-full.txt", "requirements-sbom.txt"),
    *("pyproject.toml", "millgate_serving", "millgate-serving"),
)


@dataclass(frozen=True)
class Images:
    operator: Image
    serving: Image
    mlflow: Image
    prometheus: Image
    clients: Image

    def all(self) -> tuple[Image, ...]:
        return (self.operator, self.serving, self.mlflow, self.prometheus, self.clients)


def operator_recipe() -> Recipe:
    context = {name: REPO_ROOT / name for name in OPERATOR_FILES}
    return Recipe("millgate-operator", REPO_ROOT / "Containerfile", context)


def serving_recipe() -> Recipe:
    folder = REPO_ROOT / "serving-image"
    context = {name: folder / name for name in SERVING_FILES}
    return Recipe("millgate-serving", folder / "Containerfile", context)


def build(cluster: Cluster) -> Images:
    """All of them, and the programs of a bare node: compilers and downloads go on at the same time.

    It must be over before the cluster is started: a start first ends whatever an earlier one has left running.
    """
    builder = cluster.image_builder()
    with ThreadPoolExecutor() as pool:
        if cluster.status().provider == "bare":
            pool.submit(Builder(Runner()).build, HK)  # `up` says what is wrong with it, if anything is
        prometheus = pool.submit(builder.prometheus)
        recipes = [pool.submit(builder.build, recipe) for recipe in (operator_recipe(), serving_recipe())]
        mlflow, clients = pool.submit(builder.mlflow), pool.submit(builder.load_generator, CLIENTS)
        operator, serving = (recipe.result() for recipe in recipes)
        return Images(operator, serving, mlflow.result(), prometheus.result(), clients.result())


def load(cluster: Cluster, images: Images) -> None:
    for image in images.all():
        cluster.load_image(image.tar)
