"""A rollout that is judged by the rule of thumb, on the same traffic and the same steps."""

import math
from collections.abc import Sequence
from random import Random

from millgate.api.defaults import steps_of
from millgate.api.spec import ModelDeploymentSpec
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
    flows, end, stable = [], began, stable_size(spec)
    for step in steps_of(spec.rollout):
        if not 0 < step.weight_percent < 100:
            continue
        mine = pods_for_weight(stable, step.weight_percent)
        share = mine / (mine + stable)
        young = Group(end, share, mine)
        end += step.min_seconds
        flows.append((Flow(Group(-math.inf, 1 - share, stable), (young,)), end))
    return flows
