"""Whole releases, step by step, in the words of the design: what a user is told and where the traffic is."""

from dataclasses import replace
from datetime import timedelta

import pytest

from millgate.api.conditions import Reason
from millgate.api.status import Outcome, Stage, Verdict
from millgate.rollout.core import plan
from millgate.rollout.plan import EnsureRevision, Route, Scale
from millgate.rollout.snapshot import Problem

from .releases import ERRORS, STEPS, at_step, first_pass, promoted, released
from .world import OPEN, World, make_spec


def test_the_first_version_serves_at_once_without_gates() -> None:
    world = released()
    assert world.route == world.hash_of("1")
    assert world.status.rollout is None
    assert [entry.outcome for entry in world.status.history] == [Outcome.PROMOTED]


def test_the_first_version_is_asked_no_gates_whatever_they_would_say() -> None:
    query = {"name": "memory", "type": "Query", "query": {"promql": 'max(m{namespace="$(namespace)"})', "max": "1"}}
    world = World(make_spec("1", steps=STEPS, gates=[query]))
    world.verdicts["memory"] = Verdict.FAIL
    first_pass(world)
    assert world.condition("Ready") == ("True", "Promoted")


def test_a_good_version_goes_step_by_step_and_swaps_roles() -> None:
    world = at_step(released(), "2", "canary-20")
    assert world.route == OPEN
    assert {w.revision.model_version: w.ready for w in world.workloads.values()} == {"1": 4, "2": 1}
    world.wait(59)
    world.settle()
    assert world.status.rollout is not None
    assert world.status.rollout.step_name == "canary-20"
    world.wait(2)
    world.settle()
    assert world.status.rollout.step_name == "half"
    assert world.workloads[world.hash_of("2")].ready == 4
    world.wait(61)
    world.settle()
    assert world.route == world.hash_of("2")
    assert world.status.previous is not None
    assert world.workloads[world.hash_of("1")].desired == 4, "the old revision stays warm"
    assert world.condition("Ready") == ("True", "Promoted")
    world.wait(601)
    world.settle()
    assert world.workloads[world.hash_of("1")].desired == 0
    assert world.status.rollout is None


def test_a_failing_gate_takes_the_candidate_back_by_one_write_before_any_scaling() -> None:
    world = at_step(released(), "2", "half")
    world.verdicts["errors"] = Verdict.FAIL
    made = plan(world.snapshot(), world.now)
    assert made.actions[0] == Route(((world.hash_of("1"), 100),))
    assert not [action for action in made.actions if isinstance(action, Scale)]
    assert made.then[0] == Scale(world.hash_of("2"), 0)
    world.settle()
    assert world.route == world.hash_of("1")
    assert [gate.verdict for gate in world.status.gates] == [Verdict.FAIL], "the status shows which gate it was"
    assert world.condition("RolledBack") == ("True", "GuardrailBreached")
    assert world.condition("CandidateHealthy") == ("False", "GuardrailBreached")
    assert world.condition("Stalled") == ("True", "RolledBack")
    assert world.condition("Available") == ("True", "MinimumReplicasAvailable")
    assert world.condition("Ready") == ("False", "RolledBack")


@pytest.mark.parametrize("verdict", [Verdict.INCONCLUSIVE, Verdict.PENDING])
def test_no_data_neither_passes_nor_fails(verdict: Verdict) -> None:
    world = at_step(released(), "2", "canary-20")
    world.verdicts["errors"] = verdict
    world.wait(3000)
    world.settle()
    assert world.status.rollout is not None
    assert world.status.rollout.step_name == "canary-20"
    world.wait(1000)
    world.settle()
    assert world.condition("Paused") == ("True", "AnalysisInconclusive")
    assert world.status.rollout.step_name == "canary-20"
    world.verdicts["errors"] = Verdict.PASS
    world.settle()
    assert world.status.rollout.step_name == "half", "it goes on by itself when the data are back"


@pytest.mark.parametrize(("policy", "stage"), [("Proceed", Stage.STEPPING), ("Rollback", None)])
def test_on_inconclusive_decides_at_max_seconds(policy: str, stage: Stage | None) -> None:
    world = at_step(released(onInconclusive=policy), "2", "canary-20")
    world.verdicts["errors"] = Verdict.INCONCLUSIVE
    world.wait(3700)
    world.settle()
    assert (world.status.rollout.stage if world.status.rollout else None) is stage
    if stage is None:
        assert world.condition("RolledBack") == ("True", "AnalysisInconclusive")


def test_what_the_preflight_knows_of_the_files_goes_to_every_pod_of_the_revision() -> None:
    world = released()
    world.set_version("2")
    world.settle()
    for key, report in world.preflights.items():
        if report.exit_code is None:
            world.preflights[key] = replace(report, exit_code=0, digest="sha256:two", fingerprint="ab12")
    world.settle()
    assert world.status.candidate is not None
    assert (world.status.candidate.digest, world.status.candidate.fingerprint) == ("sha256:two", "ab12")
    ensured = [action for action in plan(world.snapshot(), world.now).actions if isinstance(action, EnsureRevision)]
    assert {action.fingerprint for action in ensured if action.digest == "sha256:two"} == {"ab12"}


def test_a_third_version_gets_traffic_only_after_all_of_it_was_back_at_stable() -> None:
    world = at_step(released(), "2", "half")
    world.set_version("3")
    world.reconcile()
    assert world.route == world.hash_of("1")
    first_pass(world)
    assert world.workloads[world.hash_of("2")].desired == 0
    assert world.status.candidate is not None
    assert world.status.candidate.model_version == "3"
    assert world.condition("Stalled")[0] == "False"
    assert "2" not in {entry.model_version for entry in world.status.rejected}, "replaced is not rejected"


