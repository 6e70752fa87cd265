"""`job` of a gate: a container that says whether the candidate is good, or a check that the model's own image has."""

from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import Field, StringConstraints

from millgate.api.base import KeyedBy, Rule, SpecModel
from millgate.api.server import EnvVar, ImageReference, ObjectName, Resources


class JobPreset(StrEnum):
    SMOKE_PREDICTIONS = "SmokePredictions"
    SCHEMA_COMPATIBILITY = "SchemaCompatibility"
    ACCURACY = "Accuracy"
    FAIRNESS = "Fairness"
    LATENCY_BENCHMARK = "LatencyBenchmark"
    MEMORY_FOOTPRINT = "MemoryFootprint"


DATA_FOLDER: Final = "/data"
_LABELLED = (
    *("data", "label", "output", "metric", "threshold", "margin", "minAccuracy", "maxError", "minSamples"),
    *("alpha", "segmentBy", "positive", "minSelectionRatio"),
)
OPTIONS: Final[dict[JobPreset, tuple[str, ...]]] = {
    JobPreset.SMOKE_PREDICTIONS: ("data", "absoluteTolerance", "relativeTolerance"),
    JobPreset.SCHEMA_COMPATIBILITY: (),
    JobPreset.ACCURACY: tuple(name for name in _LABELLED if name not in _LABELLED[-3:]),
    JobPreset.FAIRNESS: _LABELLED,
    JobPreset.LATENCY_BENCHMARK: (
        *("data", "ratePerSecond", "peakRequestsPerSecond", "durationSeconds", "quantile", "maxRatio", "maxSeconds"),
        *("minSamples", "alpha"),
    ),
    JobPreset.MEMORY_FOOTPRINT: ("data", "maxRatio", "maxShareOfLimit", "repeats"),
}
"""What a check can be told, as docs/checks.md explains it. The image reads the values, and refuses odd ones."""

_CEL_OPTIONS = ", ".join(f"'{preset}': [{', '.join(map(repr, names))}]" for preset, names in OPTIONS.items())

OptionName = Annotated[str, StringConstraints(min_length=1, max_length=32, pattern=r"^[a-z][a-zA-Z]*$")]
OptionValue = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class Job(SpecModel):
    """Does this container say that the candidate is good? Exit 0 passes, 1 fails, 75 cannot tell."""

    preset: Annotated[
        JobPreset | None,
        Field(
            description="A check of the model's own image, by which the candidate is held against stable before it "
            "gets traffic. `SmokePredictions`: golden requests. `SchemaCompatibility`: it takes what stable takes. "
            "`Accuracy`, `Fairness`: on held-out rows, in the whole and in each segment. `LatencyBenchmark`: at twice "
            "the measured peak. `MemoryFootprint`: under load."
        ),
    ] = None
    options: Annotated[
        dict[OptionName, OptionValue] | None,
        Field(max_length=16, description="What the preset's check is told, by name: see docs/checks.md."),
    ] = None
    data_claim: Annotated[
        ObjectName | None,
        Field(
            description=f"For a preset: a PersistentVolumeClaim of this namespace, mounted read-only at {DATA_FOLDER}, "
            "with the rows that `options.data` names."
        ),
    ] = None
    image: Annotated[
        ImageReference | None,
        Field(description="An image of your own; must begin with a prefix that the operator's configuration allows."),
    ] = None
    command: Annotated[
        tuple[Annotated[str, StringConstraints(max_length=4096)], ...] | None,
        Field(max_length=64, description="Replaces the image's entrypoint."),
    ] = None
    args: Annotated[
        tuple[Annotated[str, StringConstraints(max_length=4096)], ...] | None,
        Field(max_length=64, description="Arguments of the entrypoint."),
    ] = None
    env: Annotated[
        tuple[EnvVar, ...] | None, Field(max_length=64, description="Environment variables."), KeyedBy("name")
    ] = None
    resources: Annotated[
        Resources | None,
        Field(
            description="Compute resources of the pod. Left out: none, and for a preset those of `server`, with twice "
            "the memory, since stable is loaded too."
        ),
    ] = None
    deadline_seconds: Annotated[
        int, Field(ge=1, le=86400, description="A Job that runs longer cannot tell (`JobDeadlineExceeded`).")
    ] = 600

    rules: ClassVar = (
        Rule(
            "has(self.preset) != has(self.image)",
            "exactly one of `preset` or `image` must be specified",
            lambda job: (job.preset is None) != (job.image is None),
        ),
        Rule(
            "!has(self.preset) || !(has(self.command) || has(self.args))",
            "`command` and `args` may not be specified beside `preset`",
            lambda job: job.preset is None or (job.command is None and job.args is None),
        ),
        Rule(
            "has(self.preset) || !(has(self.options) || has(self.dataClaim))",
            "`options` and `dataClaim` may not be specified without `preset`",
            lambda job: job.preset is not None or (job.options is None and job.data_claim is None),
        ),
        Rule(
            "!has(self.preset) || !has(self.options) || "
            f"self.options.all(name, name in {{{_CEL_OPTIONS}}}[self.preset])",
            "`options` must have no name but those that docs/checks.md has for the preset",
            lambda job: job.preset is None or set(job.options or ()) <= set(OPTIONS[job.preset]),
        ),
        Rule(
            "!has(self.preset) || self.preset != 'Fairness' || has(self.options) && 'segmentBy' in self.options",
            "`options.segmentBy` must be specified when `preset` is 'Fairness'",
            lambda job: job.preset is not JobPreset.FAIRNESS or "segmentBy" in (job.options or {}),
        ),
        Rule(
            "!has(self.dataClaim) || has(self.options) && 'data' in self.options && "
            f"self.options['data'].startsWith('{DATA_FOLDER}/')",
            f"`options.data` must begin with '{DATA_FOLDER}/' when `dataClaim` is specified",
            lambda job: job.data_claim is None or (job.options or {}).get("data", "").startswith(f"{DATA_FOLDER}/"),
        ),
    )
