"""Names, labels and annotations that Millgate puts on objects of a cluster."""

import hashlib
from datetime import UTC, datetime, timedelta

GROUP = "millgate.dev"
VERSION = "v1alpha1"
KIND = "ModelDeployment"
PLURAL = "modeldeployments"
API_VERSION = f"{GROUP}/{VERSION}"

FIELD_MANAGER = "millgate"

LABEL_NAME = f"{GROUP}/name"
LABEL_HASH = f"{GROUP}/hash"
LABEL_COMPONENT = f"{GROUP}/component"
COMPONENT_SERVER = "server"
COMPONENT_PREFLIGHT = "preflight"
COMPONENT_GATE = "gate"
HTTP_PORT_NAME = "http"  # of the server's container
SERVICE_PORT = 80
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_ALLOW_USE = f"{GROUP}/allow-use"
ANNOTATION_REVISION = f"{GROUP}/revision"  # the Revision as JSON, on its Deployment
ANNOTATION_DIGEST = f"{GROUP}/digest"
ANNOTATION_ATTEMPT = f"{GROUP}/attempt"  # of a preflight Job
ANNOTATION_GATE = f"{GROUP}/gate"  # of a gate's Job, as the two below
ANNOTATION_STEP = f"{GROUP}/step"
ANNOTATION_VISIT = f"{GROUP}/visit"
ANNOTATION_CHECK = f"{GROUP}/check"  # and of one with a preset: as the serving image calls it

# The CRD sees to it. A hash has 10 characters, so every name below keeps within the 63 of a label.
NAME_MAX_LENGTH = 40
_GATE_DIGITS = 10
_BASELINE = "-baseline"


def workload_name(name: str, revision_hash: str) -> str:
    """The Deployment and the Service of one revision."""
    return f"{name}-{revision_hash}"


def baseline_hash(revision_hash: str) -> str:
    """Stands for the revision in labels and metrics of its baseline pods, so that nothing mistakes them for its own."""
    return revision_hash + _BASELINE


def revision_of_baseline(hash_: str) -> str | None:
    """The other way round; None for what is no baseline's."""
    return hash_.removesuffix(_BASELINE) if hash_.endswith(_BASELINE) else None


def baseline_name(name: str, revision_hash: str) -> str:
    """The Deployment of a revision's baseline pods."""
    return workload_name(name, baseline_hash(revision_hash))


def rollout_id(name: str, revision: int, revision_hash: str) -> str:
    return f"{name}-{revision}-{revision_hash}"


def preflight_job_name(name: str, revision_hash: str, attempt: int) -> str:
    return f"{workload_name(name, revision_hash)}-check-{attempt}"


def gate_job_name(name: str, revision_hash: str, gate: str, step: str, visit: int) -> str:
    """One Job for each visit of a step: the names of gate and step are too long to stand in it as they are."""
    digest = hashlib.sha256(f"{gate}/{step}/{visit}".encode()).hexdigest()
    return f"{workload_name(name, revision_hash)}-{digest[:_GATE_DIGITS]}"


def visit_of(step_start: datetime) -> int:
    """Names one visit of a step: its start in milliseconds since 1970, the resolution in which status keeps it."""
    return (step_start - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
