"""The Jobs of a revision: the preflight that checks its model before any pod serves it, and those of gates with an
image of their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from millgate.api.defaults import startup_deadline_of
from millgate.api.names import (
    ANNOTATION_ATTEMPT,
    ANNOTATION_GATE,
    ANNOTATION_STEP,
    ANNOTATION_VISIT,
    COMPONENT_GATE,
    COMPONENT_PREFLIGHT,
    gate_job_name,
    preflight_job_name,
    workload_name,
)
from millgate.api.revision import Revision
from millgate.api.spec import Job, Server
from millgate.workload.parent import Parent, revision_labels
from millgate.workload.pod import container, environment, pod_spec, resources
from millgate.workload.revision import TEMPORARY_FOLDER, model_environment, model_folders, with_cache
from millgate.workload.settings import WorkloadSettings

Json = dict[str, Any]

PREFLIGHT_ARGUMENT = "preflight"


def preflight_job(
    parent: Parent, revision: Revision, digest: str | None, attempt: int, settings: WorkloadSettings
) -> Json:
    """Fetches, hashes, loads and asks the model where and as the server will: same image, resources, nodes and account.

    Raises UnknownRegistryError.
    """
    server, folders = revision.server, model_folders(revision)
    own = model_environment(revision, digest, settings)
    pod = pod_spec(
        server,
        container(
            COMPONENT_PREFLIGHT,
            revision.image,
            environment(own, server.env or ()),
            folders,
            args=[PREFLIGHT_ARGUMENT],
            resources=resources(server.resources),
        ),
        folders,
        restartPolicy="Never",
    )
    pod = with_cache(pod, revision, settings)
    metadata = parent.metadata(
        preflight_job_name(parent.name, revision.hash, attempt),
        revision_labels(revision.hash, COMPONENT_PREFLIGHT),
        {ANNOTATION_ATTEMPT: str(attempt)},
    )
    return job_object(metadata, pod, startup_deadline_of(server))


@dataclass(frozen=True)
class GateVisit:
    """A gate of type Job, asked in one visit of a step."""

    gate: str
    job: Job
    step: str
    visit: int


def gate_job(parent: Parent, revision: Revision, stable_hash: str | None, asked: GateVisit) -> Json:
    """An image of the user's, which asks the candidate (and stable, if there is one) through Services of their own."""
    job = asked.job
    own = {
        "MILLGATE_NAME": parent.name,
        "MILLGATE_NAMESPACE": parent.namespace,
        "MILLGATE_STEP": asked.step,
        "MILLGATE_CANDIDATE_REVISION": revision.hash,
        "MILLGATE_CANDIDATE_URL": _url(parent, revision.hash),
        "HOME": f"/{TEMPORARY_FOLDER}",
    }
    if stable_hash is not None:
        own |= {"MILLGATE_STABLE_REVISION": stable_hash, "MILLGATE_STABLE_URL": _url(parent, stable_hash)}
    folders = (TEMPORARY_FOLDER,)
    pod = pod_spec(
        Server(),
        container(
            COMPONENT_GATE,
            job.image or revision.image,
            environment(own, job.env or ()),
            folders,
            command=list(job.command or ()),
            args=list(job.args or ()),
            resources=resources(job.resources),
        ),
        folders,
        restartPolicy="Never",
    )
    return job_object(gate_metadata(parent, revision, asked), pod, job.deadline_seconds)


def gate_metadata(parent: Parent, revision: Revision, asked: GateVisit, more: Mapping[str, str] | None = None) -> Json:
    """`more`: further annotations."""
    own = {ANNOTATION_GATE: asked.gate, ANNOTATION_STEP: asked.step, ANNOTATION_VISIT: str(asked.visit)}
    return parent.metadata(
        gate_job_name(parent.name, revision.hash, asked.gate, asked.step, asked.visit),
        revision_labels(revision.hash, COMPONENT_GATE),
        own | dict(more or {}),
    )


def _url(parent: Parent, revision_hash: str) -> str:
    return f"http://{workload_name(parent.name, revision_hash)}.{parent.namespace}.svc"


def job_object(metadata: Json, pod: Json, deadline_seconds: int) -> Json:
    """A verdict is asked for once: whether a Job that could not tell is tried again is the plan's decision."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": deadline_seconds,
            "template": {"metadata": {"labels": metadata["labels"]}, "spec": pod},
        },
    }
