"""MLflow's `MLmodel` file, read by ourselves: which flavour, which signature, which example, which run."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from millgate_serving import signature
from millgate_serving.failure import Reason, ServingError
from millgate_serving.signature import Signature

_LIMIT_BYTES = 10 << 20
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster where libyaml is there


@dataclass(frozen=True, slots=True)
class MlModel:
    """`flavours` are MLflow's, as they stand in the file; `directory` is where the files are."""

    directory: Path
    flavours: dict[str, dict[str, Any]]
    signature: Signature
    example: dict[str, Any] | None
    model_id: str
    run_id: str

    def file(self, name: Any) -> Path:
        """A file that the MLmodel names, which must lie inside the artefact."""
        path = (self.directory / str(name)).resolve()
        if not path.is_relative_to(self.directory.resolve()) or not path.exists():
            raise ServingError(Reason.MODEL_UNREADABLE, "MLmodel names a file that the artefact does not hold")
        return path


def read(directory: Path) -> MlModel:
    """Raises ModelUnreadable, SignatureMissing or SignatureNotSupported."""
    document = _document(directory)
    flavours = document.get("flavors")
    if not isinstance(flavours, dict):
        raise ServingError(Reason.MODEL_UNREADABLE, "MLmodel names no flavours")
    return MlModel(
        directory,
        {str(name): dict(value or {}) for name, value in flavours.items()},
        signature.read(document.get("signature")),
        _example(directory, document.get("saved_input_example_info")),
        str(document.get("model_id") or ""),
        str(document.get("run_id") or ""),
    )


def read_signature(directory: Path) -> Signature:
    """Of a model whose other files need not be there. Raises as `read` does."""
    return signature.read(_document(directory).get("signature"))


def _document(directory: Path) -> dict[str, Any]:
    try:
        document = yaml.load(_read_bounded(directory / "MLmodel"), Loader=_Loader)  # noqa: S506 - a safe loader
    except (OSError, yaml.YAMLError) as error:
        raise ServingError(Reason.MODEL_UNREADABLE, "the artefact has no readable MLmodel file") from error
    if not isinstance(document, dict):
        raise ServingError(Reason.MODEL_UNREADABLE, "MLmodel is not a mapping")
    return document


def _example(directory: Path, info: Any) -> dict[str, Any] | None:
    """The ready request that MLflow wrote beside the model, if it did."""
    if not isinstance(info, dict) or not info.get("serving_input_path"):
        return None
    try:
        example = json.loads(_read_bounded(directory / str(info["serving_input_path"])))
    except (OSError, ValueError) as error:
        raise ServingError(Reason.INPUT_EXAMPLE_FAILED, "the model's input example cannot be read") from error
    return example if isinstance(example, dict) else None


def _read_bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(_LIMIT_BYTES + 1)
    if len(content) > _LIMIT_BYTES:
        raise ServingError(Reason.MODEL_UNREADABLE, f"{path.name} is larger than {_LIMIT_BYTES >> 20} MiB")
    return content
