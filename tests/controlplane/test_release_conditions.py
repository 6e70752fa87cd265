"""What is said about a release: `kubectl wait`, and each row of the table of conditions with kstatus' word for it."""

import json
import re

from millgate.kube.api import POD, SERVICE
from tests.controlplane.plane import Kubectl, eventually, model_deployment
from tests.controlplane.release_cases import ALL, OWNER, Releases, conditions, release, rollout, word
from tests.controlplane.release_kstatus import kstatus, row
from tests.controlplane.release_promises import hold, is_ready
from tests.controlplane.release_town import Town

# The conditions Accepted Available Reconciling Stalled Paused RolledBack CandidateHealthy Ready, and kstatus' word.
ROWS = {
    "first deploy, pods starting": ("TFTFFFUF", "InProgress"),
    "promoted": ("TTFFFFUT", "Current"),
    "canary running": ("TTTFFF[TUF]F", "InProgress"),
    "waits for a person": ("TTFFTF[TUF]F", "InProgress"),
    "rolling back": ("TTTFFTFF", "InProgress"),
    "rolled back": ("TTFTFTFF", "Failed"),
    "not accepted": ("FTFTF[TF][TUF]F", "Failed"),
    "stable pods lost while idle": ("TFFFFFUF", "InProgress"),
}
APPROVED = rollout({"name": "half", "weightPercent": 50, "minSeconds": 1, "gates": [OWNER]}, ALL)


def is_row(situation: str, obj: dict) -> bool:
    pattern, expected = ROWS[situation]
    found = re.fullmatch(pattern, row(obj)) is not None
    assert not found or kstatus(obj) == expected, f"{situation}: {kstatus(obj)}"
    return found


def went_through(releases: Releases, name: str, *situations: str) -> None:
    """The record has a version of it in each of the situations, in this order."""
    changes = releases.record.changes()
    hold(changes, name)
    versions = [one.obj for one in changes if (one.kind, one.name) == ("ModelDeployment", name)]
    rows = [row(obj) for obj in versions if obj["status"].get("observedGeneration") == obj["metadata"]["generation"]]
    rest = iter(versions)
    for situation in situations:
        assert any(is_row(situation, obj) for obj in rest), f"{situation} is not among {list(dict.fromkeys(rows))}"


async def test_kubectl_wait_returns_once_it_serves_and_never_on_the_old_generation(
    releases: Releases, kubectl: Kubectl
) -> None:
    where = {"namespace": releases.namespace}
    for version in ("1", "2", "3", "4"):
        spec = {
            "model": {"source": "Image", "name": "waited", "version": version},
            "server": {"image": f"registry.example/waited:{version}"},
        }
        fields = {} if version == "1" else {"rollout": {"strategy": "BigBang"}}
        kubectl.apply(model_deployment("waited", spec=spec | fields), **where)
        kubectl("wait", "--for=condition=Ready", "mdep/waited", "--timeout=30s", **where)
        status = kubectl.json("get", "mdep/waited", **where)["status"]
        assert status["stable"]["modelVersion"] == version
        selector = kubectl.json("get", "service/waited", **where)["spec"]["selector"]
        assert selector["millgate.dev/hash"] == status["stable"]["hash"]
        pods = await releases.api.list(POD, releases.namespace, selector=",".join(map("=".join, selector.items())))
        assert [is_ready(pod) for pod in pods] == [True]
    hold(releases.record.changes(), "waited")


async def test_a_good_release_says_what_the_table_says(releases: Releases) -> None:
    name = "praised"
    await releases.released(release(name, "1", APPROVED))
    went_through(releases, name, "first deploy, pods starting", "promoted")
    await releases.apply(release(name, "2", APPROVED))
    await releases.until_word(name, "AwaitingApproval")
    await releases.ask(name, f"Promote rollout={releases.status(name)['rollout']['id']} id=yes")
    await releases.until_word(name, "Promoted")
    went_through(releases, name, "promoted", "canary running", "waits for a person", "promoted")


async def test_a_paused_release_waits_for_a_person_until_spec_says_otherwise(releases: Releases) -> None:
    name, policy = "paused", rollout({"name": "half", "weightPercent": 50}, ALL)
    await releases.released(release(name, "1", policy))
    await releases.apply(release(name, "2", policy, paused=True))
    held = await releases.until_word(name, "PausedBySpec")
    assert is_row("waits for a person", held)
    await releases.released(release(name, "2", policy))
    hold(releases.record.changes(), name)


