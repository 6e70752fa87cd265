"""Traffic type `Replicas`: one Service, its selector pinned to a revision or open to all; pod counts make the share."""

from collections import Counter
from collections.abc import Mapping, Sequence

from millgate.api.names import (
    COMPONENT_SERVER,
    HTTP_PORT_NAME,
    LABEL_COMPONENT,
    LABEL_HASH,
    LABEL_NAME,
    SERVICE_PORT,
)
from millgate.traffic.provider import Json, RevisionPods, RouteState, checked


class Replicas:
    """At 0 and 100 percent the selector is pinned, so that a pod of the other revision that is started, or has not gone
    yet, gets nothing; in between the shares are those of the ready pods, whatever the weights say.
    """

    def render(self, name: str, weights: Mapping[str, int]) -> Json:
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {
                "selector": _selector(name, checked(weights)),
                "ports": [
                    {"name": HTTP_PORT_NAME, "port": SERVICE_PORT, "protocol": "TCP", "targetPort": HTTP_PORT_NAME}
                ],
            },
        }

    def observe(self, name: str, route: Json | None, revisions: Sequence[RevisionPods]) -> RouteState:
        if route is None:
            return RouteState()
        selector: dict[str, str] = route.get("spec", {}).get("selector") or {}
        pinned = selector.get(LABEL_HASH)
        if pinned is not None and selector == _pinned(name, pinned):
            return RouteState({pinned: 100})
        if selector == _open(name):
            return RouteState(shares(revisions))
        return RouteState({}, programmed=False, message=f"the selector of Service {name} was changed by somebody else")


def shares(revisions: Sequence[RevisionPods]) -> Mapping[str, int]:
    """The share of each revision that an open selector reaches, in whole percent that sum to 100.

    By ready pods; where none is ready by pods, since the first to become ready will get requests. Whole percents by the
    largest remainder, and at least 1 for a revision that gets requests at all: it must not look as if it got none.
    A revision may come in several sets of pods.
    """
    counts = Counter[str]()
    for revision in revisions:
        counts[revision.hash] += revision.ready
    if not counts.total():
        for revision in revisions:
            counts[revision.hash] += revision.pods
    counts = +counts  # without those that have none
    total = sum(counts.values())
    whole = {hash_: max(1, count * 100 // total) for hash_, count in counts.items()}
    by_remainder = sorted(counts, key=lambda hash_: (-(counts[hash_] * 100 % total), hash_))
    for hash_ in by_remainder[: max(0, 100 - sum(whole.values()))]:
        whole[hash_] += 1
    surplus = sum(whole.values()) - 100
    if surplus > 0:
        whole[max(whole, key=lambda hash_: (whole[hash_], hash_))] -= surplus
    return whole


def _open(name: str) -> dict[str, str]:
    return {LABEL_NAME: name, LABEL_COMPONENT: COMPONENT_SERVER}


def _pinned(name: str, revision_hash: str) -> dict[str, str]:
    return {**_open(name), LABEL_HASH: revision_hash}


def _selector(name: str, weights: Mapping[str, int]) -> dict[str, str]:
    alone = next((hash_ for hash_, weight in weights.items() if weight == 100), None)
    return _open(name) if alone is None else _pinned(name, alone)
