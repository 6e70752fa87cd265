"""A scikit-learn model as ONNX, on disk beside the artefact, with a manifest of its own that says how it was made."""

import hashlib
from importlib import metadata
from pathlib import Path
from typing import Final

import msgspec

MODEL_FILE: Final = "model.onnx"
MANIFEST_FILE: Final = "conversion.json"
_MAKERS = ("skl2onnx", "onnx", "onnxruntime", "scikit-learn", "numpy")


class Conversion(msgspec.Struct, frozen=True, rename="camel"):
    """What came of converting one artefact with one set of libraries.

    `refused` says why the model's own flavour serves; it is empty where `sha256` is the digest of the ONNX file, which
    is the same in every pod. `rows` were asked of both, and their numbers differed by `largest_difference` at most.
    """

    artefact: str
    makers: str
    sha256: str = ""
    inputs: str = ""
    rows: int = 0
    largest_difference: float = 0.0
    refused: str = ""


def makers() -> str:
    """The libraries that the bytes of a conversion depend on, with their versions; '' where one is missing."""
    try:
        return " ".join(f"{name}=={metadata.version(name)}" for name in _MAKERS)
    except metadata.PackageNotFoundError:
        return ""


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def write(folder: Path, result: Conversion, content: bytes = b"") -> None:
    """The manifest last: without it the folder counts for nothing. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST_FILE).unlink(missing_ok=True)
    (folder / MODEL_FILE).unlink(missing_ok=True)
    if content:
        (folder / MODEL_FILE).write_bytes(content)
    partial = folder / f"{MANIFEST_FILE}.partial"
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    partial.rename(folder / MANIFEST_FILE)


def read(folder: Path, artefact: str) -> tuple[Conversion, bytes] | None:
    """What was found out earlier about these very bytes with these very libraries, and the ONNX file, verified."""
    try:
        result = msgspec.json.decode((folder / MANIFEST_FILE).read_bytes(), type=Conversion)
        content = b"" if result.refused else (folder / MODEL_FILE).read_bytes()
    except (OSError, msgspec.DecodeError):
        return None
    if result.artefact != artefact or result.makers != makers():
        return None
    if not result.refused and digest_of(content) != result.sha256:
        return None
    return result, content