def test_going_back_to_stable_in_spec_ends_the_rollout() -> None:
    world = at_step(released(), "2", "half")
    world.set_version("1")
    world.settle()
    assert world.route == world.hash_of("1")
    assert world.condition("Ready") == ("True", "Promoted")
    assert world.status.history[0].reason == "Reverted"


def test_a_revert_in_spec_while_the_old_revision_is_warm_is_instant() -> None:
    world = promoted()
    world.set_version("1")
    world.reconcile()
    assert world.route == world.hash_of("1")
    world.settle()
    assert world.condition("Ready") == ("True", "Promoted")


def test_a_model_that_turns_bad_after_promotion_goes_back_by_itself() -> None:
    world = promoted()
    world.crash(world.hash_of("2"))
    world.reconcile()
    assert world.route == world.hash_of("1")
    world.settle()
    assert world.condition("RolledBack") == ("True", "CandidateCrashed")


def test_a_crash_of_a_candidate_with_traffic_needs_no_metrics() -> None:
    world = at_step(released(), "2", "canary-20")
    world.verdicts["errors"] = Verdict.INCONCLUSIVE
    world.crash(world.hash_of("2"))
    world.reconcile()
    assert world.route == world.hash_of("1")
    world.settle()
    assert world.condition("RolledBack") == ("True", "CandidateCrashed")


def test_pods_that_do_not_become_ready_are_taken_back_at_the_deadline() -> None:
    world = released()
    world.pods_come_by_themselves = False
    world.set_version("2")
    first_pass(world)
    world.wait(899)
    world.settle()
    assert world.condition("Reconciling") == ("True", "ScalingUp")
    world.wait(2)
    world.settle()
    assert world.condition("Stalled") == ("True", "ProgressDeadlineExceeded")
    assert world.route == world.hash_of("1")


def test_a_first_version_past_its_deadline_stalls_and_recovers_by_itself() -> None:
    world = World(make_spec("1"))
    world.pods_come_by_themselves = False
    first_pass(world)
    world.wait(901)
    world.settle()
    assert world.condition("Stalled") == ("True", "ProgressDeadlineExceeded")
    world.pods_become_ready()
    world.settle()
    assert world.condition("Ready") == ("True", "Promoted")


def test_a_preflight_that_cannot_tell_is_tried_again_and_never_rejects() -> None:
    world = released()
    world.set_version("2")
    for _ in range(20):
        world.settle()
        world.finish_preflights(75)
        world.settle()
        assert world.condition("Reconciling")[0] == "True"
        world.wait(121)
    assert world.status.rejected == ()
    first_pass(world)
    assert world.status.rollout is not None
    assert world.status.rollout.stage is Stage.STEPPING


def test_replicas_changed_in_flight_keep_the_ratio_and_never_shrink_stable_below_the_number() -> None:
    world = at_step(released(), "2", "canary-20")
    world.apply(world.spec.model_copy(update={"replicas": 8}))
    world.settle()
    assert {w.revision.model_version: w.desired for w in world.workloads.values()} == {"1": 8, "2": 2}


def test_edited_steps_go_on_at_the_step_of_the_same_name_else_at_the_last_one_not_above() -> None:
    world = at_step(released(), "2", "half")
    started = world.status.rollout.step_start_time if world.status.rollout else None
    edited = [{"name": "canary-5", "weightPercent": 5}, STEPS[1], {"name": "most", "weightPercent": 80}, STEPS[2]]
    world.apply(make_spec("2", steps=edited, gates=[ERRORS], keepWarmSeconds=600))
    world.settle()
    assert world.status.rollout is not None
    assert (world.status.rollout.step_name, world.status.rollout.step_start_time) == ("half", started)
    renamed = [{"name": "canary-30", "weightPercent": 30, "minSeconds": 60}, {"name": "last", "weightPercent": 100}]
    world.apply(make_spec("2", steps=renamed, gates=[ERRORS], keepWarmSeconds=600))
    world.settle()
    assert world.status.rollout.step_name == "canary-30"


def test_ten_changes_in_five_seconds_roll_out_the_last_one() -> None:
    world = released()
    for version in range(2, 12):
        world.set_version(str(version))
        world.reconcile()
        world.wait(0.5)
    first_pass(world)
    assert world.status.candidate is not None
    assert world.status.candidate.model_version == "11"
    assert {w.revision.model_version for w in world.workloads.values() if w.desired} == {"1", "11"}


def test_a_status_that_was_lost_is_found_again_from_the_route() -> None:
    world = promoted()
    world.status = type(world.status)()
    world.settle()
    assert world.status.stable is not None
    assert world.status.stable.model_version == "2"
    assert world.route == world.hash_of("2")


def test_a_step_is_not_made_longer_by_a_restart() -> None:
    world = at_step(released(), "2", "canary-20")
    assert world.status.rollout is not None
    start = world.status.rollout.step_start_time
    assert start is not None
    world.wait(45)  # nobody reconciles: the operator is away
    world.now = start + timedelta(seconds=60)
    world.reconcile()
    assert world.status.rollout.step_name == "half"


def test_enough_pods_serve_and_it_is_told_why_the_others_do_not() -> None:
    world = released()
    seen, hash_ = world.snapshot(), world.hash_of("1")
    fewer = replace(seen.revisions[hash_], ready=3, problem=Problem(Reason.ARTIFACT_CHANGED, "other bytes"))
    status = plan(replace(seen, revisions={hash_: fewer}), world.now).status
    available = next(condition for condition in status.conditions if condition.type == "Available")
    assert (available.status, available.reason) == ("True", "MinimumReplicasAvailable")
    assert available.message == "at least 3 of 4 pods are ready; not all: ArtifactChanged: other bytes"
