"""The simulator: it is the operator's own core, its shortcuts change nothing, and a seed says everything."""

import statistics
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millgate.api.spec import ModelDeploymentSpec
from millgate.cli.simulate_runs import Plan, play_all
from millgate.simulate.candidates import CANDIDATES, Candidate, named
from millgate.simulate.chance import clustered, poisson
from millgate.simulate.figures import quantile, tally
from millgate.simulate.play import Ending, Outcome, Theatre
from millgate.simulate.rule import RuleOfThumb
from millgate.simulate.thumb import play_by_rule
from millgate.simulate.traffic import Traffic

ERRORS = {"name": "errors", "type": "Compare", "compare": {"preset": "Errors"}}
STEPS = [
    {"name": "tenth", "weightPercent": 10, "minSeconds": 120},
    {"name": "half", "weightPercent": 50, "minSeconds": 120},
    {"name": "all", "weightPercent": 100},
]


def spec(replicas: int = 9, **rollout: Any) -> ModelDeploymentSpec:
    settled = {"keepWarmSeconds": 60, **rollout}
    return ModelDeploymentSpec.model_validate(
        {"model": {"name": "fraud", "version": "8"}, "replicas": replicas, "rollout": settled}
    )


def play(candidate: str | Candidate, traffic: Traffic, of: ModelDeploymentSpec, runs: int = 12) -> list[Outcome]:
    theatre = Theatre(of, traffic)
    found = named(candidate) if isinstance(candidate, str) else candidate
    return [theatre.play(found, Random(seed)) for seed in range(runs)]


def endings(outcomes: list[Outcome]) -> set[Ending]:
    return {outcome.ending for outcome in outcomes}


# ---- chance


@pytest.mark.parametrize("mean", [0.3, 4.0, 9.9, 10.1, 37.0, 1500.0, 250_000.0])
def test_poisson_numbers_have_their_mean_and_their_variance(mean: float) -> None:
    random = Random(5)
    drawn = [poisson(random, mean) for _ in range(4000)]
    assert abs(statistics.fmean(drawn) - mean) < 4 * (mean / 4000) ** 0.5
    assert statistics.variance(drawn) == pytest.approx(mean, rel=0.12)


def test_clusters_keep_the_mean_and_scatter_more() -> None:
    random = Random(6)
    drawn = [clustered(random, 50.0, 5.0) for _ in range(4000)]
    # The variance of a compound Poisson number is lambda * E[size^2], with geometric sizes of mean m: m * (2 * m - 1).
    assert statistics.fmean(drawn) == pytest.approx(50.0, rel=0.03)
    assert statistics.variance(drawn) == pytest.approx(50.0 * (2 * 5.0 - 1), rel=0.12)


# ---- shortcuts


POLICIES = [
    spec(),
    spec(steps=STEPS, gates=[ERRORS]),
    spec(replicas=2, steps=STEPS, onInconclusive="Rollback", intervalSeconds=20),
    spec(steps=STEPS, gates=[{**ERRORS, "compare": {"preset": "Errors", "minSamples": 4000, "warmupSeconds": 60}}]),
    spec(steps=[{"name": "look", "weightPercent": 0, "minSeconds": 30}, *STEPS[:1], *STEPS[2:]], intervalSeconds=7),
    spec(strategy="BlueGreen"),
    spec(
        steps=STEPS, gates=[{"name": "all", "type": "Compare", "compare": {"preset": "Errors", "segmentBy": "tenant"}}]
    ),
    spec(steps=STEPS, gates=[{"name": "answers", "type": "Compare", "compare": {"preset": "Predictions"}}]),
    spec(steps=STEPS, gates=[{**ERRORS, "onFail": "Alert", "compare": {"preset": "Errors", "reference": "Baseline"}}]),
]


def both_ways(of: ModelDeploymentSpec, traffic: Traffic, candidate: Candidate, seed: int) -> Iterator[Outcome]:
    for thorough in (False, True):
        yield Theatre(of, traffic, thorough=thorough).play(candidate, Random(seed))


@pytest.mark.parametrize("index", range(len(CANDIDATES)), ids=lambda index: CANDIDATES[index].name)
def test_asking_the_core_only_when_something_can_change_comes_to_the_same_as_asking_at_every_look(
    index: int,
) -> None:
    for of in POLICIES[index % 3 :: 3]:
        quick, thorough = both_ways(of, Traffic(requests_per_second=40, error_rate=0.01), CANDIDATES[index], index)
        assert quick == thorough


