"""From nothing to a model that has answered: fetch, verify, load, answer the input example. Each is timed."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from millgate_serving import constraints, engine, example, fields, measured, mlmodel, validation
from millgate_serving.artefact import Manifest, manifest_of, verify
from millgate_serving.constraints import NONE, Constraints
from millgate_serving.engine import Engine, Outputs
from millgate_serving.failure import Reason, ServingError
from millgate_serving.fetch import fetch
from millgate_serving.fields import Field
from millgate_serving.logs import described, log
from millgate_serving.measured import Answered, Measured
from millgate_serving.mlmodel import MlModel
from millgate_serving.refusal import Refusal
from millgate_serving.settings import Settings
from millgate_serving.validation import Arrays, Decode

_FOLDER = "artefact"
_MANIFEST = "manifest.sha256"


@dataclass(slots=True)
class Progress:
    """What is known so far, so that a failure can still be reported with it. Times in seconds."""

    manifest: Manifest | None = None
    model: MlModel | None = None
    example_answered: bool = False
    timings: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReadyModel:
    """A verified model that has answered its input example, if it has one."""

    model: MlModel
    flavour: str
    digest: str
    decode: Decode
    engine: Engine
    measured: Measured
    constraints: Constraints = NONE
    fields: tuple[Field, ...] = ()
    answered: Answered | None = None

    def predict(self, arrays: Arrays) -> Outputs:
        return self.engine.run(arrays)


def load(settings: Settings, progress: Progress) -> ReadyModel:
    """Raises ServingError with every reason of `failure.Reason` that concerns a model or its registry."""
    started = time.monotonic()
    directory = on_disk(settings, progress)
    progress.timings["fetchSeconds"] = _since(started)

    started = time.monotonic()
    model = progress.model = mlmodel.read(directory)
    loaded = engine.load(model, allow_code_execution=settings.allow_code_execution)
    rules = constraints.read(directory)
    constraints.check(rules, model.signature, loaded.engine.outputs)
    inputs = fields.fields(model.signature, loaded.engine.layout, rules)
    decode = validation.decoder(model.signature, loaded.engine.layout, rules)
    progress.timings["loadSeconds"] = _since(started)

    started = time.monotonic()
    answered = None
    if model.example is not None:
        answered = _answer_example(model.example, decode, loaded.engine)
        progress.example_answered = True
    progress.timings["predictSeconds"] = _since(started)
    digest = progress.manifest.digest if progress.manifest else ""
    chosen = measured.choose(model, loaded.engine, answered, settings.max_features)
    return ReadyModel(model, loaded.flavour, digest, decode, loaded.engine, chosen, rules, inputs, answered)


def on_disk(settings: Settings, progress: Progress) -> Path:
    """The folder of verified files. A restarted container finds them in its volume and needs no registry."""
    if settings.model_path is not None:
        progress.manifest = manifest_of(settings.model_path)
        if settings.digest:
            verify(progress.manifest, settings.digest)
        return settings.model_path
    directory = settings.model_dir / _FOLDER
    if settings.digest and directory.is_dir():
        progress.manifest = manifest_of(directory)
        if progress.manifest.digest == settings.digest:
            return directory
        log("fetching again", level="warning", found=progress.manifest.digest, expected=settings.digest)
    fetch(settings, directory)
    progress.manifest = manifest_of(directory)
    _write_manifest(settings.model_dir, progress.manifest)
    if settings.digest:
        verify(progress.manifest, settings.digest)
    return directory


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    """For people: `sha256sum --check ../manifest.sha256` inside the artefact names the file that differs."""
    try:
        (folder / _MANIFEST).write_text(manifest.text)
    except OSError as error:
        raise ServingError(Reason.STORAGE_FAILED, f"cannot write the manifest: {error.strerror}") from error


def _answer_example(document: dict[str, object], decode: Decode, model: Engine) -> Answered:
    try:
        arrays = decode(example.request_body(document))
        return Answered(arrays, model.run(arrays))
    except ServingError:
        raise
    except Refusal as error:
        message = f"the model's own input example does not fit its signature: {error.message}"
        raise ServingError(Reason.INPUT_EXAMPLE_FAILED, message) from error
    except Exception as error:
        log("input example failed", level="error", **described(error))
        message = f"the model raised {type(error).__name__} on its own input example"
        raise ServingError(Reason.INPUT_EXAMPLE_FAILED, message) from error


def _since(started: float) -> float:
    return round(time.monotonic() - started, 6)
