"""Models that other pods have fetched before: a shared volume with a folder for each artefact, named by its digest.

Nothing in it is believed: a pod copies an entry to its own disk and verifies the copy, since whoever shares the volume
may write to it at any time. An unusable cache costs a fetch and never a start.
"""

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from millgate_serving.artefact import Manifest, manifest_of
from millgate_serving.failure import ServingError
from millgate_serving.logs import log

_ENTRY: Final = "sha256-"
_UNFINISHED: Final = ".unfinished-"
_ABANDONED_SECONDS: Final = 3600
ARTEFACT: Final = "artefact"
MANIFEST: Final = "manifest.sha256"


@dataclass(frozen=True, slots=True)
class Cache:
    """`folder` holds at most `max_bytes` of models; the one that was used least recently goes first."""

    folder: Path
    max_bytes: int

    def take(self, digest: str, target: Path) -> Manifest | None:
        """Copy the entry to `target`, which appears only when the copy is the artefact of that digest."""
        entry = self._entry(digest)
        partial = target.with_name(target.name + ".partial")
        try:
            if not (entry / ARTEFACT).is_dir():
                return None
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(entry / ARTEFACT, partial)
            manifest = manifest_of(partial)
            if manifest.digest == digest:
                shutil.rmtree(target, ignore_errors=True)
                partial.rename(target)
                _used(entry)
                return manifest
            shutil.rmtree(partial, ignore_errors=True)
        except (OSError, ServingError) as error:
            _unusable("cannot be read", error)
            return None
        log("cache entry is damaged", level="warning", digest=digest, found=manifest.digest, changed=self._what(digest))
        self._remove(entry)
        return None

    def put(self, source: Path, manifest: Manifest) -> None:
        """Copy verified files in, and make room. Entries appear whole or not at all, whoever else writes."""
        entry = self._entry(manifest.digest)
        if entry.is_dir() or manifest.size_bytes > self.max_bytes:
            return
        unfinished = self.folder / f"{_UNFINISHED}{secrets.token_hex(8)}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._prune(self.max_bytes - manifest.size_bytes)
            shutil.copytree(source, unfinished / ARTEFACT)
            (unfinished / MANIFEST).write_text(manifest.text)
            unfinished.rename(entry)
        except OSError as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            if not entry.is_dir():  # else another pod was faster
                _unusable("cannot be written", error)

    def manifest_text(self, digest: str) -> str:
        """The list of files as it was when the entry was made; '' where there is none."""
        try:
            return (self._entry(digest) / MANIFEST).read_text()
        except OSError:
            return ""

    def _what(self, digest: str) -> str:
        try:
            found = manifest_of(self._entry(digest) / ARTEFACT)
        except ServingError:
            return ""
        return found.changed_since(self.manifest_text(digest), digest)

    def _entry(self, digest: str) -> Path:
        return self.folder / (_ENTRY + digest.removeprefix("sha256:"))

    def _prune(self, max_bytes: int) -> None:
        """Until the entries have at most so many bytes. What another pod left half done an hour ago goes too."""
        now = time.time()
        for left in self.folder.glob(f"{_UNFINISHED}*"):
            if now - left.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
        entries = sorted(self._entries(), key=lambda entry: entry[0])
        total = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if total <= max_bytes:
                return
            self._remove(path)
            total -= size

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        """When last used, how many bytes, and where."""
        for path in self.folder.glob(f"{_ENTRY}*"):
            files = [file for file in path.rglob("*") if file.is_file()]
            yield path.stat().st_mtime, sum(file.stat().st_size for file in files), path

    def _remove(self, entry: Path) -> None:
        """Renamed first: a pod that copies it meanwhile gets an error, not half of the files."""
        doomed = self.folder / f"{_UNFINISHED}{secrets.token_hex(8)}"
        try:
            entry.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)
        except OSError as error:
            _unusable("cannot be pruned", error)


def _used(entry: Path) -> None:
    try:
        os.utime(entry)
    except OSError:
        return  # a volume that is mounted for reading only


def _unusable(what: str, error: Exception) -> None:
    text = getattr(error, "strerror", None) or type(error).__name__
    log(f"the cache {what}", level="warning", error=text)