async def test_a_release_that_is_taken_back_says_what_the_table_says(releases: Releases) -> None:
    name = "dropped"
    await releases.released(release(name, "1", APPROVED))
    await releases.apply(release(name, "2", APPROVED))
    await releases.until_word(name, "AwaitingApproval")
    await releases.ask(name, "Abort id=no")
    await releases.until(name, lambda status: word(status) == "RolledBack" and status.get("rollout") is None)
    went_through(releases, name, "canary running", "rolling back", "rolled back")
    assert conditions(releases.status(name))["RolledBack"]["reason"] == "AbortedByUser"
    assert is_row("promoted", await releases.released(release(name, "1", APPROVED)))


async def test_pods_that_do_not_become_ready_cost_the_candidate_its_rollout(releases: Releases) -> None:
    name, policy = "late", rollout(ALL, progressDeadlineSeconds=10)
    await releases.released(release(name, "1", policy))
    nowhere = {"image": "registry.example/late:2", "nodeSelector": {"nowhere": "here"}}
    await releases.apply(release(name, "2", policy, server=nowhere))
    await releases.until(name, lambda status: "PodUnschedulable" in conditions(status)["CandidateHealthy"]["reason"])
    stalled = await releases.until_word(name, "ProgressDeadlineExceeded")
    assert is_row("rolled back", stalled)
    assert "PodUnschedulable" in conditions(stalled["status"])["Stalled"]["message"]
    hold(releases.record.changes(), name)


async def test_what_the_platform_refuses_is_stalled_and_stable_serves_on(releases: Releases) -> None:
    name = "foreign"
    await releases.released(release(name, "1"))
    await releases.apply(release(name, "2", server={"image": "elsewhere.example/x:2"}))
    assert is_row("not accepted", await releases.until_word(name, "ImageNotAllowed"))
    assert releases.pinned(name) == releases.status(name)["stable"]["hash"]
    hold(releases.record.changes(), name)


async def test_stable_pods_that_are_lost_while_idle_are_told(releases: Releases) -> None:
    name = "lonely"
    released = await releases.released(release(name, "1"))
    selector = released["status"]["selector"]
    for pod in await releases.api.list(POD, releases.namespace, selector=selector):
        await make_unready(releases, pod)
    assert is_row("stable pods lost while idle", await releases.until_word(name, "StableUnavailable"))
    for pod in await releases.api.list(POD, releases.namespace, selector=selector):
        await releases.api.delete(POD, releases.namespace, pod["metadata"]["name"])
    assert is_row("promoted", await releases.until_word(name, "Promoted"))
    hold(releases.record.changes(), name)


async def make_unready(releases: Releases, pod: dict) -> None:
    """What a kubelet does when the readiness probe fails; KWOK's pods have none."""
    others = [entry for entry in pod["status"]["conditions"] if entry["type"] != "Ready"]
    status = {"conditions": [*others, {"type": "Ready", "status": "False", "reason": "ContainersNotReady"}]}
    partial = {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "status": status}
    partial["metadata"] = {key: pod["metadata"][key] for key in ("namespace", "name")}
    await releases.api.apply(POD, partial, subresource="status", manager="kubelet")


def test_an_object_that_no_operator_has_seen_is_in_progress(kubectl: Kubectl, namespace: str) -> None:
    kubectl.apply(model_deployment("unseen"), namespace=namespace)
    assert kstatus(kubectl.json("get", "mdep/unseen", namespace=namespace)) == "InProgress"


async def test_a_name_that_somebody_else_has_is_a_conflict_until_it_is_free(
    releases: Releases, kubectl: Kubectl, town: Town
) -> None:
    name = "taken"
    theirs = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": releases.namespace},
        "spec": {"selector": {"app": "other"}, "ports": [{"port": 80}]},
    }
    kubectl("create", "--filename=-", stdin=json.dumps(theirs))
    before = await releases.api.get(SERVICE, releases.namespace, name)
    await releases.apply(release(name, "1"))
    stalled = await releases.until_word(name, "NameConflict")
    assert kstatus(stalled) == "Failed"
    assert f"Service {name}" in conditions(stalled["status"])["Stalled"]["message"]
    assert await releases.api.get(SERVICE, releases.namespace, name) == before
    await quiet(town)
    await releases.api.delete(SERVICE, releases.namespace, name)
    await releases.until_word(name, "Promoted", seconds=40)
    hold(releases.record.changes(), name)


async def quiet(town: Town) -> None:
    """The operator has looked at all that has changed: only time can make it look again."""
    looks = [-1.0] * 10

    def unchanged() -> bool:
        looks.append(town.operator.metric("millgate_reconciles_total"))
        return looks[-1] == looks[-10]

    await eventually(unchanged, what="no reconcile for half a second")
