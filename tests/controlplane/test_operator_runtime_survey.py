"""Looking at everything at once finds what needs a reconcile on a real API server, and only that."""

from typing import Any

from millgate.controller.config import Config
from millgate.controller.loop import Outside
from millgate.controller.resolver import Resolver
from millgate.controller.survey import Surveyor
from millgate.controller.telemetry import Telemetry
from millgate.kube.api import DEPLOYMENT, MODEL_DEPLOYMENT, SERVICE
from millgate.kube.queue import WorkQueue
from millgate.workload.settings import WorkloadSettings
from tests.controlplane.operator_process import OperatorProcess
from tests.controlplane.plane import eventually
from tests.controlplane.released import HASH, Released

Json = dict[str, Any]


def request(text: str | None) -> Json:
    return {"metadata": {"annotations": {"millgate.dev/request": text}}}


async def test_one_that_is_settled_is_left_alone_and_one_that_is_not_is_reconciled(
    cluster, kubectl, namespace, api, tmp_path
):
    model = Released(kubectl, namespace)
    with OperatorProcess(cluster, tmp_path, watchNamespaces=[namespace], lease={"namespace": namespace}) as operator:
        operator.leading()
        model.ask_for("1")
        status = await model.until(lambda s: s.get("readyReplicas") == 2 and s["conditions"] and not s.get("rollout"))
        operator.terminate()
    queue: WorkQueue[tuple[str, str]] = WorkQueue()
    telemetry = Telemetry()
    resolver = Resolver(Config(allowed_image_prefixes=("*",)), {}, api, telemetry, wake=queue.add)
    outside = Outside(api, resolver, None, None, telemetry, WorkloadSettings())  # type: ignore[arg-type]
    surveyor = Surveyor(outside, queue, (namespace,))

    async def finds() -> bool:
        await surveyor.look_at_all()
        key = queue.take()
        queue.done((namespace, "fraud"))
        return key is not None

    async def settled() -> bool:
        return not await finds()

    assert not await finds()
    assert telemetry.known() == {(namespace, "fraud")}
    stable, workload = status["stable"]["hash"], status["stable"]["workloadName"]
    for kind, name, change, back in (
        (DEPLOYMENT, workload, {"spec": {"replicas": 1}}, {"spec": {"replicas": 2}}),
        (SERVICE, "fraud", {"spec": {"selector": {HASH: "other"}}}, {"spec": {"selector": {HASH: stable}}}),
        (MODEL_DEPLOYMENT, "fraud", request("Pause id=1"), request(None)),
    ):
        await api.patch(kind, namespace, name, change)
        assert await finds(), change
        await api.patch(kind, namespace, name, back)
        await eventually(settled, seconds=30, what=f"settled again after {change}")
    await api.patch(MODEL_DEPLOYMENT, namespace, "fraud", {"spec": {"model": {"version": "2"}}})
    assert await finds(), "a new version"
    await api.delete(SERVICE, namespace, "fraud")
    assert await finds(), "no Service"
    await api.delete(MODEL_DEPLOYMENT, namespace, "fraud")
    assert await finds(), "it is gone"