@settings(max_examples=5, deadline=None)
@given(
    st.sampled_from(POLICIES),
    st.sampled_from(CANDIDATES),
    st.floats(0.5, 200),
    st.floats(0.0005, 0.2),
    st.integers(0, 10_000),
)
def test_the_shortcut_changes_nothing_on_any_traffic(
    of: ModelDeploymentSpec, candidate: Candidate, rate: float, error_rate: float, seed: int
) -> None:
    quick, thorough = both_ways(of, Traffic(rate, error_rate), candidate, seed)
    assert quick == thorough


# ---- what comes out


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_the_same_seed_gives_the_same_figures_with_any_number_of_processes(processes: int) -> None:
    plan = Plan(POLICIES[1].model_dump_json(by_alias=True), Traffic(), RuleOfThumb(), ("5x", "healthy"), 30, 7)
    seen: list[tuple[int, int]] = []
    results = play_all(plan, processes, lambda played, of: seen.append((played, of)))
    again = play_all(plan, 1, lambda _played, _of: None)
    assert [one.to_json() for one in results] == [one.to_json() for one in again]
    assert seen[0] == (0, 60)
    assert seen[-1] == (60, 60)


def test_another_seed_gives_other_rollouts() -> None:
    texts = (POLICIES[1].model_dump_json(by_alias=True), Traffic(), RuleOfThumb(), ("2x",), 20)
    one, other = (play_all(Plan(*texts, seed), 1, lambda _played, _of: None) for seed in (1, 2))
    assert one[0].ends != other[0].ends


def test_a_healthy_candidate_is_promoted_when_the_planned_time_is_over() -> None:
    outcomes = play("healthy", Traffic(), spec())
    assert endings(outcomes) == {Ending.PROMOTED}
    assert {outcome.seconds for outcome in outcomes} == {900.0}


@pytest.mark.parametrize(("name", "within_seconds"), [("5x", 300), ("50x", 31), ("slow", 600)])
def test_a_bad_candidate_is_taken_back(name: str, within_seconds: float) -> None:
    outcomes = play(name, Traffic(), spec())
    assert endings(outcomes) == {Ending.ROLLED_BACK}
    assert quantile(sorted(outcome.seconds for outcome in outcomes), 0.9) <= within_seconds
    assert {outcome.gates for outcome in outcomes} == {("latency",) if name == "slow" else ("errors",)}


def test_a_candidate_that_turns_bad_late_is_taken_back_after_it_did() -> None:
    outcomes = play("late", Traffic(), spec())
    assert endings(outcomes) == {Ending.ROLLED_BACK}
    assert all(675 < outcome.seconds < 800 for outcome in outcomes)


def test_a_warm_up_forgives_pods_that_are_bad_while_they_are_cold() -> None:
    patient = {"preset": "Errors", "warmupSeconds": 60}
    outcomes = play("cold", Traffic(), spec(gates=[{"name": "errors", "type": "Compare", "compare": patient}]))
    impatient = play("cold", Traffic(), spec(gates=[ERRORS]))
    assert endings(outcomes) == {Ending.PROMOTED}
    assert [outcome.ending for outcome in impatient].count(Ending.ROLLED_BACK) >= 9


def test_an_outage_of_the_metrics_passes_and_fails_nothing_and_takes_its_time() -> None:
    outcomes = play("outage", Traffic(), spec())
    assert endings(outcomes) == {Ending.PROMOTED}
    assert min(outcome.seconds for outcome in outcomes) > 1000


def test_too_little_traffic_holds_for_a_person_instead_of_guessing() -> None:
    outcomes = play("healthy", Traffic(requests_per_second=0.1), spec(), runs=2)
    assert endings(outcomes) == {Ending.HELD}


def test_a_bad_segment_is_found_where_its_label_is_named_and_hardly_where_it_is_not() -> None:
    traffic = Traffic(error_rate=0.01)
    by_segment = spec(gates=[{**ERRORS, "compare": {"preset": "Errors", "segmentBy": "tenant"}}])
    assert endings(play("segment", traffic, by_segment)) == {Ending.ROLLED_BACK}
    whole = [outcome.ending for outcome in play("segment", traffic, spec(gates=[ERRORS]))]
    assert whole.count(Ending.PROMOTED) >= 8


