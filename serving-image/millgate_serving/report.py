"""The result of a preflight, or why a server ended: one JSON object in the container's termination message."""

from pathlib import Path
from typing import Any

import msgspec

from millgate_serving import __version__, signature
from millgate_serving.conversion import Conversion
from millgate_serving.failure import ServingError
from millgate_serving.loading import Progress
from millgate_serving.logs import log

LIMIT_BYTES = 3500  # kubelet cuts a termination message at 4096
_SCHEMA_BYTES = 2000
_MESSAGE_CHARACTERS = 600


def result(progress: Progress, error: ServingError | None) -> dict[str, Any]:
    """Everything that is known, in the form that the operator reads."""
    document: dict[str, Any] = {"serving": __version__, "timings": progress.timings}
    if progress.manifest is not None:
        manifest = progress.manifest
        document |= {"digest": manifest.digest, "files": manifest.files, "bytes": manifest.size_bytes}
        if manifest.fingerprint:
            document["fingerprint"] = manifest.fingerprint
    if progress.model is not None:
        model = progress.model
        document |= {"modelId": model.model_id[:128], "runId": model.run_id[:128]}
        document["schema"] = signature.summary(model.signature, _SCHEMA_BYTES)
        document["inputExample"] = "Absent" if model.example is None else "Present"
    if progress.conversion is not None:
        document["conversion"] = _short(progress.conversion)
    if progress.example_answered:
        document["inputExample"] = "Answered"
    if progress.warmed_up:
        document["warmUp"] = "Example" if progress.example_answered else "Generated"
    if error is not None:
        document["error"] = {"reason": str(error.reason), "message": error.message[:_MESSAGE_CHARACTERS]}
    return document


def _short(found: Conversion) -> dict[str, Any]:
    """What became of a scikit-learn model: served as ONNX, with the proof, or by its own flavour, with the reason."""
    if found.refused:
        return {"servedAs": "sklearn", "reason": found.refused}
    return {
        "servedAs": "onnx",
        "sha256": found.sha256,
        "inputs": found.inputs,
        "rows": found.rows,
        "largestDifference": found.largest_difference,
    }


def write(termination_log: Path, document: dict[str, Any]) -> None:
    """To the log, and to the termination message where there is one; outside of Kubernetes there is none."""
    body = msgspec.json.encode(document)
    if len(body) > LIMIT_BYTES and "schema" in document:
        short = {"sha256": document["schema"]["sha256"], "inputs": {}, "outputs": {}, "truncated": True}
        body = msgspec.json.encode(document | {"schema": short})
    log("result", level="error" if "error" in document else "info", result=msgspec.Raw(body))
    try:
        termination_log.write_bytes(body[:LIMIT_BYTES])
    except OSError as error:
        log("no termination message", path=str(termination_log), error=error.strerror)
