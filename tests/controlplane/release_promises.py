"""The promises of the design, held against the record of what a real API server stored, version by version."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.controlplane.release_record import Change

Json = dict[str, Any]
HASH, NAME, COMPONENT = "millgate.dev/hash", "millgate.dev/name", "millgate.dev/component"


def hold(changes: Iterable[Change], name: str) -> "Told":
    """Every promise held at every version. Returns what happened, for the test to judge."""
    told = Told(name)
    for change in changes:
        if told.takes(change):
            told.check(f"at version {change.version}, {change.kind} {change.name}")
    return told


@dataclass
class Told:
    """One ModelDeployment and its objects, as they were after the newest change that was taken."""

    name: str
    mdep: Json | None = None
    deployments: dict[str, Json] = field(default_factory=dict)
    pods: dict[str, Json] = field(default_factory=dict)
    service: Json | None = None
    steps: dict[str, list[Json]] = field(default_factory=dict)
    """The steps of each rollout, by its id, as they stand in the last status that had any."""
    ends: dict[tuple[str, str], float] = field(default_factory=dict)
    """When each step of a rollout was decided to be over, by rollout id and step: the next one waits from then on."""
    routes: list[tuple[int, str | None]] = field(default_factory=list)
    """(version, hash that the live Service is pinned to; None: open), one for each change of the selector."""
    transitions: list[tuple[float, str, str]] = field(default_factory=list)
    """(when it was seen, rollout id, stage/step), one for each change."""

    def takes(self, change: Change) -> bool:
        labels = change.obj["metadata"].get("labels") or {}
        if change.kind == "ModelDeployment" and change.name == self.name:
            self.mdep = None if change.deleted else change.obj
            self._follow_rollout(change)
        elif change.kind == "Service" and change.name == self.name and labels.get(NAME) == self.name:
            self.service = None if change.deleted else change.obj
            self._follow_route(change)
        elif labels.get(NAME) != self.name:
            return False
        elif change.kind == "Deployment":
            _put(self.deployments, labels[HASH], change)
        elif change.kind == "Pod" and labels.get(COMPONENT) == "server":
            _put(self.pods, change.name, change)
        else:
            return False
        return self.mdep is not None

    @property
    def status(self) -> Json:
        return (self.mdep or {}).get("status") or {}

    @property
    def pinned(self) -> str | None:
        return self.service["spec"]["selector"].get(HASH) if self.service else None

    def ready(self) -> dict[str, int]:
        counts: defaultdict[str, int] = defaultdict(int)
        for pod in self.pods.values():
            counts[pod["metadata"]["labels"][HASH]] += is_ready(pod)
        return counts

    def stood_at(self, at: float) -> str:
        """Stage and step at a moment in Unix seconds; 'Idle' where no rollout was in flight."""
        before = [stands for since, _, stands in self.transitions if since <= at]
        return before[-1] if before else "Idle"

    def check(self, where: str) -> None:
        self._never_nowhere(where)
        self._stable_stays(where)
        self._no_blind_step(where)
        self._rejected_stays_out(where)
        self._says_one_thing(where)

    def _never_nowhere(self, where: str) -> None:
        if self.service is None or self.pinned is None:
            return
        ready = self.ready()
        others = {hash_: count for hash_, count in ready.items() if count and hash_ != self.pinned}
        assert ready[self.pinned] or not others, f"never-nowhere {where}: {self.pinned} has no ready pod, {others} have"
        size = self.deployments[self.pinned]["spec"]["replicas"] if self.pinned in self.deployments else 0
        assert size > 0, f"never-nowhere {where}: the Service names {self.pinned}, which is scaled to zero"

    def _stable_stays(self, where: str) -> None:
        wanted = (self.mdep or {})["spec"].get("replicas", 1)
        keeps = [self.status.get("stable"), self.status.get("previous")]
        for track in (track for track in keeps if track is not None):
            deployment = self.deployments.get(track["hash"])
            assert deployment is not None, f"stable-stays {where}: {track['hash']} is gone"
            assert deployment["spec"]["replicas"] >= wanted, f"stable-stays {where}: {track['hash']}"

    def _no_blind_step(self, where: str) -> None:
        """The route never goes ahead of the status that says so."""
        if self.service is None:
            return
        stable, candidate = self.status.get("stable"), self.status.get("candidate")
        previous = self.status.get("previous")
        begun = ((self.status.get("rollout") or {}).get("steps") or [{"weightPercent": 0}])[-1]["weightPercent"]
        parts = {track["hash"] for track in (stable, previous) if track}
        if self.pinned is not None:
            if candidate is not None and begun == 100:
                parts.add(candidate["hash"])
            assert self.pinned in parts, f"no-blind-step {where}: pinned to {self.pinned}, step weight {begun}"
            return
        assert candidate is not None, f"no-blind-step {where}: open without a candidate"
        assert begun > 0, f"no-blind-step {where}: open, step weight {begun}"
        parts |= {f"{stable['hash']}-baseline"} if stable else set()
        strangers = {hash_ for hash_, count in self.ready().items() if count} - parts - {candidate["hash"]}
        assert not strangers, f"no-blind-step {where}: {strangers} get requests and play no part"

    def _rejected_stays_out(self, where: str) -> None:
        rejected = {entry["hash"] for entry in self.status.get("rejected", ())}
        candidate = (self.status.get("candidate") or {}).get("hash")
        reached = {self.pinned} if self.pinned is not None else {candidate}
        assert self.service is None or not reached & rejected, f"rejected-stays-out {where}: {reached & rejected}"

    def _says_one_thing(self, where: str) -> None:
        """kstatus reads the first of Reconciling and Stalled, and `kubectl wait` the generation of each condition."""
        conditions = self.status.get("conditions") or []
        says = {entry["type"]: entry["status"] for entry in conditions}
        assert not says.get("Reconciling") == says.get("Stalled") == "True", f"{where}: Reconciling and Stalled"
        assert list(says)[-1:] in ([], ["Ready"]), f"{where}: {list(says)}"
        generations = {entry["observedGeneration"] for entry in conditions}
        assert generations <= {self.status["observedGeneration"]}, f"{where}: {generations}"

    def _follow_route(self, change: Change) -> None:
        if self.service is not None and (not self.routes or self.routes[-1][1] != self.pinned):
            self.routes.append((change.version, self.pinned))

    def _follow_rollout(self, change: Change) -> None:
        rollout = self.status.get("rollout")
        if rollout is None:
            if self.transitions and self.transitions[-1][2] != "Idle":
                self.transitions.append((change.at, "", "Idle"))
            return
        before, now = self.steps.get(rollout["id"], []), rollout.get("steps") or []
        if now:
            # Promise `resumes`: what has begun has begun once, and at one time.
            assert now[: len(before)] == before, f"resumes at version {change.version}: {before} became {now}"
            self.steps[rollout["id"]] = now
            if rollout.get("stepPendingTime"):
                self.ends[rollout["id"], now[-1]["name"]] = moment(rollout["stepPendingTime"])
        stands = f"{rollout['stage']}/{rollout.get('stepName') or ''}"
        if not self.transitions or self.transitions[-1][1:] != (rollout["id"], stands):
            self.transitions.append((change.at, rollout["id"], stands))


def is_ready(pod: Json) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    ready = any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)
    return ready and pod["metadata"].get("deletionTimestamp") is None


def moment(text: str) -> float:
    """A time of a status in Unix seconds."""
    return datetime.fromisoformat(text).timestamp()


def _put(objects: dict[str, Json], key: str, change: Change) -> None:
    if change.deleted:
        objects.pop(key, None)
    else:
        objects[key] = change.obj
