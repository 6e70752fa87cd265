"""Registers the trained models in MLflow, once: versions that are there already with the same bytes are used again."""

import argparse
import hashlib
import json
import logging
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np

from e2e.demo import models
from e2e.demo.models import Trained
from millgate_serving import profile

MODEL = "digits"
TAG = "demo.sha256"
POLL_SECONDS = 0.3


class RegistryNotReadyError(Exception):
    """MLflow did not answer in time."""


def await_server(uri: str, deadline_seconds: float) -> None:
    """Return once the server answers its health check."""
    ends = time.monotonic() + deadline_seconds
    while time.monotonic() < ends:
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=2):  # noqa: S310  our own address
                return
        except (OSError, urllib.error.URLError):
            time.sleep(POLL_SECONDS)
    raise RegistryNotReadyError(f"{uri} did not answer within {deadline_seconds:.0f} s")


def register(
    uri: str, folder: Path, mlflow: Any, *, others: bool = False, deadline_seconds: float = 180.0
) -> dict[int, str]:
    """The registry's version number for each trained model's; with `others` of all five."""
    await_server(uri, deadline_seconds)
    mlflow.set_tracking_uri(uri)
    known = _known(mlflow.MlflowClient())
    made = {}
    for model in (*models.read(folder), *(models.others(folder) if others else ())):
        content = (folder / model.file).read_bytes() + (folder / model.answers_file).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        made[model.version] = known.get(digest) or _register(mlflow, model, folder, digest)
    return made


def _known(client: Any) -> dict[str, str]:
    versions = client.search_model_versions(f"name='{MODEL}'")
    return {version.tags[TAG]: str(version.version) for version in versions if TAG in version.tags}


def _register(mlflow: Any, model: Trained, folder: Path, digest: str) -> str:
    """As a team would: a run with its figures and its data set, the model with signature, example and profile."""
    import onnx  # noqa: PLC0415

    known = np.load(folder / models.KNOWN)
    graph = onnx.load(folder / model.file)
    mlflow.set_experiment(MODEL)
    with mlflow.start_run(run_name=f"v{model.version}: {model.title}"):
        mlflow.log_input(mlflow.data.from_numpy(known, name="digits, the first writers"), context="training")
        mlflow.log_metric("accuracy_on_other_writers", model.accuracy)
        info = mlflow.onnx.log_model(
            graph,
            name="model",
            # one row: its answer shows which types the clients will see
            signature=mlflow.models.infer_signature(known[:1], {"label": known[:1, 0].astype("int64")}),
            input_example=known[:2],
            # by themselves they would be found by loading the model in another process
            pip_requirements=[],
            onnx_execution_providers=["CPUExecutionProvider"],
        )
    # Before it is registered: a version whose files change afterwards is refused.
    profile.write(info.model_uri, known, np.load(folder / model.answers_file))
    version = str(mlflow.register_model(info.model_uri, MODEL).version)
    client = mlflow.MlflowClient()
    client.set_model_version_tag(MODEL, version, TAG, digest)
    client.update_model_version(MODEL, version, description=model.title)
    return version


def main() -> None:
    """The address comes by standard input, once it is known: importing MLflow takes as long as its server's start."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--others", action="store_true", help="also those that the story does not tell of")
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    os.environ |= {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
    import mlflow  # noqa: PLC0415  after its settings

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    uri = sys.stdin.readline().strip()
    os.chdir(folder)  # MLflow adds the lock file of a project that it is started in to every model
    print(json.dumps(register(uri, folder, mlflow, others=arguments.others)))


if __name__ == "__main__":
    main()
