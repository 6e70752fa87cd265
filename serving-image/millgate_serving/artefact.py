"""What a model is, byte for byte: the sha256 manifest of its files, and the one digest that stands for all of them."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from millgate_serving.failure import Reason, ServingError

_HASH_DIGITS: Final = 64
_FINGERPRINT_DIGITS: Final = 4
_FINGERPRINT_FILES: Final = 64
_SHOWN_FILES: Final = 5
_SHOWN_CHARACTERS: Final = 100


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
        return _digest_of(self.text)

    @property
    def files(self) -> int:
        return len(self.lines)

    @property
    def fingerprint(self) -> str:
        """Four digits a file in the order of their paths, so that whoever keeps it can tell which file changed.

        Too short to trust and short enough to keep anywhere; '' for an artefact of more than 64 files.
        """
        if self.files > _FINGERPRINT_FILES:
            return ""
        by_path = _by_path(self.text)
        return "".join(by_path[path][:_FINGERPRINT_DIGITS] for path in sorted(by_path))

    def changed_since(self, text: str, digest: str) -> str:
        """The files that differ from an earlier manifest, in words; '' unless `text` is the manifest of `digest`."""
        if not text or _digest_of(text) != digest:
            return ""
        before, now = _by_path(text), _by_path(self.text)
        changed = [f"{path} is gone" for path in before if path not in now]
        changed += [f"{path} is new" for path in now if path not in before]
        changed += [f"{path} differs" for path in now if path in before and before[path] != now[path]]
        return _listed(changed)

    def changed_from(self, fingerprint: str) -> str:
        """The same from a fingerprint, as far as that tells."""
        before = [fingerprint[at : at + _FINGERPRINT_DIGITS] for at in range(0, len(fingerprint), _FINGERPRINT_DIGITS)]
        if not before or len(fingerprint) % _FINGERPRINT_DIGITS:
            return ""
        if len(before) != self.files:
            return f"{len(before)} files were checked, there are {self.files}"
        now = _by_path(self.text)
        pairs = zip(sorted(now), before, strict=True)
        return _listed([f"{path} differs" for path, digits in pairs if not now[path].startswith(digits)])


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


def verify(manifest: Manifest, expected: str, changed: str = "") -> None:
    """Promise *what-you-tested-runs*: raise ArtifactChanged unless the digest is the expected one.

    `changed`: what is known of the difference, from `changed_since` or `changed_from`.
    """
    if manifest.digest != expected:
        which = f"{changed}; " if changed else ""
        raise ServingError(
            Reason.ARTIFACT_CHANGED,
            f"the model's files are not those that were checked: {which}expected {expected}, found {manifest.digest}",
        )


def _by_path(text: str) -> dict[str, str]:
    """Hashes by path. A name may hold a line feed, but then no hash stands in front of what follows it."""
    found, path = {}, ""
    for line in text.split("\n"):
        digest, separator, name = line.partition("  ")
        if separator and len(digest) == _HASH_DIGITS:
            path = name
            found[path] = digest
    return found


def _listed(changed: list[str]) -> str:
    shown = [text[:_SHOWN_CHARACTERS] for text in changed[:_SHOWN_FILES]]
    more = [f"{len(changed) - _SHOWN_FILES} more"] if len(changed) > _SHOWN_FILES else []
    return ", ".join(shown + more)


def _digest_of(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
