"""Preflight and gate Jobs on a real API server: read as soon as they end, and as evidence for one visit of a step."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from e2e.cluster.controlplane import ControlPlane
from millgate.api.conditions import Reason
from millgate.api.names import gate_job_name, preflight_job_name, visit_of, workload_name
from millgate.api.revision import Revision
from millgate.api.spec import Gate, GateType, Job, Server
from millgate.api.status import RolloutStatus, Stage, Status, StepRecord, Track, Verdict
from millgate.kube.api import JOB, POD
from millgate.rollout.plan import EnsureRevision, RunGateJob, RunPreflight
from tests.controlplane.objects_world import DIGEST, V7, V8, World, open_world, revision
from tests.controlplane.plane import Kubectl, eventually

Json = dict[str, Any]

# No node has room for it, so that a test alone writes the status of its pod.
HELD = Job.model_validate({"image": "curl:8", "resources": {"requests": {"cpu": "1000000"}}})


@pytest.fixture
async def world(cluster: ControlPlane, kubectl: Kubectl) -> AsyncIterator[World]:
    async with open_world(cluster, kubectl) as opened:
        yield opened


def nowhere(version: str) -> Revision:
    """Its pods are never scheduled, so that a test alone writes their status."""
    return revision(version, Server.model_validate({"nodeSelector": {"nowhere": "here"}}))


async def ended(world: World, kubectl: Kubectl, job: str, code: int, message: str) -> None:
    """What a kubelet would write when the Job's container ends."""

    async def pod_name() -> str:
        pods = await world.api.list(POD, world.namespace, selector=f"batch.kubernetes.io/job-name={job}")
        return pods[0]["metadata"]["name"] if pods else ""

    name = await eventually(pod_name, what=f"a pod of Job {job}")
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    state = {"exitCode": code, "reason": "Completed" if code == 0 else "Error", "finishedAt": now, "message": message}
    container = {
        "name": "preflight",
        "image": "x",
        "imageID": "x",
        "ready": False,
        "restartCount": 0,
        "state": {"terminated": state},
    }
    status = {"phase": "Succeeded" if code == 0 else "Failed", "containerStatuses": [container]}
    patch = json.dumps({"status": status})
    kubectl("patch", "pod", name, "--subresource=status", "--type=merge", "-p", patch, namespace=world.namespace)


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        (0, f'{{"digest": "{DIGEST}"}}', (0, None, DIGEST)),
        (1, '{"error": {"reason": "ArtifactChanged", "message": "other bytes"}}', (1, Reason.ARTIFACT_CHANGED, None)),
        (
            75,
            '{"error": {"reason": "RegistryUnreachable", "message": "no answer"}}',
            (75, Reason.REGISTRY_UNREACHABLE, None),
        ),
    ],
)
async def test_the_newest_preflight_of_the_revision_in_hand_is_reported_as_soon_as_its_container_ends(
    world: World, kubectl: Kubectl, code: int, message: str, expected: tuple[int, Reason | None, str | None]
) -> None:
    checked = nowhere("11")
    world.target = checked
    assert (await world.see()).snapshot.preflight is None
    await world.do(RunPreflight(checked, None, 1), RunPreflight(checked, None, 2))
    report = (await world.see()).snapshot.preflight
    assert report is not None
    assert (report.attempt, report.exit_code) == (2, None)

    await ended(world, kubectl, preflight_job_name("fraud", checked.hash, 2), code, message)
    report = (await world.see()).snapshot.preflight
    assert report is not None
    assert (report.exit_code, report.reason, report.digest) == expected

    async def the_job_ended_too() -> bool:
        job = await world.get(JOB, preflight_job_name("fraud", checked.hash, 2))
        return any(entry["type"] in {"Complete", "Failed"} for entry in job["status"].get("conditions", ()))

    await eventually(the_job_ended_too, what="the Job controller agrees")
    assert (await world.see()).snapshot.preflight == report


async def test_a_gate_job_is_evidence_for_one_visit_of_its_step(world: World, kubectl: Kubectl) -> None:
    start = datetime(2026, 11, 23, 8, 0, 0, 123_000, tzinfo=UTC)
    world.status = in_step("half", start)
    visit, held = visit_of(start), Gate(name="smoke", type=GateType.JOB, job=HELD)
    await world.do(EnsureRevision(V8, DIGEST, 1), RunGateJob(held, "half", V8, V7.hash, visit))
    verdicts = (await world.see()).snapshot.verdicts
    assert [(verdict.name, verdict.step) for verdict in verdicts] == [("smoke", "half")]

    await ended(world, kubectl, gate_job_name("fraud", V8.hash, "smoke", "half", visit), 1, "accuracy 0.8")

    async def failed() -> bool:
        verdicts = (await world.see()).snapshot.verdicts
        return [(v.verdict, v.message) for v in verdicts] == [(Verdict.FAIL, "accuracy 0.8")]

    await eventually(failed, what="the gate has failed")
    world.status = in_step("half", datetime(2026, 11, 23, 8, 30, tzinfo=UTC))
    assert (await world.see()).snapshot.verdicts == ()
    world.status = in_step("all", start)
    assert (await world.see()).snapshot.verdicts == ()


def in_step(step: str, start: datetime) -> Status:
    rollout = RolloutStatus(
        id="fraud-8",
        stage=Stage.STEPPING,
        start_time=start,
        stage_start_time=start,
        step_name=step,
        step_start_time=start,
        steps=(StepRecord(name=step, weight_percent=50, start_time=start),),
    )
    candidate = Track(revision=8, hash=V8.hash, model_version="8", workload_name=workload_name("fraud", V8.hash))
    return Status(candidate=candidate, rollout=rollout)
