"""ModelDeployments in every state that the command line shows, as the API server would hand them out."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

Json = dict[str, Any]
NOW = datetime(2026, 11, 22, 2, 0, 0, tzinfo=UTC)


def at(seconds: float) -> str:
    """A moment before (negative) or after NOW."""
    return (NOW + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def track(version: str, *, ready: int, weight: int, wanted: int | None = None, revision: int | None = None) -> Json:
    track_: Json = {
        "revision": revision or int(version),
        "hash": f"r{version:0>9}",
        "modelVersion": version,
        "workloadName": f"fraud-r{version:0>9}",
        "readyReplicas": ready,
        "observedWeightPercent": weight,
    }
    return track_ if wanted is None else {**track_, "desiredWeightPercent": wanted}


_CALM = {
    "Accepted": ("True", "Accepted", ""),
    "Available": ("True", "MinimumReplicasAvailable", ""),
    "Reconciling": ("False", "Idle", ""),
    "Stalled": ("False", "NotStalled", ""),
    "Paused": ("False", "NotPaused", ""),
    "RolledBack": ("False", "NotRolledBack", ""),
    "CandidateHealthy": ("Unknown", "NoCandidate", ""),
    "TrafficProgrammed": ("True", "Programmed", ""),
    "Ready": ("True", "Promoted", "model version 7 serves"),
}


def conditions(**changes: tuple[str, str, str]) -> list[Json]:
    said = {**_CALM, **changes}
    return [
        {
            "type": type_,
            "status": status,
            "reason": reason,
            "message": message,
            "observedGeneration": 3,
            "lastTransitionTime": at(-60),
        }
        for type_, (status, reason, message) in said.items()
    ]


def deployment(
    name: str = "fraud",
    *,
    status: Mapping[str, Any] | None = None,
    spec: Mapping[str, Any] | None = None,
    annotations: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> Json:
    return {
        "apiVersion": "millgate.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {
            "name": name,
            "namespace": "risk",
            "generation": 3,
            "creationTimestamp": at(-41 * 86400),
            "annotations": dict(annotations or {}),
            "labels": dict(labels or {}),
            "managedFields": [{"manager": "millgate-cli"}],
        },
        "spec": {"model": {"name": name, "version": "8"}, "replicas": 4, **(spec or {})},
        "status": {"observedGeneration": 3, **status} if status is not None else {"observedGeneration": -1},
    }


STABLE = track("7", ready=4, weight=100)
RESOLUTION = {
    "model": {"source": "MLflow", "registry": "default", "name": "fraud", "version": "8"},
    "key": "fraud/8",
    "hash": "r000000008",
}
PROMOTED_ENTRY = {
    "revision": 7,
    "hash": "r000000007",
    "modelVersion": "7",
    "outcome": "Promoted",
    "reason": "AllChecksPassed",
    "startTime": at(-20 * 86400),
    "endTime": at(-20 * 86400 + 3 * 3600 + 120),
}
ROLLED_BACK_ENTRY = {
    "revision": 6,
    "hash": "r000000006",
    "modelVersion": "6",
    "outcome": "RolledBack",
    "reason": "GuardrailBreached",
    "message": "gate errors in step half: 4.8 %",
    "startTime": at(-23 * 86400),
    "endTime": at(-23 * 86400 + 725),
}


def rollout(stage: str = "Stepping", **changes: Any) -> Json:
    return {
        "id": "fraud-8-r000000008",
        "stage": stage,
        "startTime": at(-48 * 60),
        "stageStartTime": at(-30 * 60),
        **changes,
    }


def gate(name: str, verdict: str, reason: str, **figures: Any) -> Json:
    return {"name": name, "step": "canary-25", "verdict": verdict, "reason": reason, **figures}


def never_seen() -> Json:
    return deployment()


def first_deploy() -> Json:
    return deployment(
        status={
            "candidate": track("8", ready=1, weight=0, wanted=0, revision=1),
            "resolution": RESOLUTION,
            "rollout": rollout(id="fraud-1-r000000008", stepIndex=0, stepName="all", stepDisplay="1/1"),
            "conditions": conditions(
                Available=("False", "NoStableYet", "no revision has been promoted yet"),
                Reconciling=("True", "ScalingUp", "step all waits for its pods"),
                TrafficProgrammed=("Unknown", "NoRouteYet", "no revision gets traffic yet"),
                Ready=("False", "ScalingUp", "step all waits for its pods"),
            ),
        }
    )


def idle() -> Json:
    return deployment(
        status={"stable": STABLE, "conditions": conditions(), "history": [PROMOTED_ENTRY, ROLLED_BACK_ENTRY]},
        spec={"model": {"name": "fraud", "version": "7"}},
    )


def kept_warm() -> Json:
    return deployment(
        status={
            "stable": track("8", ready=4, weight=100),
            "previous": track("7", ready=4, weight=0),
            "resolution": RESOLUTION,
            "rollout": rollout("Promoting", deadlineTime=at(20 * 60)),
            "conditions": conditions(Ready=("True", "Promoted", "model version 8 serves")),
            "history": [{**PROMOTED_ENTRY, "revision": 8, "modelVersion": "8", "hash": "r000000008"}, PROMOTED_ENTRY],
        }
    )


def preparing() -> Json:
    said = "rollout fraud-8-r000000008: the model is fetched and checked"
    return deployment(
        status={
            "stable": STABLE,
            "candidate": track("8", ready=0, weight=0, wanted=0),
            "resolution": RESOLUTION,
            "rollout": rollout("Preparing", startTime=at(-12), preflightAttempt=1, deadlineTime=at(888)),
            "conditions": conditions(Reconciling=("True", "Preflight", said), Ready=("False", "Preflight", said)),
        }
    )


def stepping(**changes: Any) -> Json:
    said = "rollout fraud-8-r000000008: step canary-25"
    status = {
        "stable": track("7", ready=4, weight=80),
        "candidate": track("8", ready=1, weight=20, wanted=25),
        "resolution": RESOLUTION,
        "rollout": rollout(
            stepIndex=1,
            stepName="canary-25",
            stepWeightPercent=25,
            stepDisplay="2/4",
            stepStartTime=at(-240),
            nextStepTime=at(60),
            deadlineTime=at(3660),
        ),
        "gates": [
            gate(
                "errors",
                "Pass",
                "NotWorse",
                message="0.31 % of 48,211 requests failed: not shown to be worse than 1.2 times stable",
                value="0.0031",
                reference="0.0029",
                limit="0.0035",
                samples=48211,
                evidence="1 %",
                lastCheckTime=at(-12),
            ),
            gate(
                "latency",
                "Inconclusive",
                "TooFewSamples",
                samples=42,
                evidence="0 %",
                lastCheckTime=at(-12),
                message="42 of 100 requests answered by the candidate since 01:56:00Z",
            ),
        ],
        "conditions": conditions(
            Reconciling=("True", "RolloutInProgress", said),
            CandidateHealthy=(
                "Unknown",
                "TooFewSamples",
                "latency: 42 of 100 requests answered by the candidate since 01:56:00Z",
            ),
            Ready=("False", "RolloutInProgress", said),
        ),
        "history": [PROMOTED_ENTRY, ROLLED_BACK_ENTRY],
    }
    return deployment(status={**status, **changes})


def awaiting_approval() -> Json:
    said = "step canary-25 waits for approval of owner"
    return stepping(
        gates=[gate("owner", "Pending", "AwaitingApproval", message="waits for a person: kubectl millgate promote")],
        conditions=conditions(
            Paused=("True", "AwaitingApproval", said),
            Reconciling=("False", "AwaitingApproval", ""),
            Ready=("False", "AwaitingApproval", said),
        ),
    )


def paused() -> Json:
    said = "by request 9f2c: weights are frozen"
    return stepping(
        pausedBy="9f2c",
        gates=[],
        lastRequest={
            "id": "9f2c",
            "action": "Pause",
            "result": "Applied",
            "message": "weights are frozen",
            "time": at(-90),
        },
        conditions=conditions(
            Paused=("True", "PausedByUser", said),
            Reconciling=("False", "PausedByUser", ""),
            Ready=("False", "PausedByUser", said),
        ),
    )


_WHY = "gate errors in step canary-25: 4.8 % where 0.36 % is allowed"


def rolling_back() -> Json:
    return stepping(
        gates=[],
        rollout=rollout("RollingBack", reason="GuardrailBreached", message=_WHY, stageStartTime=at(-2)),
        rejected=[REJECTED],
        conditions=conditions(
            Reconciling=("True", "RollingBack", f"GuardrailBreached: {_WHY}"),
            RolledBack=("True", "GuardrailBreached", _WHY),
            CandidateHealthy=("False", "GuardrailBreached", _WHY),
            Ready=("False", "RollingBack", f"GuardrailBreached: {_WHY}"),
        ),
    )


REJECTED = {
    "hash": "r000000008",
    "modelVersion": "8",
    "reason": "GuardrailBreached",
    "message": _WHY,
    "time": at(-300),
}


def rolled_back(**metadata: Any) -> Json:
    said = f"8 was rejected, 7 serves: GuardrailBreached: {_WHY}"
    entry = {
        **ROLLED_BACK_ENTRY,
        "revision": 8,
        "hash": "r000000008",
        "modelVersion": "8",
        "message": _WHY,
        "startTime": at(-420),
        "endTime": at(-300),
    }
    return deployment(
        status={
            "stable": STABLE,
            "resolution": RESOLUTION,
            "rejected": [REJECTED],
            "history": [entry, PROMOTED_ENTRY],
            "conditions": conditions(
                Stalled=("True", "RolledBack", said),
                Reconciling=("False", "RolledBack", ""),
                RolledBack=("True", "GuardrailBreached", _WHY),
                Ready=("False", "RolledBack", said),
            ),
        },
        **metadata,
    )


def stalled() -> Json:
    said = "no registry 'lab' in the operator's configuration; there are: default"
    return deployment(
        status={
            "stable": STABLE,
            "conditions": conditions(
                Accepted=("False", "UnknownRegistry", said),
                Stalled=("True", "UnknownRegistry", said),
                Ready=("False", "UnknownRegistry", said),
            ),
        }
    )
