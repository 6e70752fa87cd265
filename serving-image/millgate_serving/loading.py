"""From nothing to a model that has answered: fetch, verify, load, answer a first request. Each is timed."""

import math
import time
from dataclasses import dataclass, field
from pathlib import Path

from millgate_serving import constraints, engine, fields, measured, mlmodel, placing, validation
from millgate_serving.artefact import Manifest
from millgate_serving.constraints import NONE, Constraints
from millgate_serving.conversion import Conversion
from millgate_serving.converting import FOLDER, Converter
from millgate_serving.engine import Engine, Loaded, Outputs
from millgate_serving.fields import Field
from millgate_serving.guard import OutputGuard, guard_of
from millgate_serving.measured import Answered, Measured
from millgate_serving.mlmodel import MlModel
from millgate_serving.settings import Settings
from millgate_serving.validation import Arrays, Decode
from millgate_serving.warm_up import warm_up


@dataclass(slots=True)
class Progress:
    """What is known so far, so that a failure can still be reported with it. Times in seconds."""

    manifest: Manifest | None = None
    model: MlModel | None = None
    conversion: Conversion | None = None
    warmed_up: bool = False
    example_answered: bool = False
    timings: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReadyModel:
    """A verified model that has answered a request: its input example, or without one a row of generated values."""

    model: MlModel
    flavour: str
    digest: str
    decode: Decode
    engine: Engine
    measured: Measured
    constraints: Constraints = NONE
    fields: tuple[Field, ...] = ()
    answered: Answered | None = None
    conversion: Conversion | None = None
    guard: OutputGuard | None = None
    call_seconds: float = math.inf
    """What the example takes at best; infinite without one, as rows that were made up tell little of a model's own."""

    def predict(self, arrays: Arrays) -> Outputs:
        return self.engine.run(arrays)


def load(settings: Settings, progress: Progress) -> ReadyModel:
    """Raises ServingError with every reason of `failure.Reason` that concerns a model or its registry."""
    started = time.monotonic()
    directory = on_disk(settings, progress)
    progress.timings["fetchSeconds"] = _since(started)

    started = time.monotonic()
    model = progress.model = mlmodel.read(directory)
    loaded = _loaded(settings, model, progress)
    rules = constraints.read(directory)
    constraints.check(rules, model.signature, loaded.engine.outputs)
    inputs = fields.fields(model.signature, loaded.engine.layout, rules)
    decode = validation.decoder(model.signature, loaded.engine.layout, rules)
    progress.timings["loadSeconds"] = _since(started)

    started = time.monotonic()
    warm = warm_up(model, decode, loaded.engine)
    progress.warmed_up, progress.example_answered = True, warm.by_example
    progress.timings["predictSeconds"] = _since(started)
    digest = progress.manifest.digest if progress.manifest else ""
    example = warm.answered if warm.by_example else None
    chosen = measured.choose(model, loaded.engine, example, settings.max_features)
    return ReadyModel(
        model,
        loaded.flavour,
        digest,
        decode,
        loaded.engine,
        chosen,
        rules,
        inputs,
        warm.answered,
        loaded.conversion,
        guard_of(rules, loaded.engine.outputs, None if example is None else example.outputs),
        warm.seconds if warm.by_example else math.inf,
    )


def on_disk(settings: Settings, progress: Progress) -> Path:
    """The folder of verified files. Raises ServingError: see `placing`."""
    directory, progress.manifest = placing.find(settings)
    placing.verified(settings, directory, progress.manifest)
    return directory


def _loaded(settings: Settings, model: MlModel, progress: Progress) -> Loaded:
    folder = settings.model_dir / FOLDER if settings.model_path is None else None
    converter = Converter(progress.manifest.digest if progress.manifest else "", folder, settings.conversion_seconds)
    loaded = engine.load(
        model,
        allow_code_execution=settings.allow_code_execution,
        threads=settings.threads,
        convert=converter.convert,
    )
    progress.conversion = loaded.conversion
    return loaded


def _since(started: float) -> float:
    return round(time.monotonic() - started, 6)
