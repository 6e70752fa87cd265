"""Names, labels and annotations that Millgate puts on objects of a cluster."""

GROUP = "millgate.dev"
VERSION = "v1alpha1"
KIND = "ModelDeployment"
PLURAL = "modeldeployments"
API_VERSION = f"{GROUP}/{VERSION}"

FIELD_MANAGER = "millgate"

LABEL_NAME = f"{GROUP}/name"
LABEL_HASH = f"{GROUP}/hash"
LABEL_COMPONENT = f"{GROUP}/component"  # server | preflight | gate
LABEL_ALLOW_USE = f"{GROUP}/allow-use"
ANNOTATION_REVISION = f"{GROUP}/revision"  # the Revision as JSON, on its Deployment
ANNOTATION_DIGEST = f"{GROUP}/digest"


def workload_name(name: str, revision_hash: str) -> str:
    """The Deployment and the Service of one revision."""
    return f"{name}-{revision_hash}"


def rollout_id(name: str, revision: int, revision_hash: str) -> str:
    return f"{name}-{revision}-{revision_hash}"
