"""Writes an image as a docker archive, the tar that ctr, docker and buildah all take, with no tool."""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Config:
    """How a container of the image starts."""

    command: tuple[str, ...]
    user: str = ""
    environment: tuple[str, ...] = (PATH,)


def _clean(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Equal files make an equal image, whoever made them and when."""
    entry.mtime, entry.uname, entry.gname = 0, "", ""
    entry.uid = entry.gid = 0
    return entry


def layer_of_file(source: Path, target: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar, source.open("rb") as data:
        entry = _clean(tar.gettarinfo(source, arcname=target.lstrip("/")))
        entry.mode = 0o755
        tar.addfile(entry, data)
    return buffer.getvalue()


def layer_of_tree(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(folder, arcname=".", filter=_clean)  # in sorted order
    return buffer.getvalue()


def write(target: Path, reference: str, layers: Sequence[bytes], config: Config) -> None:
    digests = [hashlib.sha256(layer).hexdigest() for layer in layers]
    described = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {
                "Env": list(config.environment),
                "Cmd": list(config.command),
                "WorkingDir": "/",
                "User": config.user,
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
            "history": [{"created_by": "millgate"} for _ in layers],
        }
    ).encode()
    name = f"{hashlib.sha256(described).hexdigest()}.json"
    files = [f"{digest}.tar" for digest in digests]
    manifest = json.dumps([{"Config": name, "RepoTags": [reference], "Layers": files}]).encode()
    _write_tar(target, [("manifest.json", manifest), (name, described), *zip(files, layers, strict=True)])


def _write_tar(target: Path, entries: Iterable[tuple[str, bytes]]) -> None:
    with tarfile.open(target, "w") as tar:
        for name, data in entries:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


@dataclass(frozen=True)
class Contents:
    """What an image's tar says it holds."""

    references: tuple[str, ...]
    digest: str  # of the manifest, and so of everything in it


def contents(tar: Path) -> Contents:
    """Of a docker archive; ValueError where the file is none."""
    try:
        with tarfile.open(tar) as archive:
            member = archive.extractfile("manifest.json")
            text = member.read() if member else b"[]"
    except (tarfile.TarError, KeyError) as reason:
        raise ValueError(f"{tar} is no image archive: {reason}") from reason
    manifest: list[dict[str, Any]] = json.loads(text)
    references = tuple(tag for image in manifest for tag in image.get("RepoTags") or ())
    return Contents(references, hashlib.sha256(text).hexdigest())
