"""A pod whose Secret is missing: the kubelet tells events alone, and the status of the ModelDeployment must tell it."""

from itertools import permutations
from typing import Any

import pytest

from millgate.api.conditions import Reason
from millgate.controller.mounts import awaits_files, missing, with_missing
from millgate.controller.pods import pod_facts
from millgate.kube.api import KubeError
from tests.unit.observe_objects import is_true, pod, waiting

Json = dict[str, Any]
SECRET = 'MountVolume.SetUp failed for volume "files-keys" : secret "clients" not found'
CONFIG_MAP = 'MountVolume.SetUp failed for volume "files-ca" : configmap "ca" not found'
TIMED_OUT = "Unable to attach or mount volumes: unmounted volumes=[files-keys]: timed out waiting for the condition"
MOUNTED = {"volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "files-keys", "secret": {"secretName": "clients"}}]}
CREATING = waiting("ContainerCreating")


def held(name: str = "a", owner: str = "set-1", **changes: Any) -> Json:
    made = pod(name, owner=owner, **({"state": CREATING, "phase": "Pending", "conditions": SCHEDULED} | changes))
    made["metadata"]["uid"] = f"uid-of-{name}"
    return made | {"spec": MOUNTED}


SCHEDULED = (is_true("PodScheduled"),)


class Events:
    """The API server, for the events of pods. `asked`: by which fields."""

    def __init__(self, *notes: str, error: KubeError | None = None) -> None:
        self.asked: list[str] = []
        self._notes, self._error = notes, error

    async def list(self, _kind: object, _namespace: str, *, fields: str) -> list[Json]:
        self.asked.append(fields)
        if self._error is not None:
            raise self._error
        return [{"note": note} for note in self._notes]


@pytest.mark.parametrize("order", list(permutations([SECRET, CONFIG_MAP, TIMED_OUT, SECRET])))
def test_what_is_missing_is_told_alike_however_often_the_kubelet_says_it(order: tuple[str, ...]) -> None:
    assert missing(order) == "there is no ConfigMap 'ca', there is no Secret 'clients'"


async def test_a_missing_secret_is_the_reason_of_the_pod_that_waits_for_it() -> None:
    events = Events(TIMED_OUT, SECRET)
    (told,) = await with_missing(events, "risk", [held()])  # type: ignore[arg-type]
    problem = pod_facts([told]).problem
    assert problem is not None
    assert (problem.reason, problem.message) == (Reason.REF_NOT_FOUND, "there is no Secret 'clients'")
    assert events.asked == ["regarding.uid=uid-of-a,reason=FailedMount"]


async def test_a_pod_without_a_status_of_its_container_says_it_too() -> None:
    (told,) = await with_missing(Events(SECRET), "risk", [held(containerStatuses=[])])  # type: ignore[arg-type]
    assert pod_facts([told]).problem is not None


async def test_of_pods_with_one_owner_one_is_asked_about() -> None:
    events = Events(SECRET)
    pods = [held("b"), held("a"), held("c", owner="set-2"), pod("d", ready=True)]
    told = await with_missing(events, "risk", pods)  # type: ignore[arg-type]
    assert sorted(events.asked) == [f"regarding.uid=uid-of-{name},reason=FailedMount" for name in ("a", "c")]
    assert [one["metadata"]["name"] for one in told] == ["b", "a", "c", "d"]
    assert [pod_facts([one]).problem is None for one in told] == [True, False, False, True]


@pytest.mark.parametrize("events", [Events(), Events(TIMED_OUT), Events(error=KubeError(403, "Forbidden", "no"))])
async def test_a_pod_of_which_nothing_is_known_stays_as_it_is(events: Events) -> None:
    assert await with_missing(events, "risk", [held()]) == (held(),)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "seen",
    [
        held(conditions=()),
        held(conditions=(*SCHEDULED, is_true("PodReadyToStartContainers"))),
        held(state=waiting("ErrImagePull", "x")),
        held(deleted=True),
        held(ready=True, phase="Running"),
        held() | {"spec": {"volumes": [{"name": "tmp", "emptyDir": {}}]}},
        pod(),
    ],
    ids=["no node", "has its volumes", "pulls", "ends", "serves", "mounts no file", "knows no volumes"],
)
async def test_no_other_pod_is_asked_about(seen: Json) -> None:
    events = Events(SECRET)
    assert not awaits_files(seen)
    assert await with_missing(events, "risk", [seen]) == (seen,)  # type: ignore[arg-type]
    assert events.asked == []
