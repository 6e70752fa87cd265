"""What a model is, byte for byte: the sha256 manifest of its files, and the one digest that stands for all of them."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from millgate_serving.failure import Reason, ServingError


@dataclass(frozen=True, slots=True)
class Manifest:
    """Lines in the form of `sha256sum`, sorted; the digest is the sha256 of them all."""

    lines: tuple[str, ...]
    size_bytes: int

    @property
    def text(self) -> str:
        return "".join(self.lines)

    @property
    def digest(self) -> str:
        return "sha256:" + hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def files(self) -> int:
        return len(self.lines)


def manifest_of(directory: Path) -> Manifest:
    """Read every file under `directory` once. Raises ServingError when there is none or one cannot be read."""
    lines, size = [], 0
    try:
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                lines.append(f"{_sha256(path)}  {path.relative_to(directory).as_posix()}\n")
                size += path.stat().st_size
    except OSError as error:
        raise ServingError(Reason.STORAGE_FAILED, f"the model's files cannot be read: {error.strerror}") from error
    if not lines:
        raise ServingError(Reason.MODEL_NOT_FOUND, f"there is no file in {directory}")
    return Manifest(tuple(sorted(lines)), size)


def verify(manifest: Manifest, expected: str) -> None:
    """Promise *what-you-tested-runs*: raise ArtifactChanged unless the digest is the expected one."""
    if manifest.digest != expected:
        raise ServingError(
            Reason.ARTIFACT_CHANGED,
            f"the model's files are not those that were checked: expected {expected}, found {manifest.digest}",
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
