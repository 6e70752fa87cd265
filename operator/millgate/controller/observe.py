"""Reads the truth about one ModelDeployment: its objects and their pods, as the Snapshot that `plan` sees.

Only objects whose controlling owner is this very ModelDeployment (by uid) count. One that merely has a name that is
needed is a conflict, which is told and never touched.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from millgate.api.conditions import Reason
from millgate.api.names import (
    ANNOTATION_ATTEMPT,
    ANNOTATION_DIGEST,
    ANNOTATION_REVISION,
    ANNOTATION_STEP,
    ANNOTATION_VISIT,
    COMPONENT_GATE,
    COMPONENT_PREFLIGHT,
    COMPONENT_SERVER,
    LABEL_COMPONENT,
    LABEL_HASH,
    LABEL_NAME,
    baseline_name,
    revision_of_baseline,
    visit_of,
    workload_name,
)
from millgate.api.request import REQUEST_ANNOTATION, MalformedRequest, Request, parse_request
from millgate.api.revision import Revision
from millgate.api.spec import ModelDeploymentSpec, TrafficType
from millgate.api.status import GateStatus, Status, StepRecord
from millgate.controller.jobs import gate_verdict, preflight_report
from millgate.controller.mounts import awaits_files, with_missing
from millgate.controller.pods import condition, is_deleted, pod_facts
from millgate.controller.words import one_line
from millgate.kube.api import DEPLOYMENT, JOB, POD, SERVICE, Kind, KubeApi
from millgate.rollout.snapshot import JobReport, ObservedRevision, ObservedRoute, Problem, Snapshot, Target
from millgate.traffic.provider import RevisionPods, TrafficProvider
from millgate.traffic.replicas import Replicas
from millgate.workload.parent import Parent

Json = dict[str, Any]
ObjectName = tuple[Kind, str]

PROVIDERS: Mapping[TrafficType, TrafficProvider] = {TrafficType.REPLICAS: Replicas()}


@dataclass(frozen=True)
class Observation:
    """The Snapshot, and the objects of ours that it was made from, so that only what differs is written.

    `objects`: by kind and name, those that this ModelDeployment owns; pods are not among them. `awaits_files`: a pod
    waits for a Secret or ConfigMap, of which no watch tells anything.
    """

    snapshot: Snapshot
    parent: Parent
    objects: Mapping[ObjectName, Json]
    awaits_files: bool = False

    def of_revision(self, kind: Kind, revision_hash: str) -> Sequence[Json]:
        of_kind = (obj for (found, _), obj in self.objects.items() if found == kind)
        return tuple(obj for obj in of_kind if _label(obj, LABEL_HASH) == revision_hash)


LABELLED_KINDS = (DEPLOYMENT, SERVICE, JOB, POD)


@dataclass(frozen=True)
class Labelled:
    """The objects that bear the name of one ModelDeployment in their label, and among them the pods by themselves."""

    objects: Mapping[ObjectName, Json]
    pods: Sequence[Json]

    @classmethod
    def of(cls, by_kind: Mapping[Kind, Sequence[Json]]) -> "Labelled":
        named = {(kind, _name(obj)): obj for kind, found in by_kind.items() if kind != POD for obj in found}
        return cls(named, by_kind.get(POD, ()))


@dataclass(frozen=True)
class Beside:
    """What a Snapshot holds that is not read from the cluster."""

    target: Target
    verdicts: tuple[GateStatus, ...] = ()
    write_failure: Problem | None = None


async def observe(
    api: KubeApi,
    cr: Json,
    *,
    target: Target,
    verdicts: tuple[GateStatus, ...],
    write_failure: Problem | None,
) -> Observation:
    """Raises KubeError, and pydantic's ValidationError where spec or status cannot be read."""
    parent = Parent.of(cr)
    found = await _labelled(api, parent)
    waiting = any(awaits_files(pod) for pod in found.pods)
    if waiting:
        found = replace(found, pods=await with_missing(api, parent.namespace, found.pods))
    strangers = await _strangers(api, parent, _needed(parent, target), found.objects)
    made = _made_of(cr, found, strangers, Beside(target, verdicts, write_failure))
    return replace(made, awaits_files=waiting)


def observation_of(cr: Json, found: Labelled, target: Target) -> Observation | None:
    """The same from objects that were read already; None where more would have to be read to know.

    Raises pydantic's ValidationError where spec or status cannot be read.
    """
    parent = Parent.of(cr)
    needed = _needed(parent, target)
    if any(name not in found.objects for name in needed):
        return None
    strangers = tuple(obj for name in needed if not parent.owns(obj := found.objects[name]))
    return _made_of(cr, found, strangers, Beside(target))


