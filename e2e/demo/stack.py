"""What must be in the cluster before a model can be released: registry, Prometheus, Millgate, the trained models."""

import json
import re
import sys
from pathlib import Path
from typing import Any

from e2e.cluster.paths import REPO_ROOT
from e2e.demo.images import Images
from e2e.demo.kubectl import CommandError, Kubectl

MANIFESTS = Path(__file__).with_name("manifests")
MODEL_NAMESPACE = "millgate-demo"
PLATFORM_NAMESPACE = "millgate-demo-platform"
OPERATOR_NAMESPACE = "millgate-system"
NAMESPACES = (MODEL_NAMESPACE, PLATFORM_NAMESPACE, OPERATOR_NAMESPACE)
NAME = "digits"
CLIENTS = "clients"
SCRAPE_SECONDS = 2
_PLACE = re.compile(r"@([A-Z_]+)@")


def render(manifest: str, **values: str) -> str:
    """The manifest with `@NAME@` replaced by the value of `name`; KeyError where one is missing."""
    text = (MANIFESTS / f"{manifest}.yaml").read_text()
    return _PLACE.sub(lambda place: values[place[1].lower()], text)


def values(images: Images, **config: Any) -> dict[str, Any]:
    """The chart's values: where this platform has its registry and its Prometheus. `config`: further settings of it."""
    repository, _, tag = images.operator.reference.rpartition(":")
    return {
        "image": {"repository": repository, "tag": tag},
        "podAnnotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
        "config": {
            "prometheus": {
                "url": f"http://prometheus.{PLATFORM_NAMESPACE}.svc:9090",
                "scrapeIntervalSeconds": SCRAPE_SECONDS,
            },
            "registries": [{"name": "default", "uri": f"http://mlflow.{PLATFORM_NAMESPACE}.svc:5000"}],
            "defaultServingImage": images.serving.reference,
            **config,
        },
    }


def install_platform(kubectl: Kubectl, images: Images) -> None:
    kubectl.apply(render("namespaces"))
    kubectl.apply(render("mlflow", mlflow_image=images.mlflow.reference))


def install_millgate(kubectl: Kubectl, images: Images, **config: Any) -> None:
    """The chart, as a user installs it; then Prometheus, which reads pods of its namespace too."""
    kubectl.command(
        [
            *("helm", "upgrade", "--install", "millgate", str(REPO_ROOT / "charts/millgate")),
            *("--namespace", OPERATOR_NAMESPACE, "--create-namespace", "--values", "-"),
        ],
        stdin=json.dumps(values(images, **config)),
    )
    kubectl.apply(
        render("prometheus", prometheus_image=images.prometheus.reference, scrape_seconds=str(SCRAPE_SECONDS))
    )


def await_millgate(kubectl: Kubectl) -> None:
    for deployment in kubectl.run("get", "deployments", "-n", OPERATOR_NAMESPACE, "-o", "name").split():
        kubectl.await_rollout(OPERATOR_NAMESPACE, deployment.partition("/")[2])
    kubectl.await_rollout(PLATFORM_NAMESPACE, "prometheus")


class Registering:
    """Imports MLflow while its server starts, and registers through a port-forward once it is there."""

    def __init__(
        self, kubectl: Kubectl, folder: Path, *, others: bool = False, program: str = "e2e.demo.registry"
    ) -> None:
        """`program`: takes the folder, then the server's address by standard input, and prints versions as JSON."""
        self._kubectl = kubectl
        words = [sys.executable, "-m", program, str(folder), *(["--others"] if others else [])]
        self._process = kubectl.start(words, stdin=True)

    def finish(self) -> dict[int, str]:
        """The registry's version numbers of the three models, or of all five. Raises CommandError."""
        return {int(model): version for model, version in self.versions().items()}

    def versions(self) -> dict[str, str]:
        """What the program printed. Raises CommandError."""
        self._kubectl.await_rollout(PLATFORM_NAMESPACE, "mlflow")
        with self._kubectl.forward(PLATFORM_NAMESPACE, "service/mlflow", 5000) as url:
            said, _ = self._process.communicate(f"{url}\n")
        if self._process.returncode:
            raise CommandError(f"registering the models ended with {self._process.returncode}")
        made: dict[str, str] = json.loads(said.splitlines()[-1])
        return made

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def start_clients(kubectl: Kubectl, images: Images, rows: Path, requests_per_second: int) -> None:
    made = kubectl.run(
        *("create", "configmap", "rows", "-n", MODEL_NAMESPACE, f"--from-file=rows.json={rows}"),
        *("--dry-run=client", "-o", "yaml"),
    )
    kubectl.apply(made)
    kubectl.apply(
        render("clients", clients_image=images.clients.reference, requests_per_second=str(requests_per_second))
    )
    kubectl.run("wait", "--for=condition=Ready", f"pod/{CLIENTS}", "-n", MODEL_NAMESPACE, "--timeout=60s")


def clear(kubectl: Kubectl) -> None:
    """What an earlier run left, so that the story begins anew; a registry that is there stays."""
    if kubectl.get("namespace", MODEL_NAMESPACE) is None:
        return
    kubectl.run("delete", "pod", CLIENTS, "-n", MODEL_NAMESPACE, "--ignore-not-found", "--wait")
    if kubectl.get("customresourcedefinition", "modeldeployments.millgate.dev") is not None:
        kubectl.run(
            *("delete", "modeldeployment", NAME, "-n", MODEL_NAMESPACE),
            *("--ignore-not-found", "--wait", "--cascade=foreground", "--timeout=120s"),
        )
