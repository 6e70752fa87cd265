"""How training code puts a file beside a model's own: into its folder, or into MLflow before it is registered."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from millgate_serving import mlmodel
from millgate_serving.failure import ServingError
from millgate_serving.signature import Signature

_LOGGED_MODEL = "models:/m-"


class ModelFileError(ValueError):
    """There is no model where one was named; the message begins with `model`."""


def put(model: str | os.PathLike[str], file: str, content: Callable[[Signature], bytes]) -> bytes:
    """Write what is made from the model's signature to `file`, relative to the model, and return it.

    `model` is the folder that MLflow saved, or `models:/m-…` of a logged model (`log_model(…).model_uri`). Put it there
    before the version is registered, as its files must not change afterwards. Raises ModelFileError.
    """
    if str(model).startswith(_LOGGED_MODEL):
        return _into_registry(str(model), file, content)
    if ":/" in str(model):
        raise ModelFileError("model: a folder, or models:/m-… of a logged model (log_model(…).model_uri), is needed")
    made = content(_signature(Path(model)))
    _save(made, Path(model) / file)
    return made


def _into_registry(uri: str, file: str, content: Callable[[Signature], bytes]) -> bytes:
    import mlflow  # noqa: PLC0415 - training code has it; a server has not

    client, identity = mlflow.MlflowClient(), uri.removeprefix("models:/")
    with tempfile.TemporaryDirectory() as folder:
        where = client.get_logged_model(identity).artifact_location
        mlflow.artifacts.download_artifacts(f"{where}/MLmodel", dst_path=folder)
        made = content(_signature(Path(folder)))
        path = Path(folder) / file
        _save(made, path)
        client.log_model_artifact(identity, str(path), path.parent.name)
    return made


def _signature(folder: Path) -> Signature:
    try:
        return mlmodel.read_signature(folder)
    except ServingError as error:
        raise ModelFileError(f"model: {error.message}") from error


def _save(content: bytes, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