def _made_of(cr: Json, found: Labelled, strangers: Sequence[Json], beside: Beside) -> Observation:
    parent, pods, target = Parent.of(cr), found.pods, beside.target
    spec, status = ModelDeploymentSpec.model_validate(cr["spec"]), Status.model_validate(cr.get("status") or {})
    owned = {name: obj for name, obj in found.objects.items() if parent.owns(obj)}
    revisions, baselines = _revisions(parent, owned, pods), _baselines(parent, owned, pods)
    jobs = [obj for (kind, _), obj in owned.items() if kind == JOB and not is_deleted(obj)]
    snapshot = Snapshot(
        name=parent.name,
        generation=cr["metadata"]["generation"],
        spec=spec,
        status=status,
        target=target,
        revisions=revisions,
        baselines=baselines,
        route=_route(parent, spec, owned, revisions, baselines),
        request=_request(cr),
        preflight=_preflight(_hash_in_hand(status, target), jobs, pods),
        verdicts=(*beside.verdicts, *_gate_verdicts(status, jobs, pods)),
        conflict=_conflict(parent, strangers),
        write_failure=beside.write_failure,
    )
    return Observation(snapshot, parent, owned)


async def _labelled(api: KubeApi, parent: Parent) -> Labelled:
    selector = f"{LABEL_NAME}={parent.name}"
    lists = await asyncio.gather(*(api.list(kind, parent.namespace, selector=selector) for kind in LABELLED_KINDS))
    return Labelled.of(dict(zip(LABELLED_KINDS, lists, strict=True)))


def _needed(parent: Parent, target: Target) -> tuple[ObjectName, ...]:
    """The names that Millgate has to have for itself."""
    live: tuple[ObjectName, ...] = ((SERVICE, parent.name),)
    if target.revision is None:
        return live
    workload = workload_name(parent.name, target.revision.hash)
    return (*live, (DEPLOYMENT, workload), (SERVICE, workload))


async def _strangers(
    api: KubeApi, parent: Parent, needed: Iterable[ObjectName], labelled: Mapping[ObjectName, Json]
) -> tuple[Json, ...]:
    """Objects of others that bear a needed name. Names are asked for one by one only while we have no object there."""
    unlabelled = [name for name in needed if name not in labelled]
    asked = await asyncio.gather(*(api.get(kind, parent.namespace, name) for kind, name in unlabelled))
    found = [*asked, *(labelled.get(name) for name in needed)]
    return tuple(obj for obj in found if obj is not None and not parent.owns(obj))


def _conflict(parent: Parent, strangers: Sequence[Json]) -> Problem | None:
    if not strangers:
        return None
    named = " and ".join(f"{obj['kind']} {_name(obj)}" for obj in strangers)
    return Problem(
        Reason.NAME_CONFLICT,
        one_line(f"{named} in namespace {parent.namespace} does not belong to this ModelDeployment"),
    )


def _revisions(parent: Parent, owned: Mapping[ObjectName, Json], pods: Sequence[Json]) -> dict[str, ObservedRevision]:
    revisions = {}
    for (kind, name), deployment in owned.items():
        revision_hash = _label(deployment, LABEL_HASH)
        if kind != DEPLOYMENT or name != workload_name(parent.name, revision_hash):
            continue
        revision = _revision(deployment, revision_hash)
        if revision is not None:
            own = [pod for pod in pods if _is_served_by(pod, deployment)]
            revisions[revision_hash] = _observed(revision, deployment, own)
    return revisions


def _baselines(parent: Parent, owned: Mapping[ObjectName, Json], pods: Sequence[Json]) -> dict[str, ObservedRevision]:
    """By the hash of the revision that they are fresh pods of. One that is being deleted has pods, but none to use."""
    baselines = {}
    for (kind, name), deployment in owned.items():
        revision_hash = revision_of_baseline(_label(deployment, LABEL_HASH))
        if kind != DEPLOYMENT or revision_hash is None or name != baseline_name(parent.name, revision_hash):
            continue
        revision = _revision(deployment, revision_hash)
        if revision is not None:
            seen = _observed(revision, deployment, [pod for pod in pods if _is_served_by(pod, deployment)])
            baselines[revision_hash] = replace(seen, ready=0) if is_deleted(deployment) else seen
    return baselines


