"""What the platform team decides about pods, whatever a ModelDeployment asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class WorkloadSettings:
    """`registries`: the tracking URI of each MLflow registry by its name, as pods (not the operator) reach it.

    `allow_code_execution`: may a pod load a model whose format runs code, such as a pickle?
    """

    registries: Mapping[str, str] = field(default_factory=dict)
    allow_code_execution: bool = False


class UnknownRegistryError(Exception):
    """A revision names a registry that the operator's configuration does not have (any longer)."""

    def __init__(self, registry: str) -> None:
        super().__init__(f"the operator's configuration has no registry '{registry}'")
        self.registry = registry
