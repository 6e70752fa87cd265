"""A revision as objects: the Deployment that runs it, that of its baseline, and the Service that reaches it alone."""

import json
from dataclasses import dataclass
from math import ceil
from typing import Any

from millgate.api.defaults import drain_seconds_of, port_of, startup_deadline_of
from millgate.api.names import (
    ANNOTATION_DIGEST,
    ANNOTATION_REVISION,
    HTTP_PORT_NAME,
    SERVICE_PORT,
    baseline_hash,
    workload_name,
)
from millgate.api.revision import ModelIdentity, Revision
from millgate.api.spec import ModelSource, TopologySpread
from millgate.workload.parent import Parent, revision_labels, server_selector
from millgate.workload.pod import USER_ID, container, environment, pod_spec, resources
from millgate.workload.settings import UnknownRegistryError, WorkloadSettings

Json = dict[str, Any]

CONTAINER_NAME = "server"
MODEL_FOLDER = "models"
TEMPORARY_FOLDER = "tmp"
CACHE_VOLUME = "cache"
# After draining, requests in flight may take this long before the kubelet ends the server by force.
GRACE_AFTER_DRAIN_SECONDS = 30
PROBE_PERIOD_SECONDS = 1
_SPREAD_OVER = {TopologySpread.NODE: "kubernetes.io/hostname", TopologySpread.ZONE: "topology.kubernetes.io/zone"}


def deployment(  # noqa: PLR0913, PLR0917  # what a revision is, where it lies, and what the platform says
    parent: Parent,
    revision: Revision,
    digest: str | None,
    replicas: int,
    settings: WorkloadSettings,
    fingerprint: str | None = None,
) -> Json:
    """`fingerprint`: by which a pod can name the file that is not what `digest` says. Raises UnknownRegistryError."""
    return _deployment(parent, _Pods(revision, digest, revision.hash, fingerprint), replicas, settings)


def baseline_deployment(
    parent: Parent, revision: Revision, digest: str | None, replicas: int, settings: WorkloadSettings
) -> Json:
    """Fresh pods of a revision, under a hash of their own: what selects the revision (its Deployment and Service, an
    autoscaler, a live Service that is pinned to it, a query of its metrics) leaves them out. Raises
    UnknownRegistryError.
    """
    return _deployment(parent, _Pods(revision, digest, baseline_hash(revision.hash)), replicas, settings)


@dataclass(frozen=True)
class _Pods:
    """`hash`: what they are called in labels and metrics."""

    revision: Revision
    digest: str | None
    hash: str
    fingerprint: str | None = None


def _deployment(parent: Parent, pods: _Pods, replicas: int, settings: WorkloadSettings) -> Json:
    annotations = {ANNOTATION_REVISION: revision_text(pods.revision)}
    if pods.digest is not None:
        annotations[ANNOTATION_DIGEST] = pods.digest
    labels = revision_labels(pods.hash)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": parent.metadata(workload_name(parent.name, pods.hash), labels, annotations),
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": server_selector(parent, pods.hash)},
            # Millgate never changes the template. A person may restart pods: one by one, each ready before the next.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "revisionHistoryLimit": 0,
            "template": {
                "metadata": {
                    "labels": parent.labels(labels),
                    "annotations": _scrape(port_of(pods.revision.server)),
                },
                "spec": _server_pod(parent, pods, settings),
            },
        },
    }


