"""A model's verified files on this pod's own disk: from the image, from an earlier start, the cache or the registry."""

from pathlib import Path
from typing import Final

from millgate_serving.artefact import Manifest, manifest_of, verify
from millgate_serving.failure import Reason, ServingError
from millgate_serving.fetch import fetch
from millgate_serving.logs import log
from millgate_serving.settings import Settings

_FOLDER: Final = "artefact"
_MANIFEST: Final = "manifest.sha256"


def find(settings: Settings) -> tuple[Path, Manifest]:
    """The folder and its manifest, not verified yet where it came from the registry or the image.

    Raises ServingError: those of `fetch.fetch`, ModelNotFound, StorageFailed.
    """
    if settings.model_path is not None:
        return settings.model_path, manifest_of(settings.model_path)
    directory = settings.model_dir / _FOLDER
    earlier = _earlier(settings, directory)
    if earlier is not None:
        return directory, earlier
    if settings.cache is not None and settings.digest:
        cached = settings.cache.take(settings.digest, directory)
        if cached is not None:
            log("model found in the cache", digest=settings.digest)
            _write_manifest(settings.model_dir, cached)
            return directory, cached
    fetch(settings, directory)
    return directory, manifest_of(directory)


def verified(settings: Settings, directory: Path, manifest: Manifest) -> None:
    """Raises ServingError ArtifactChanged, which names the files that differ where that can be known."""
    if settings.digest:
        verify(manifest, settings.digest, _changed(settings, manifest))
    if settings.model_path is None:
        _write_manifest(settings.model_dir, manifest)
        if settings.cache is not None:
            settings.cache.put(directory, manifest)


def _earlier(settings: Settings, directory: Path) -> Manifest | None:
    """A restarted container finds its files in the pod's volume and needs no registry."""
    if not settings.digest or not directory.is_dir():
        return None
    manifest = manifest_of(directory)
    if manifest.digest == settings.digest:
        return manifest
    changed = _changed(settings, manifest)
    log("fetching again", level="warning", found=manifest.digest, expected=settings.digest, changed=changed)
    return None


def _changed(settings: Settings, manifest: Manifest) -> str:
    """From a list of files that the digest itself vouches for, wherever it lies; else from the fingerprint."""
    texts = [settings.cache.manifest_text(settings.digest)] if settings.cache is not None else []
    try:
        texts.append((settings.model_dir / _MANIFEST).read_text())
    except OSError:
        texts.append("")
    found = (manifest.changed_since(text, settings.digest) for text in texts)
    return next(filter(None, found), "") or manifest.changed_from(settings.fingerprint)


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    """For people: `sha256sum --check ../manifest.sha256` inside the artefact names the file that differs."""
    try:
        (folder / _MANIFEST).write_text(manifest.text)
    except OSError as error:
        raise ServingError(Reason.STORAGE_FAILED, f"cannot write the manifest: {error.strerror}") from error
