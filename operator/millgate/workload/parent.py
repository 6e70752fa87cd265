"""How every object of Millgate shows whose it is: name, namespace, labels and the owner reference."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from millgate.api.names import (
    API_VERSION,
    COMPONENT_SERVER,
    FIELD_MANAGER,
    KIND,
    LABEL_COMPONENT,
    LABEL_HASH,
    LABEL_MANAGED_BY,
    LABEL_NAME,
)

Json = dict[str, Any]


@dataclass(frozen=True)
class Parent:
    """The ModelDeployment that owns an object. Its labels are not known here, so none of them can be copied: tracking
    labels of GitOps tools on a child would make these tools prune it.
    """

    name: str
    namespace: str
    uid: str

    @classmethod
    def of(cls, cr: Json) -> "Parent":
        metadata = cr["metadata"]
        return cls(metadata["name"], metadata["namespace"], metadata["uid"])

    def owns(self, obj: Json) -> bool:
        """By uid: a ModelDeployment that was deleted and made again does not own what the first one left."""
        references = obj["metadata"].get("ownerReferences") or ()
        return any(reference.get("controller") and reference["uid"] == self.uid for reference in references)

    def metadata(self, name: str, labels: Mapping[str, str], annotations: Mapping[str, str] | None = None) -> Json:
        metadata: Json = {
            "name": name,
            "namespace": self.namespace,
            "labels": self.labels(labels),
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": KIND,
                    "name": self.name,
                    "uid": self.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        }
        return metadata | ({"annotations": dict(annotations)} if annotations else {})

    def labels(self, more: Mapping[str, str]) -> dict[str, str]:
        return {LABEL_NAME: self.name, LABEL_MANAGED_BY: FIELD_MANAGER, **more}


def revision_labels(revision_hash: str, component: str = COMPONENT_SERVER) -> dict[str, str]:
    return {LABEL_HASH: revision_hash, LABEL_COMPONENT: component}


def server_selector(parent: Parent, revision_hash: str) -> dict[str, str]:
    """The pods that serve one revision."""
    return {LABEL_NAME: parent.name, **revision_labels(revision_hash)}
