"""A cluster in a few lines: it carries out plans, may fail or die at any write, and watches the promises at each."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from millgate.api.conditions import EventReason, Reason
from millgate.api.request import Request, RequestAction
from millgate.api.revision import ModelIdentity, Revision, revision_of
from millgate.api.spec import ModelDeploymentSpec, ModelSource
from millgate.api.status import GateStatus, Stage, Status, Track, Verdict
from millgate.rollout.core import plan
from millgate.rollout.plan import (
    Action,
    EnsureBaseline,
    EnsureRevision,
    Plan,
    RemoveBaseline,
    Retire,
    Route,
    RunGateJob,
    RunPreflight,
    Scale,
    StopJobs,
)
from millgate.rollout.sizes import stable_size
from millgate.rollout.snapshot import Crash, JobReport, ObservedRevision, ObservedRoute, Snapshot, Target

from .promised import check_plan

EPOCH = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
OPEN = "open"


class KilledError(Exception):
    """The operator died, or the API server refused: nothing after this write happens."""


def revision(version: str, spec: ModelDeploymentSpec) -> Revision:
    identity = ModelIdentity(
        source=ModelSource.MLFLOW, registry="default", name="fraud", version=version, source_id=f"m-{version}"
    )
    return revision_of(identity, spec.server, "serving:1")


def make_spec(version: str = "1", **rollout: object) -> ModelDeploymentSpec:
    return ModelDeploymentSpec.model_validate(
        {"model": {"name": "fraud", "version": version}, "replicas": 4, "rollout": rollout}
    )


@dataclass
class Workload:
    """A Deployment and its pods."""

    revision: Revision
    digest: str | None
    desired: int
    ready: int = 0
    crashes: tuple[Crash, ...] = ()


@dataclass
class World:
    """The API server's side, and what the operator reads from it."""

    spec: ModelDeploymentSpec
    now: datetime = EPOCH
    generation: int = 1
    status: Status = field(default_factory=Status)
    workloads: dict[str, Workload] = field(default_factory=dict)
    baselines: dict[str, Workload] = field(default_factory=dict)  # by the hash of the revision they serve
    told: list[tuple[str, str]] = field(default_factory=list)  # failures that were told: visit of the step, gate
    route: str | None = None  # a hash, OPEN, or no Service yet
    preflights: dict[tuple[str, int], JobReport] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    request: Request | None = None
    pods_come_by_themselves: bool = True
    fail_at_write: int | None = None
    writes: int = 0
    log: list[str] = field(default_factory=list)

    # ---- what the operator sees

    def snapshot(self) -> Snapshot:
        wanted = revision(self.spec.model.version or "1", self.spec)
        return Snapshot(
            name="fraud",
            generation=self.generation,
            spec=self.spec,
            status=self.status,
            target=Target(revision=wanted),
            revisions=_observed(self.workloads),
            baselines=_observed(self.baselines),
            route=self.observed_route(),
            request=self.request,
            preflight=self._preflight(),
            verdicts=self._verdicts(),
        )

    def observed_route(self) -> ObservedRoute:
        if self.route is None:
            return ObservedRoute()
        if self.route != OPEN:
            return ObservedRoute({self.route: 100})
        ready = {hash_: workload.ready for hash_, workload in self.workloads.items()}
        for hash_, workload in self.baselines.items():
            ready[hash_] = ready.get(hash_, 0) + workload.ready
        total = sum(ready.values())
        shares = {hash_: round(100 * count / total) for hash_, count in ready.items() if count}
        return ObservedRoute({hash_: max(1, share) for hash_, share in shares.items()})

    def _preflight(self) -> JobReport | None:
        if self.status.candidate is None:
            return None
        reports = [report for (hash_, _), report in self.preflights.items() if hash_ == self.status.candidate.hash]
        return max(reports, key=lambda report: report.attempt, default=None)

    def _verdicts(self) -> tuple[GateStatus, ...]:
        rollout = self.status.rollout
        if rollout is None or not rollout.steps:
            return ()
        name = rollout.steps[-1].name
        return tuple(
            GateStatus(name=gate, step=name, verdict=verdict, reason=Reason.NO_DATA, message="figures")
            for gate, verdict in self.verdicts.items()
        )

    # ---- one reconcile

    def reconcile(self, *, fail_at_write: int | None = None) -> Plan:
        """Read, plan, write. `fail_at_write` counts the writes of this reconcile from 0; the status is one of them."""
        self.writes, self.fail_at_write = 0, fail_at_write
        before = self.status
        made = plan(self.snapshot(), self.now)
        check_plan(self, before, made)
        failed = False
        try:
            for action in made.actions:
                self._perform(action, made)
        except KilledError:
            failed = True
        try:
            self._store(made)
            if not failed:
                for action in made.then:
                    self._perform(action, made)
        except KilledError:
            pass
        if self.pods_come_by_themselves:
            self.pods_become_ready()
        return made

    def settle(self, *, rounds: int = 40) -> None:
        """Reconcile until nothing changes any more."""
        for _ in range(rounds):
            before = (self.status, self.route, self._shape())
            self.reconcile()
            if (self.status, self.route, self._shape()) == before:
                return
        raise AssertionError(f"no rest after {rounds} reconciles:\n" + "\n".join(self.log[-30:]))

    def _shape(self) -> list[tuple[str, int, int]]:
        found = (*self.workloads.items(), *self.baselines.items())
        return [(hash_, workload.desired, workload.ready) for hash_, workload in found]

    def _write(self, what: str) -> None:
        if self.fail_at_write is not None and self.writes == self.fail_at_write:
            self.log.append(f"FAILED {what}")
            self.writes += 1
            raise KilledError(what)
        self.writes += 1
        self.log.append(what)

    def _store(self, made: Plan) -> None:
        if made.status != self.status:
            self._write(f"status {made.status.rollout.stage if made.status.rollout else 'Idle'}")
            self.status = Status.model_validate(made.status.to_json())
        rollout = self.status.rollout
        for event in made.events:
            if event.reason is EventReason.GATE_FAILED and rollout is not None and rollout.steps:
                # of the step that it names: the same plan may have opened the next one already
                _, gate, _, _, step, *_ = event.message.replace(":", "").split()
                began = max(visit.start_time for visit in rollout.steps if visit.name == step)
                told = (f"{rollout.id} {step} {began}", gate)
                assert told not in self.told, "quiet: a failure is told twice in one step"
                self.told.append(told)

    def _perform(self, action: Action, made: Plan) -> None:  # noqa: C901, PLR0912  # one case an action
        match action:
            case EnsureRevision(wanted, digest, replicas):
                self._ensure(wanted, digest, replicas)
            case EnsureBaseline(wanted, digest, replicas):
                self._ensure_baseline(wanted, digest, replicas, made.status.stable)
            case RemoveBaseline(hash_):
                if hash_ in self.baselines:
                    self._write(f"remove baseline of {hash_}")
                    self._check_baseline_may_go(hash_)
                    del self.baselines[hash_]
            case Scale(hash_, replicas):
                self._scale(hash_, replicas)
            case Route(weights):
                self._route(dict(weights), made)
            case RunPreflight(wanted, _, attempt):
                key = (wanted.hash, attempt)
                if key not in self.preflights:
                    self._write(f"preflight {wanted.model_version} {attempt}")
                    self.preflights[key] = JobReport(exit_code=None, attempt=attempt)
            case StopJobs(hash_):
                for key in [key for key in self.preflights if key[0] == hash_]:
                    self._write(f"stop {key}")
                    del self.preflights[key]
            case RunGateJob():
                pass
            case Retire(hash_):
                if hash_ in self.workloads:
                    self._write(f"retire {hash_}")
                    assert self.route != hash_, "uninstall: the live route names a revision that is deleted"
                    del self.workloads[hash_]

    def _ensure(self, wanted: Revision, digest: str | None, replicas: int) -> None:
        if wanted.hash not in self.workloads:
            self._write(f"create {wanted.model_version} x{replicas}")
            self.workloads[wanted.hash] = Workload(wanted, digest, replicas)
            assert digest is not None, "what-you-tested-runs: pods without a verified digest"
        else:
            self._scale(wanted.hash, replicas)

    def _ensure_baseline(self, wanted: Revision, digest: str | None, replicas: int, stable: Track | None) -> None:
        assert stable is not None
        assert wanted.hash == stable.hash, "a baseline of something else than the stable revision"
        assert digest == stable.digest, "what-you-tested-runs: the baseline is of other bytes than stable"
        there = self.baselines.get(wanted.hash)
        if there is None or there.desired != replicas:
            self._write(f"baseline of {wanted.model_version} x{replicas}")
            kept = min(there.ready, replicas) if there else 0
            self.baselines[wanted.hash] = Workload(wanted, digest, replicas, kept)

    def _check_baseline_may_go(self, hash_: str) -> None:
        others = [workload for workload in self.workloads.values() if workload.ready]
        stable = self.status.stable
        if self.route == OPEN and stable is not None and stable.hash == hash_ and self.baselines[hash_].ready:
            stepping = self.status.rollout is not None and self.status.rollout.stage is Stage.STEPPING
            assert stepping or not others, "the last pods that answer for stable go while the route is open"

    def _scale(self, hash_: str, replicas: int) -> None:
        workload = self.workloads.get(hash_)
        if workload is None or workload.desired == replicas:
            return
        self._write(f"scale {workload.revision.model_version} {workload.desired}->{replicas}")
        others = any(other.ready for key, other in self.workloads.items() if key != hash_)
        if replicas == 0 and (others or self.status.stable is not None):
            assert self.route != hash_, f"never-nowhere: {hash_} gets all traffic and is scaled to zero"
        stable = self.status.stable
        if stable is not None and hash_ == stable.hash and replicas < workload.desired:
            assert replicas >= stable_size(self.spec), "stable-stays: stable was made smaller"
        workload.desired = replicas
        workload.ready = min(workload.ready, replicas)

    def _route(self, weights: dict[str, int], made: Plan) -> None:
        assert sum(weights.values()) == 100, "sums-to-100"
        wanted = next(iter(weights)) if len(weights) == 1 else OPEN
        if wanted == self.route:
            return
        self._write(f"route {weights}")
        readies = {hash_: workload.ready for hash_, workload in self.workloads.items()}
        if wanted != OPEN:
            others = any(ready > 0 for hash_, ready in readies.items() if hash_ != wanted)
            assert readies.get(wanted, 0) > 0 or not others, "never-nowhere: all traffic to a revision without pods"
        else:
            serving = {hash_ for hash_, ready in readies.items() if ready > 0}
            serving |= {hash_ for hash_, workload in self.baselines.items() if workload.ready > 0}
            assert serving <= set(weights), "an open selector reaches a revision that plays no part"
        rejected = {entry.hash for entry in made.status.rejected}
        assert not rejected & set(weights), "rejected-stays-out"
        self.route = wanted

    # ---- what happens to the world

    def pods_become_ready(self) -> None:
        for workload in (*self.workloads.values(), *self.baselines.values()):
            workload.ready = workload.desired

    def finish_preflights(self, exit_code: int, *, digest: str | None = None) -> None:
        for key, report in list(self.preflights.items()):
            if report.exit_code is None:
                model = self.workloads.get(key[0])
                told = digest or (model.digest if model else None) or f"sha256:{key[0]}"
                self.preflights[key] = replace(
                    report,
                    exit_code=exit_code,
                    digest=told if exit_code == 0 else None,
                    message="the preflight says so",
                )

    def crash(self, hash_: str) -> None:
        workload = self.workloads[hash_]
        when = self.now + timedelta(seconds=1)
        workload.crashes = (*workload.crashes, Crash("pod-1", when, Reason.OUT_OF_MEMORY, "killed"))

    def apply(self, spec: ModelDeploymentSpec) -> None:
        if spec != self.spec:
            self.spec = spec
            self.generation += 1

    def set_version(self, version: str) -> None:
        self.apply(self.spec.model_copy(update={"model": self.spec.model.model_copy(update={"version": version})}))

    def ask(self, action: RequestAction, id_: str) -> None:
        rollout = self.status.rollout.id if self.status.rollout and action is not RequestAction.RETRY else None
        if action is RequestAction.PROMOTE or rollout:
            self.request = Request(id_, action, rollout or "none")
        else:
            self.request = Request(id_, action)

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def hash_of(self, version: str) -> str:
        return revision(version, self.spec).hash

    def condition(self, type_: str) -> tuple[str, str]:
        found = next(c for c in self.status.conditions if c.type == type_)
        return found.status, found.reason


def _observed(workloads: dict[str, Workload]) -> dict[str, ObservedRevision]:
    return {
        hash_: ObservedRevision(
            hash=hash_,
            revision=workload.revision,
            digest=workload.digest,
            desired_replicas=workload.desired,
            pods=workload.desired,
            ready=workload.ready,
            crashes=workload.crashes,
        )
        for hash_, workload in workloads.items()
    }