def _observed(revision: Revision, deployment: Json, pods: Sequence[Json]) -> ObservedRevision:
    facts = pod_facts(pods)
    return ObservedRevision(
        hash=revision.hash,
        revision=revision,
        digest=_annotation(deployment, ANNOTATION_DIGEST),
        desired_replicas=deployment["spec"].get("replicas", 1),
        pods=facts.pods,
        ready=facts.ready,
        crashes=facts.crashes,
        problem=facts.problem or _pods_refused(deployment),
        draining=facts.draining,
    )


def _revision(deployment: Json, revision_hash: str) -> Revision | None:
    """What the Deployment was made of; None where somebody took that away.

    A `server` that this Millgate cannot read (written by a newer one, or before a rule existed) is left out rather than
    losing sight of pods that serve: nothing is made of it again, since the Deployment is there.
    """
    text = _annotation(deployment, ANNOTATION_REVISION) or ""
    revision: Revision | None
    try:
        revision = Revision.model_validate_json(text)
    except ValidationError:
        revision = _without_server(text)
    return revision if revision is not None and revision.hash == revision_hash else None


def _without_server(text: str) -> Revision | None:
    try:
        return Revision.model_validate({**json.loads(text), "server": {}})
    except (ValueError, TypeError):
        return None


def _pods_refused(deployment: Json) -> Problem | None:
    """The API server takes no pod of it: a quota, an admission policy, a ServiceAccount that is not there."""
    refused = condition(deployment, "ReplicaFailure")
    return Problem(Reason.PODS_NOT_READY, one_line(refused.get("message", ""))) if refused else None


def _is_served_by(pod: Json, deployment: Json) -> bool:
    """By the name of its ReplicaSet, which the Deployment's controller makes of these two: one list less to read."""
    expected = f"{_name(deployment)}-{_label(pod, 'pod-template-hash')}"
    references = pod["metadata"].get("ownerReferences") or ()
    owned = any(ref["kind"] == "ReplicaSet" and ref["name"] == expected for ref in references)
    return owned and _label(pod, LABEL_COMPONENT) == COMPONENT_SERVER


def _route(
    parent: Parent,
    spec: ModelDeploymentSpec,
    owned: Mapping[ObjectName, Json],
    revisions: Mapping[str, ObservedRevision],
    baselines: Mapping[str, ObservedRevision],
) -> ObservedRoute:
    """What baseline pods get is a part of their revision's share."""
    seen = [*revisions.values(), *baselines.values()]
    pods = [RevisionPods(one.hash, one.pods, one.ready) for one in seen]
    state = PROVIDERS[spec.traffic.type].observe(parent.name, owned.get((SERVICE, parent.name)), pods)
    return ObservedRoute(state.weights, state.programmed, state.message)


def _request(cr: Json) -> Request | MalformedRequest | None:
    text = _annotation(cr, REQUEST_ANNOTATION)
    return None if text is None else parse_request(text)


def _hash_in_hand(status: Status, target: Target) -> str | None:
    if status.candidate is not None:
        return status.candidate.hash
    return target.revision.hash if target.revision is not None else None


def _preflight(revision_hash: str | None, jobs: Sequence[Json], pods: Sequence[Json]) -> JobReport | None:
    own = [job for job in jobs if _is(job, COMPONENT_PREFLIGHT) and _label(job, LABEL_HASH) == revision_hash]
    newest = max(own, key=lambda job: int(_annotation(job, ANNOTATION_ATTEMPT) or 0), default=None)
    return preflight_report(newest, pods) if newest is not None else None


def _gate_verdicts(status: Status, jobs: Sequence[Json], pods: Sequence[Json]) -> tuple[GateStatus, ...]:
    """Of the newest step that has begun, and of this visit of it: an earlier visit's verdict is no evidence now."""
    rollout, candidate = status.rollout, status.candidate
    if rollout is None or candidate is None or not rollout.steps:
        return ()
    asked = [job for job in jobs if _is(job, COMPONENT_GATE) and _label(job, LABEL_HASH) == candidate.hash]
    return tuple(gate_verdict(job, pods) for job in asked if _is_of_visit(job, rollout.steps[-1]))


def _is_of_visit(job: Json, step: StepRecord) -> bool:
    visit = str(visit_of(step.start_time))
    return _annotation(job, ANNOTATION_STEP) == step.name and _annotation(job, ANNOTATION_VISIT) == visit


def _is(job: Json, component: str) -> bool:
    return _label(job, LABEL_COMPONENT) == component


def _name(obj: Json) -> str:
    return str(obj["metadata"]["name"])


def _label(obj: Json, key: str) -> str:
    return str((obj["metadata"].get("labels") or {}).get(key, ""))


def _annotation(obj: Json, key: str) -> str | None:
    value = (obj["metadata"].get("annotations") or {}).get(key)
    return None if value is None else str(value)
