"""Every promise of the design as a property over random events: verdicts, readiness, crashes, requests, changes of the
spec, restarts at any write, and writes that fail. The world asserts the promises at each write (see `world`)."""

from hypothesis import HealthCheck, Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from millgate.api.request import RequestAction
from millgate.api.spec import ModelDeploymentSpec, OnInconclusive
from millgate.api.status import Stage, Verdict

from .world import World, make_spec

VERSIONS = ("1", "2", "3", "4")
STEP_SETS = (
    ({"name": "canary-5", "weightPercent": 5, "minSeconds": 60}, {"name": "all", "weightPercent": 100}),
    (
        {"name": "preview", "weightPercent": 0},
        {"name": "canary-20", "weightPercent": 20, "minSeconds": 30, "maxSeconds": 90},
        {
            "name": "half",
            "weightPercent": 50,
            "gates": [
                {"name": "owner", "type": "Approval"},
                {"name": "golden", "type": "Job", "job": {"image": "registry.example/checks:1"}, "onFail": "Hold"},
            ],
        },
        {"name": "most", "weightPercent": 80, "minSeconds": 10},
        {"name": "all", "weightPercent": 100},
    ),
    ({"name": "half", "weightPercent": 50}, {"name": "all", "weightPercent": 100}),
)
COMPARE = {"name": "errors", "type": "Compare", "compare": {"preset": "Errors"}}
FRESH = {"name": "errors", "type": "Compare", "compare": {"preset": "Errors", "reference": "Baseline"}}
SHIFT = {"name": "shift", "type": "Compare", "compare": {"preset": "Predictions"}}  # holds when it fails
LAG = {
    "name": "lag",
    "type": "Query",
    "query": {"promql": 'max(m{namespace="$(namespace)"})', "max": "1"},
    "onFail": "Alert",
}
GATE_SETS = ((COMPARE,), (COMPARE, SHIFT, LAG), (FRESH, SHIFT), (FRESH, LAG))
GATES = ("errors", "shift", "lag", "golden")
writes = st.one_of(st.none(), st.integers(0, 6))


