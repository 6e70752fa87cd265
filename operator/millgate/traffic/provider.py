"""What every way of sharing out requests can do: weights to one desired object, the observed object to weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Json = dict[str, Any]


@dataclass(frozen=True)
class RevisionPods:
    """How many pods a revision has that are not being deleted, and how many of them are ready.

    Its own pods and its baseline may be two of these.
    """

    hash: str
    pods: int
    ready: int


@dataclass(frozen=True)
class RouteState:
    """Percent by hash of the revisions that may get requests now, summing to 100; empty where nothing is routed.

    `programmed` is false, with a message, while what routes does not do what Millgate wrote last.
    """

    weights: Mapping[str, int] = field(default_factory=dict)
    programmed: bool = True
    message: str = ""


class TrafficProvider(Protocol):
    """One object routes for a ModelDeployment, so that a change of weights is one atomic write."""

    def render(self, name: str, weights: Mapping[str, int]) -> Json:
        """The object of that name, without namespace, labels and owner. `weights`: percent by hash, summing to 100."""
        ...

    def observe(self, name: str, route: Json | None, revisions: Sequence[RevisionPods]) -> RouteState:
        """What the object, as it is in the cluster now, sends where."""
        ...


def checked(weights: Mapping[str, int]) -> Mapping[str, int]:
    """Promise `sums-to-100`: a program error must not become a route."""
    if sum(weights.values()) != 100 or min(weights.values()) < 0:
        raise ValueError(f"weights must be 0 or more and sum to 100: {dict(weights)}")
    return weights