@pytest.mark.parametrize("reference", ["Stable", "Training"])
def test_shifted_predictions_are_a_question_to_a_person_and_nothing_else_is(reference: str) -> None:
    gate = {"name": "answers", "type": "Compare", "compare": {"preset": "Predictions", "reference": reference}}
    assert endings(play("shifted", Traffic(), spec(gates=[gate]), runs=4)) == {Ending.HELD}
    assert endings(play("healthy", Traffic(), spec(gates=[gate]), runs=4)) == {Ending.PROMOTED}
    assert endings(play("5x", Traffic(), spec(gates=[gate]), runs=4)) == {Ending.PROMOTED}


def test_fresh_pods_of_stable_are_as_cold_as_the_candidates() -> None:
    fresh = {**ERRORS, "compare": {"preset": "Errors", "reference": "Baseline"}}
    assert endings(play("cold", Traffic(), spec(gates=[fresh]))) == {Ending.PROMOTED}
    assert endings(play("5x", Traffic(), spec(gates=[fresh]))) == {Ending.ROLLED_BACK}


def test_a_gate_that_only_warns_takes_nothing_back() -> None:
    assert endings(play("5x", Traffic(), spec(gates=[{**ERRORS, "onFail": "Alert"}]))) == {Ending.PROMOTED}


def test_against_its_past_hour_a_healthy_candidate_suffers_for_an_incident() -> None:
    before = {**ERRORS, "compare": {"preset": "Errors", "reference": "Before"}}
    assert endings(play("incident", Traffic(), spec(gates=[before]))) == {Ending.ROLLED_BACK}
    assert endings(play("incident", Traffic(), spec(gates=[ERRORS]))) == {Ending.PROMOTED}


def test_the_hour_of_the_day_moves_the_traffic() -> None:
    night, noon = Traffic(daily_swing=0.9, start_hour=3), Traffic(daily_swing=0.9, start_hour=15)
    assert night.rate(0) == pytest.approx(10)
    assert noon.rate(0) == pytest.approx(190)
    assert Traffic(error_swing=0.5, start_hour=15).errors(0) == pytest.approx(0.0075)


def test_the_slow_bound_is_the_quantile_of_the_latency() -> None:
    traffic = Traffic()
    assert traffic.slower_than(traffic.slow_bound(0.99)) == pytest.approx(0.01)
    assert traffic.slower_than(traffic.slow_bound(0.99), factor=2.0) > 0.05


def test_what_a_look_shows_leads_up_to_the_verdict() -> None:
    outcome = Theatre(spec(), Traffic()).play(named("5x"), Random(1), watched=True)
    course = [look.evidence["errors"] for look in outcome.looks]
    assert course[0] == 0.0
    assert max(course[:-1]) < 1.0
    assert course[-1] == 1.0
    assert {look.share for look in outcome.looks} == {0.1}


# ---- the rule of thumb


def by_rule(candidate: str, traffic: Traffic, rule: RuleOfThumb) -> list[Outcome]:
    theatre = Theatre(spec(), traffic)
    return [play_by_rule(rule, theatre, named(candidate), Random(seed)) for seed in range(20)]


def test_the_rule_of_thumb_takes_back_at_the_fourth_bad_minute() -> None:
    outcomes = by_rule("50x", Traffic(), RuleOfThumb())
    assert {(outcome.ending, outcome.seconds) for outcome in outcomes} == {(Ending.ROLLED_BACK, 240.0)}


def test_the_rule_of_thumb_takes_a_blind_minute_for_a_bad_one() -> None:
    assert endings(by_rule("outage", Traffic(error_rate=0.0001), RuleOfThumb())) == {Ending.ROLLED_BACK}
    assert endings(by_rule("healthy", Traffic(error_rate=0.0001), RuleOfThumb())) == {Ending.PROMOTED}


# ---- figures


def test_a_tally_tells_the_time_of_the_usual_ending() -> None:
    outcomes = [Outcome(Ending.ROLLED_BACK, float(seconds), 10, ("errors",)) for seconds in range(1, 10)]
    found = tally([*outcomes, Outcome(Ending.PROMOTED, 900.0, 0)])
    assert (found.verdict, found.median_seconds, found.p90_seconds) == (Ending.ROLLED_BACK, 5.0, 9.0)
    assert found.shares[Ending.ROLLED_BACK] == 0.9
    assert found.bad_requests == 9.0
    assert found.gates == {"errors": 0.9}


def test_to_be_held_is_no_verdict_and_has_no_time() -> None:
    assert tally([Outcome(Ending.HELD, 3900.0, 5)]).median_seconds is None
