"""A GitOps tool applies the manifests again and again: nothing is written, at rest and in the middle of a step."""

import asyncio
import json
import time

from tests.controlplane.plane import Kubectl, eventually
from tests.controlplane.release_cases import ALL, Releases, release, rollout, step

SECONDS = 15
LONG = rollout({"name": "half", "weightPercent": 50, "minSeconds": 600}, ALL)


async def test_applying_the_manifests_every_second_changes_nothing_at_rest_nor_in_a_step(
    releases: Releases, kubectl: Kubectl
) -> None:
    resting, moving = release("resting", "1"), release("moving", "2", LONG)
    await asyncio.gather(releases.released(resting), releases.released(release("moving", "1", LONG)))
    listing = json.dumps({"apiVersion": "v1", "kind": "List", "items": [resting, moving]})

    def argocd_applies() -> None:
        options = ("--server-side", "--field-manager=argocd", "--force-conflicts", "--filename=-")
        kubectl("apply", *options, namespace=releases.namespace, stdin=listing)

    argocd_applies()
    await eventually(lambda: step(releases.status("moving")) == "half", what="the step has begun")
    await settled(releases)
    since, began = releases.record.now(), time.monotonic()
    for second in range(1, SECONDS + 1):
        await asyncio.to_thread(argocd_applies)
        await asyncio.sleep(max(0.0, began + second - time.monotonic()))  # the tool's own pace
    assert step(releases.status("moving")) == "half"
    changed = [f"{change.kind} {change.name}" for change in releases.record.changes(since) if is_about(change.obj)]
    assert changed == []


def is_about(obj: dict) -> bool:
    names = {"resting", "moving"}
    return bool({obj["metadata"]["name"], (obj["metadata"].get("labels") or {}).get("millgate.dev/name")} & names)


async def settled(releases: Releases) -> None:
    """The controllers of Kubernetes have said what they have to say about the pods that the step began with."""
    counts = [-1] * 20

    def no_news() -> bool:
        counts.append(sum(is_about(change.obj) for change in releases.record.changes()))
        return counts[-1] == counts[-20]

    await eventually(no_news, what="nothing is written for a second")
