"""The Job of a gate with a preset: a check of the serving image, as docs/checks.md says it is asked."""

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from millgate.api.job import DATA_FOLDER, JobPreset
from millgate.api.names import ANNOTATION_CHECK, COMPONENT_GATE
from millgate.api.revision import Revision
from millgate.api.spec import Job, ModelSource
from millgate.workload.jobs import GateVisit, gate_metadata, job_object
from millgate.workload.parent import Parent, server_selector
from millgate.workload.pod import container, environment, pod_spec, resources
from millgate.workload.revision import model_environment, model_folders, tracking_uri, with_cache
from millgate.workload.settings import WorkloadSettings

Json = dict[str, Any]

CHECK_ARGUMENT = "check"
WORDS = {
    JobPreset.SMOKE_PREDICTIONS: "smoke",
    JobPreset.SCHEMA_COMPATIBILITY: "schema",
    JobPreset.ACCURACY: "accuracy",
    JobPreset.FAIRNESS: "fairness",
    JobPreset.LATENCY_BENCHMARK: "latency",
    JobPreset.MEMORY_FOOTPRINT: "memory",
}
"""The presets as the serving image calls them."""

DATA_VOLUME = "data"
_RATES = {"ratePerSecond", "peakRequestsPerSecond"}


@dataclass(frozen=True)
class Pinned:
    """A revision with the content that its first preflight saw."""

    revision: Revision
    digest: str | None


@dataclass(frozen=True)
class Compared:
    """`stable` is None where there is none to hold the candidate against."""

    candidate: Pinned
    stable: Pinned | None


def asks_for_peak(job: Job) -> bool:
    """A benchmark that is told no rate takes the measured one, if anybody knows it."""
    return job.preset is JobPreset.LATENCY_BENCHMARK and not _RATES & set(job.options or {})


def check_job(
    parent: Parent, compared: Compared, asked: GateVisit, settings: WorkloadSettings, peak: float | None
) -> Json:
    """Runs in the candidate's image as its server would: the same nodes, account, environment and folders.

    `peak`: requests a second of one pod, where it was measured. Raises UnknownRegistryError.
    """
    revision, job = compared.candidate.revision, asked.job
    server, folders = revision.server, model_folders(revision)
    preset = job.preset or JobPreset.SMOKE_PREDICTIONS
    own = model_environment(revision, compared.candidate.digest, settings)
    own |= _stable_environment(compared, settings)
    own["MILLGATE_CHECK_OPTIONS"] = _options(job, peak)
    made = container(
        COMPONENT_GATE,
        revision.image,
        environment(own, (*(server.env or ()), *(job.env or ()))),
        folders,
        args=[CHECK_ARGUMENT, WORDS[preset]],
        resources=resources(job.resources) if job.resources else _shared(resources(server.resources), preset),
    )
    pod = with_cache(pod_spec(server, made, folders, restartPolicy="Never"), revision, settings)
    (made,) = pod["containers"]
    if job.data_claim is not None:
        made["volumeMounts"].append({"name": DATA_VOLUME, "mountPath": DATA_FOLDER, "readOnly": True})
        claim = {"claimName": job.data_claim, "readOnly": True}
        pod["volumes"].append({"name": DATA_VOLUME, "persistentVolumeClaim": claim})
    if preset is JobPreset.LATENCY_BENCHMARK and compared.stable is not None:
        pod["affinity"] = _beside(server_selector(parent, compared.stable.revision.hash))
    metadata = gate_metadata(parent, revision, asked, {ANNOTATION_CHECK: WORDS[preset]})
    return job_object(metadata, pod, job.deadline_seconds)


def _stable_environment(compared: Compared, settings: WorkloadSettings) -> dict[str, str]:
    """A model that is baked into an image can be fetched by nobody: for a check it is as if there were no stable.

    Its registry is named only where it is another one: a pod may have been given an address of its own for the usual.
    """
    stable = compared.stable
    if stable is None or stable.revision.model.source is not ModelSource.MLFLOW:
        return {}
    model, ours = stable.revision.model, compared.candidate.revision.model
    elsewhere = (model.source, model.registry) != (ours.source, ours.registry)
    named = {
        "MILLGATE_STABLE_MODEL_NAME": model.name,
        "MILLGATE_STABLE_MODEL_VERSION": model.version,
        "MILLGATE_STABLE_MODEL_SOURCE": model.source_uri,
        "MILLGATE_STABLE_MODEL_DIGEST": stable.digest,
        "MILLGATE_STABLE_TRACKING_URI": tracking_uri(model, settings) if elsewhere else None,
    }
    return {name: value for name, value in named.items() if value is not None}


def _options(job: Job, peak: float | None) -> str:
    options = dict(job.options or {})
    if asks_for_peak(job) and peak is not None:
        options["peakRequestsPerSecond"] = f"{peak:.6g}"
    return json.dumps(options, sort_keys=True, separators=(",", ":"))


def _shared(own: Json, preset: JobPreset) -> Json:
    """The server's resources, with memory for two models. What is measured against the limit gets it as it is."""
    if preset is JobPreset.MEMORY_FOOTPRINT:
        return own
    return {part: {name: _doubled(name, amount) for name, amount in amounts.items()} for part, amounts in own.items()}


def _doubled(name: str, amount: str) -> str:
    if name != "memory":
        return amount
    number = amount.rstrip("mkKMGTi")
    return f"{2 * Decimal(number):f}{amount[len(number) :]}"


def _beside(selector: dict[str, str]) -> Json:
    """On a node that serves the stable revision, if there is room: a wish, since a Job that waits tells nothing."""
    term = {"labelSelector": {"matchLabels": selector}, "topologyKey": "kubernetes.io/hostname"}
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
