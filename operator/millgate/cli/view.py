"""A ModelDeployment as the command line sees it: read from the API server's JSON, with the questions that views ask."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from millgate.api.conditions import ConditionType
from millgate.api.names import GROUP, PLURAL
from millgate.api.request import REQUEST_ANNOTATION, parse_request
from millgate.api.spec import ModelDeploymentSpec
from millgate.api.status import Condition, Rejected, RolloutStatus, Stage, Status, Track

RESOURCE = f"{PLURAL.removesuffix('s')}.{GROUP}"

_ARGO_ID = "argocd.argoproj.io/tracking-id"
_ARGO_LABEL = "argocd.argoproj.io/instance"
_FLUX = {"kustomize.toolkit.fluxcd.io/name": "Flux Kustomization", "helm.toolkit.fluxcd.io/name": "Flux HelmRelease"}


class UnreadableError(Exception):
    """The object was written by another Millgate than this command can read."""


@dataclass(frozen=True)
class View:
    """One ModelDeployment. `spec` is None when it has fields that this command does not know."""

    namespace: str
    name: str
    created: datetime
    spec: ModelDeploymentSpec | None
    status: Status
    managed_by: str | None  # who keeps the object as Git has it, for example "Argo CD application 'risk'"
    asked: str | None  # the id of the request in the annotation
    raw: Mapping[str, Any]

    @property
    def title(self) -> str:
        """As kubectl names an object that it has changed."""
        return f"{RESOURCE}/{self.name}"

    def condition(self, type_: ConditionType) -> Condition | None:
        return next((condition for condition in self.status.conditions if condition.type == type_), None)

    def holds(self, type_: ConditionType) -> bool:
        condition = self.condition(type_)
        return condition is not None and condition.status == "True"

    @property
    def word(self) -> str:
        """The one word that a person reads: the reason of Ready."""
        ready = self.condition(ConditionType.READY)
        return ready.reason if ready else "Unknown"

    @property
    def in_flight(self) -> RolloutStatus | None:
        """The rollout whose candidate is not promoted yet; None while the old revision is only kept warm."""
        rollout = self.status.rollout
        promoted = rollout is not None and rollout.stage is Stage.PROMOTING and self.status.candidate is None
        return None if promoted else rollout

    @property
    def taken_back(self) -> Rejected | None:
        """The rejection that keeps out what `spec` asks for."""
        wanted = self.status.resolution.hash if self.status.resolution else None
        return next((rejected for rejected in self.status.rejected if rejected.hash == wanted), None)


def read(obj: Mapping[str, Any]) -> View:
    """Raises UnreadableError when the status has another form than this command knows."""
    metadata = obj["metadata"]
    annotations: Mapping[str, str] = metadata.get("annotations") or {}
    text = annotations.get(REQUEST_ANNOTATION)
    try:
        status = Status.model_validate(obj.get("status") or {})
    except ValidationError as error:
        where = f"{metadata['namespace']}/{metadata['name']}"
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UnreadableError(
            f"cannot read the status of {where} (`{field}`: {first['msg']}): is this command as new as the operator?"
        ) from error
    return View(
        namespace=metadata["namespace"],
        name=metadata["name"],
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        spec=_spec(obj.get("spec") or {}),
        status=status,
        managed_by=_managed_by(annotations, metadata.get("labels") or {}),
        asked=parse_request(text).id if text is not None else None,
        raw=obj,
    )


def version_name(version: str) -> str:
    """'v8' for version 8; text such as '2024-05-rc1' stays as it is."""
    return f"v{version}" if version.isdigit() else version


def version_of(track: Track | None) -> str:
    return version_name(track.model_version) if track else "-"


def _spec(spec: Mapping[str, Any]) -> ModelDeploymentSpec | None:
    try:
        return ModelDeploymentSpec.model_validate(spec)
    except ValidationError:
        return None


def _managed_by(annotations: Mapping[str, str], labels: Mapping[str, str]) -> str | None:
    application = annotations.get(_ARGO_ID, "").partition(":")[0] or labels.get(_ARGO_LABEL)
    if application:
        return f"Argo CD application '{application}'"
    return next((f"{kind} '{labels[label]}'" for label, kind in _FLUX.items() if label in labels), None)
