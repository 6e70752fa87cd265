"""A rollout that is judged by the rule of thumb, on the same traffic and the same steps."""

import math
from collections.abc import Sequence
from random import Random

from millgate.api.defaults import needs_baseline, steps_of
from millgate.api.spec import ModelDeploymentSpec, Step
from millgate.rollout.sizes import pods_for_weight, stable_size
from millgate.simulate.candidates import Candidate
from millgate.simulate.play import Ending, Outcome, Theatre
from millgate.simulate.rule import CHECK_SECONDS, RuleOfThumb
from millgate.simulate.scene import Flow, Group


def play_by_rule(rule: RuleOfThumb, theatre: Theatre, candidate: Candidate, random: Random) -> Outcome:
    """One rollout by this rule: the same steps, each for its planned time.

    It judges nothing after promotion; what the candidate does then is counted for as long as the policy would look on.
    """
    scene, failed, bad = theatre.scene(candidate), 0, 0.0
    began = begin = scene.began
    for flow, end in _planned(theatre.spec, began):
        while begin + CHECK_SECONDS <= end:
            sample = scene.draw(random, [(begin, begin + CHECK_SECONDS, flow)], ())
            begin += CHECK_SECONDS
            bad += sample.harmed
            requests = sum(side.counts.requests for side in sample.candidate)
            errors = sum(side.counts.errors for side in sample.candidate)
            if sample.dark or requests == 0 or errors > rule.max_error_rate * requests:
                failed += 1
            if failed >= rule.failed_checks:
                return Outcome(Ending.ROLLED_BACK, begin - began, bad)
    promoted = begin
    while begin < promoted + theatre.watched_seconds:
        bad += scene.expected_harm(_ALONE, begin, begin + CHECK_SECONDS)
        begin += CHECK_SECONDS
    return Outcome(Ending.PROMOTED, promoted - began, bad)


_ALONE = Flow(Group(-math.inf, 0.0, 0), (Group(-math.inf, 1.0, 1),))


def _planned(spec: ModelDeploymentSpec, began: float) -> Sequence[tuple[Flow, float]]:
    """The steps with traffic to both revisions, and the Unix time at which each is planned to end."""
    flows, end = [], began
    for step in steps_of(spec.rollout):
        if not 0 < step.weight_percent < 100:
            continue
        mine, total = pods_of(spec, step)
        young = Group(end, mine / total, mine)
        end += step.min_seconds
        flows.append((Flow(Group(-math.inf, 1 - mine / total, total - mine), (young,)), end))
    return flows


def pods_of(spec: ModelDeploymentSpec, step: Step) -> tuple[int, int]:
    """How many pods the candidate has in a step in which both revisions get requests, and of how many in all."""
    stable, fresh = stable_size(spec), needs_baseline(spec.rollout, step)
    mine = pods_for_weight(stable, step.weight_percent, with_baseline=fresh)
    return mine, stable + mine * (2 if fresh else 1)
