"""A revision: one model version together with the pods that serve it. Its hash names its Deployment and its Service."""

import hashlib
import json
from typing import Annotated, Any

from pydantic import Field

from millgate.api.base import StatusModel
from millgate.api.spec import ModelSource, Server

HASH_LENGTH = 10


class ModelIdentity(StatusModel):
    """Which bytes are meant, as far as the registry can say it.

    `source_id` is the registry's own id of the version's source: a registered model that was deleted and made anew
    starts again at version 1, so name and version alone may come to mean another model (facts/serving.md, section 4).
    """

    source: Annotated[ModelSource, Field(description="Where the model lies.")]
    registry: Annotated[str, Field(description="The registry's name in the operator's configuration.")]
    name: Annotated[str, Field(description="The registered model.")]
    version: Annotated[str, Field(description="The version, an alias resolved.")]
    source_uri: Annotated[str | None, Field(description="Where the registry says that the bytes are.")] = None
    source_id: Annotated[str | None, Field(description="The registry's own id of that source.")] = None
    run_id: Annotated[str | None, Field(description="The MLflow run that made the model.")] = None
    git_commit: Annotated[str | None, Field(description="The commit of the training code.")] = None
    dataset_digest: Annotated[str | None, Field(description="MLflow's label of the training data.")] = None


class Revision(StatusModel):
    """What one Deployment runs: never changed once made."""

    model: ModelIdentity
    server: Server
    image: Annotated[
        str,
        Field(
            description="The image in full: a default is resolved once and kept, so that a new one starts no rollout."
        ),
    ]
    hash: str

    @property
    def model_version(self) -> str:
        return self.model.version


def revision_of(model: ModelIdentity, server: Server, default_image: str) -> Revision:
    """The revision that a spec asks for, once the registry has said which model is meant."""
    return Revision(model=model, server=server, image=server.image or default_image, hash=revision_hash(model, server))


def revision_hash(model: ModelIdentity, server: Server) -> str:
    """Ten characters that name the content.

    Only what is set goes in, so that a field added by a later version of the API changes no hash, and neither does
    an operator's default. Lineage (run, commit, dataset) describes the model and is not part of what it is.
    """
    identity: dict[str, Any] = {
        "source": model.source.value,
        "registry": model.registry,
        "name": model.name,
        "version": model.version,
        "sourceId": model.source_id,
        "server": _only_what_is_set(server.model_dump(mode="json", by_alias=True)),
    }
    text = json.dumps(_only_what_is_set(identity), sort_keys=True, separators=(",", ":"))
    # Hex digits alone could spell a number that YAML reads as one; a leading letter cannot.
    return "r" + hashlib.sha256(text.encode()).hexdigest()[: HASH_LENGTH - 1]


def _only_what_is_set(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: _only_what_is_set(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in (None, {}, [])}
    if isinstance(value, list):
        return [_only_what_is_set(item) for item in value]
    return value