def revision_service(parent: Parent, revision_hash: str) -> Json:
    """Reaches the pods of one revision, whatever the live route says: for gates and for people."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": parent.metadata(workload_name(parent.name, revision_hash), revision_labels(revision_hash)),
        "spec": {
            "selector": server_selector(parent, revision_hash),
            "ports": [{"name": HTTP_PORT_NAME, "port": SERVICE_PORT, "protocol": "TCP", "targetPort": HTTP_PORT_NAME}],
        },
    }


def revision_text(revision: Revision) -> str:
    """The annotation from which `Revision.model_validate_json` makes the same revision again."""
    return json.dumps(revision.to_json(), sort_keys=True, separators=(",", ":"))


def model_folders(revision: Revision) -> tuple[str, ...]:
    """The writable folders of a server. A model that is baked into the image may lie in /models: nothing is mounted
    over it.
    """
    if revision.model.source is ModelSource.MLFLOW:
        return (MODEL_FOLDER, TEMPORARY_FOLDER)
    return (TEMPORARY_FOLDER,)


def model_environment(revision: Revision, digest: str | None, settings: WorkloadSettings) -> dict[str, str]:
    """The contract with the serving image. Raises UnknownRegistryError."""
    model, server = revision.model, revision.server
    own = {
        "MILLGATE_MODEL_NAME": model.name,
        "MILLGATE_MODEL_VERSION": model.version,
        "MILLGATE_REVISION": revision.hash,
        "MILLGATE_IMAGE": revision.image,
        "MILLGATE_PORT": str(port_of(server)),
        "MILLGATE_DRAIN_SECONDS": str(drain_seconds_of(server)),
        "MILLGATE_ALLOW_CODE_EXECUTION": str(settings.allow_code_execution).lower(),
        # The user has no home in the image, and the root file system is read-only.
        "HOME": f"/{TEMPORARY_FOLDER}",
    }
    if model.source is ModelSource.MLFLOW:
        own |= {
            "MILLGATE_MODEL_DIR": f"/{MODEL_FOLDER}",
            "MILLGATE_FETCH_DEADLINE_SECONDS": str(startup_deadline_of(server)),
            "MLFLOW_TRACKING_URI": tracking_uri(model, settings),
        }
        if settings.cache is not None:
            own |= {"MILLGATE_CACHE_DIR": f"/{CACHE_VOLUME}", "MILLGATE_CACHE_GIB": f"{settings.cache.gibibytes:g}"}
    if model.source_uri is not None:
        own["MILLGATE_MODEL_SOURCE"] = model.source_uri
    if digest is not None:
        own["MILLGATE_MODEL_DIGEST"] = digest
    if model.git_commit is not None:
        own["MILLGATE_GIT_COMMIT"] = model.git_commit
    return own


def tracking_uri(model: ModelIdentity, settings: WorkloadSettings) -> str:
    """The model's registry as pods reach it. Raises UnknownRegistryError."""
    if model.registry not in settings.registries:
        raise UnknownRegistryError(model.registry)
    return settings.registries[model.registry]


def _server_pod(parent: Parent, pods: _Pods, settings: WorkloadSettings) -> Json:
    revision, server, folders = pods.revision, pods.revision.server, model_folders(pods.revision)
    own = model_environment(revision, pods.digest, settings) | {"MILLGATE_REVISION": pods.hash}
    if pods.fingerprint is not None:
        own["MILLGATE_MODEL_FINGERPRINT"] = pods.fingerprint
    probes = {
        "startupProbe": _probe("/readyz", ceil(startup_deadline_of(server) / PROBE_PERIOD_SECONDS)),
        "readinessProbe": _probe("/readyz", failures=3),
    }
    if revision.model.source is ModelSource.MLFLOW:
        # Only /readyz is asked of a server that is not ours: one without /livez would be restarted for ever.
        probes["livenessProbe"] = _probe("/livez", failures=6, period_seconds=10)
    pod = pod_spec(
        server,
        container(
            CONTAINER_NAME,
            revision.image,
            environment(own, server.env or ()),
            folders,
            args=list(server.args or ()),
            ports=[{"name": HTTP_PORT_NAME, "containerPort": port_of(server), "protocol": "TCP"}],
            resources=resources(server.resources),
            **probes,
        ),
        folders,
        terminationGracePeriodSeconds=drain_seconds_of(server) + GRACE_AFTER_DRAIN_SECONDS,
        topologySpreadConstraints=_spread(parent, pods),
    )
    return with_cache(pod, revision, settings)


def with_cache(pod: Json, revision: Revision, settings: WorkloadSettings) -> Json:
    """The pod with the volume that the platform offers for fetched models, if it does and the model is fetched."""
    if settings.cache is None or revision.model.source is not ModelSource.MLFLOW:
        return pod
    volume = {"name": CACHE_VOLUME, "persistentVolumeClaim": {"claimName": settings.cache.claim_name}}
    containers = [
        one | {"volumeMounts": [*one["volumeMounts"], {"name": CACHE_VOLUME, "mountPath": f"/{CACHE_VOLUME}"}]}
        for one in pod["containers"]
    ]
    # A new volume belongs to root; the group makes it writable for our user, once.
    owner = {"fsGroup": USER_ID, "fsGroupChangePolicy": "OnRootMismatch"}
    return pod | {
        "containers": containers,
        "volumes": [*pod["volumes"], volume],
        "securityContext": pod["securityContext"] | owner,
    }


def _probe(path: str, failures: int, period_seconds: int = PROBE_PERIOD_SECONDS) -> Json:
    return {
        "httpGet": {"path": path, "port": HTTP_PORT_NAME},
        "periodSeconds": period_seconds,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }


def _spread(parent: Parent, pods: _Pods) -> list[Json]:
    """A wish, not a demand: a cluster with one node or zone serves all the same."""
    key = _SPREAD_OVER.get(pods.revision.server.topology_spread or TopologySpread.NODE)
    if key is None:
        return []
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": server_selector(parent, pods.hash)},
        }
    ]


def _scrape(port: int) -> dict[str, str]:
    """Read by the pod discovery that most Prometheus installations come with."""
    return {"prometheus.io/scrape": "true", "prometheus.io/port": str(port), "prometheus.io/path": "/metrics"}
