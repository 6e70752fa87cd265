"""What the platform team decides about pods, whatever a ModelDeployment asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class CacheSettings:
    """A PersistentVolumeClaim of this name in the namespace of each model, and how much of it models may take."""

    claim_name: str
    gibibytes: float


@dataclass(frozen=True)
class WorkloadSettings:
    """`registries`: the tracking URI of each MLflow registry by its name, as pods (not the operator) reach it.

    `allow_code_execution`: may a pod load a model whose format runs code, such as a pickle?
    `cache`: where pods keep models that they have fetched for others; None where the platform offers no such volume.
    """

    registries: Mapping[str, str] = field(default_factory=dict)
    allow_code_execution: bool = False
    cache: CacheSettings | None = None


class UnknownRegistryError(Exception):
    """A revision names a registry that the operator's configuration does not have (any longer)."""

    def __init__(self, registry: str) -> None:
        super().__init__(f"the operator's configuration has no registry '{registry}'")
        self.registry = registry
