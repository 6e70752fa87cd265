"""The scale subresource in the middle of a step, as an autoscaler uses it, and the end of a ModelDeployment."""

import json

from millgate.kube.api import MODEL_DEPLOYMENT
from tests.controlplane.plane import Kubectl, eventually
from tests.controlplane.release_cases import ALL, REPLICAS, Releases, release, rollout, step
from tests.controlplane.release_promises import is_ready

LONG = rollout({"name": "half", "weightPercent": 50, "minSeconds": 600}, ALL)


def sizes(releases: Releases, name: str) -> dict[str, int]:
    """Replicas of its Deployments, by hash."""
    found = {}
    for deployment in releases.record.of_kind("Deployment"):
        labels = deployment["metadata"]["labels"]
        if labels["millgate.dev/name"] == name:
            found[labels["millgate.dev/hash"]] = deployment["spec"]["replicas"]
    return found


async def test_scaling_in_a_step_scales_both_revisions_and_stable_is_never_below_the_number(
    releases: Releases, kubectl: Kubectl
) -> None:
    name = "elastic"
    v1 = (await releases.released(release(name, "1", LONG)))["status"]["stable"]["hash"]
    await releases.apply(release(name, "2", LONG))
    v2 = (await releases.until(name, lambda status: step(status) == "half"))["status"]["candidate"]["hash"]
    smallest = REPLICAS
    for replicas in (5, 2):
        since, smallest = releases.record.now(), min(smallest, replicas)
        kubectl("scale", f"mdep/{name}", f"--replicas={replicas}", namespace=releases.namespace)
        await eventually(
            lambda wanted=replicas: sizes(releases, name) == {v1: wanted, v2: wanted}, what=f"{replicas} of each"
        )
        stable = [
            change.obj["spec"]["replicas"]
            for change in releases.record.changes(since)
            if change.kind == "Deployment" and change.name == f"{name}-{v1}"
        ]
        assert min(stable) >= smallest
        assert releases.pinned(name) is None

    path = f"/apis/millgate.dev/v1alpha1/namespaces/{releases.namespace}/modeldeployments/{name}/scale"

    def counted() -> bool:
        scale = json.loads(kubectl("get", "--raw", path))
        pods = [pod for pod in releases.record.of_kind("Pod") if matches(pod, scale["status"]["selector"])]
        return scale["status"]["replicas"] == scale["spec"]["replicas"] == len(pods) == sum(map(is_ready, pods)) == 2

    await eventually(counted, what="an autoscaler sees stable's pods, and no others")


def matches(pod: dict, selector: str) -> bool:
    labels = pod["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, _, value in (part.partition("=") for part in selector.split(",")))


async def test_a_modeldeployment_that_is_deleted_takes_all_its_objects_with_it(releases: Releases) -> None:
    name = "ephemeral"
    await releases.released(release(name, "1"))
    await releases.apply(release(name, "2", LONG))
    await releases.until(name, lambda status: step(status) == "half")
    await releases.api.delete(MODEL_DEPLOYMENT, releases.namespace, name)

    def gone() -> bool:
        kinds = ("ModelDeployment", "Deployment", "Service", "Pod", "Job")
        objects = [obj for kind in kinds for obj in releases.record.of_kind(kind)]
        return not [obj for obj in objects if obj["metadata"]["name"].startswith(name)]

    await eventually(gone, what="the garbage collector has removed everything")