class Releases(RuleBasedStateMachine):
    """Anything may happen between two reconciles, and any write may be the last one of a process."""

    @initialize(
        steps=st.sampled_from(STEP_SETS),
        policy=st.sampled_from(list(OnInconclusive)),
        warm=st.sampled_from([0, 60, 600]),
        limit=st.integers(0, 2),
        released=st.integers(0, 2),
        gates=st.sampled_from(GATE_SETS),
    )
    def a_deployment(self, *, steps, policy, warm, limit, released, gates):
        self.world = World(
            make_spec(
                steps=list(steps),
                gates=list(gates),
                onInconclusive=policy.value,
                keepWarmSeconds=warm,
                progressDeadlineSeconds=120,
                revisionHistoryLimit=limit,
            )
        )
        self.world.pods_come_by_themselves = False
        self.requests = 0
        for version in VERSIONS[:released]:
            self.world.set_version(version)
            self.things_go_well_for_a_while(rounds=12, fail=None, seconds=61)
        self.world.set_version(VERSIONS[released])

    @rule(fail=writes)
    def reconcile(self, fail):
        self.world.reconcile(fail_at_write=fail)

    @rule(rounds=st.integers(1, 6), fail=writes, seconds=st.sampled_from([1, 61]), gates_too=st.booleans())
    def things_go_well_for_a_while(self, rounds, fail, seconds, *, gates_too=True):
        """Without stretches like this one, chance alone would hardly ever get a release to its later steps."""
        for _ in range(rounds):
            self.world.finish_preflights(0)
            self.world.pods_become_ready()
            if gates_too:
                self._all_gates_pass()
            self.world.reconcile(fail_at_write=fail)
            self.world.wait(seconds)

    @rule(seconds=st.sampled_from([0.2, 5, 31, 61, 125, 700]))
    def time_passes(self, seconds):
        self.world.wait(seconds)

    @rule()
    def pods_become_ready(self):
        self.world.pods_become_ready()

    @rule(data=st.data())
    def pods_are_lost(self, data):
        if self.world.workloads:
            hash_ = data.draw(st.sampled_from(sorted(self.world.workloads)))
            self.world.workloads[hash_].ready = data.draw(st.integers(0, self.world.workloads[hash_].ready))

    @rule(data=st.data())
    def a_container_crashes(self, data):
        if self.world.workloads:
            self.world.crash(data.draw(st.sampled_from(sorted(self.world.workloads))))

    @rule(exit_code=st.sampled_from([0, 0, 0, 1, 75]))
    def preflights_end(self, exit_code):
        self.world.finish_preflights(exit_code)

    @rule(data=st.data())
    def baseline_pods_are_lost(self, data):
        for baseline in self.world.baselines.values():
            baseline.ready = data.draw(st.integers(0, baseline.ready))

    @rule(gate=st.sampled_from(GATES), verdict=st.sampled_from([Verdict.FAIL, *Verdict]), fail=writes)
    def a_gate_says(self, gate, verdict, fail):
        self.world.verdicts[gate] = verdict
        self.world.reconcile(fail_at_write=fail)

    @rule(gates=st.sampled_from(GATE_SETS))
    def gates_are_edited(self, gates):
        edited = self.world.spec.model_dump(by_alias=True, mode="json", exclude_none=True)
        edited["rollout"]["gates"] = list(gates)
        self.world.apply(ModelDeploymentSpec.model_validate(edited))

    def _all_gates_pass(self):
        self.world.verdicts = dict.fromkeys(GATES, Verdict.PASS)

    @rule(action=st.sampled_from(list(RequestAction)))
    def a_person_asks(self, action):
        self.requests += 1
        self.world.ask(action, f"id{self.requests}")

    @rule(version=st.sampled_from(VERSIONS))
    def the_version_changes(self, version):
        self.world.set_version(version)

    @rule(replicas=st.integers(1, 8))
    def an_autoscaler_acts(self, replicas):
        self.world.apply(self.world.spec.model_copy(update={"replicas": replicas}))

    @rule(paused=st.booleans())
    def spec_is_paused(self, paused):
        self.world.apply(self.world.spec.model_copy(update={"paused": paused}))

    @rule(steps=st.sampled_from(STEP_SETS))
    def steps_are_edited(self, steps):
        edited = self.world.spec.model_dump(by_alias=True, mode="json", exclude_none=True)
        edited["rollout"]["steps"] = list(steps)
        self.world.apply(ModelDeploymentSpec.model_validate(edited))

    @precondition(lambda self: hasattr(self, "world"))
    @invariant()
    def no_more_than_two_revisions_are_in_play(self):
        status = self.world.status
        assert not (status.candidate and status.previous)
        if status.rollout is not None and status.rollout.stage is Stage.STEPPING:
            event(f"stepping at {status.rollout.step_name}")
        elif status.rollout is not None:
            event(status.rollout.stage)

    def teardown(self):
        """Whatever happened: when causes go away, every release ends, at one revision, with nothing orphaned."""
        if not hasattr(self, "world"):
            return
        world = self.world
        world.request = None
        world.pods_come_by_themselves = True
        self._all_gates_pass()
        world.apply(world.spec.model_copy(update={"paused": False}))
        world.ask(RequestAction.RESUME, "heal")
        world.reconcile()
        for _ in range(60):
            world.pods_become_ready()
            world.finish_preflights(0)
            self._approve()
            world.reconcile()
            world.wait(130)
        world.wait(700)
        world.settle()
        status = world.status
        assert status.rollout is None, world.log[-20:]
        with_pods = {hash_ for hash_, workload in world.workloads.items() if workload.desired}
        assert with_pods == ({status.stable.hash} if status.stable else set()), "orphaned pods"
        assert world.baselines == {}, "orphaned pods of a baseline"
        wanted = world.hash_of(world.spec.model.version)
        rejected = {entry.hash for entry in status.rejected}
        if wanted not in rejected:
            assert status.stable is not None
            assert status.stable.hash == wanted == world.route
            assert world.condition("Ready")[0] == "True"
        else:
            assert world.condition("Stalled")[0] == "True"
        before, count = world.status, len(world.log)
        world.wait(1000)
        world.reconcile()
        assert world.status == before, "quiet: the status changes although nothing does"
        assert len(world.log) == count, f"quiet: {world.log[count:]}"

    def _approve(self):
        rollout = self.world.status.rollout
        if rollout is not None and rollout.stage is Stage.STEPPING:
            self.requests += 1
            self.world.ask(RequestAction.PROMOTE, f"heal{self.requests}")


TestReleases = Releases.TestCase
TestReleases.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    report_multiple_bugs=False,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
