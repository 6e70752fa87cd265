"""Bringing a model's files onto the pod's disk: every file once, to where its name says and nowhere else."""

import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from millgate_serving.failure import Reason, ServingError
from millgate_serving.registry import MlflowClient
from millgate_serving.settings import Settings

_MAX_FILES = 10_000
_MAX_DEPTH = 32


def fetch(settings: Settings, target: Path) -> None:
    """Download the whole artefact; `target` appears only when it is complete.

    Raises ServingError: registry reasons, ModelNotFound, ArtifactRefused, FetchDeadlineExceeded, StorageFailed.
    """
    partial = target.with_name(target.name + ".partial")
    client = MlflowClient(settings.registry)
    try:
        root = client.artifact_root(settings.source)
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(target, ignore_errors=True)
        _make_folder(partial)
        for path in _files(client, root):
            _download(client, f"{root}/{path}", partial / path)
        if not any(partial.iterdir()):
            raise ServingError(Reason.MODEL_NOT_FOUND, f"the registry lists no file for {settings.source}")
        partial.rename(target)
    except OSError as error:  # those of the connection have been turned into ServingError where they happen
        raise _storage_failed(target, error) from error
    finally:
        client.close()


def _files(client: MlflowClient, root: str) -> Iterator[PurePosixPath]:
    """Paths below `root`, depth first."""
    folders, count = [PurePosixPath()], 0
    while folders:
        folder = folders.pop()
        for entry in client.listing(str(PurePosixPath(root) / folder)):
            path = folder / _safe_name(entry.name)
            count += 1
            if count > _MAX_FILES or len(path.parts) > _MAX_DEPTH:
                limits = f"{_MAX_FILES} files, {_MAX_DEPTH} levels"
                raise ServingError(Reason.ARTIFACT_REFUSED, f"the artefact is larger than allowed: {limits}")
            if entry.is_folder:
                folders.append(path)
            else:
                yield path


def _safe_name(name: str) -> str:
    """A registry may be wrong or hostile: a listed name is one plain component, or it is refused."""
    if name in {"", ".", ".."} or "/" in name or "\\" in name or "\x00" in name:
        raise ServingError(Reason.ARTIFACT_REFUSED, "the registry lists a file whose name leaves its folder")
    return name


def _download(client: MlflowClient, remote: str, local: Path) -> None:
    _make_folder(local.parent)
    with local.open("w+b") as file:
        client.download(remote, file)


def _make_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)


def _storage_failed(target: Path, error: OSError) -> ServingError:
    return ServingError(Reason.STORAGE_FAILED, f"cannot write the model to {target.parent}: {error.strerror}")
