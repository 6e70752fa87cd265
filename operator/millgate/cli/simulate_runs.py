"""Plays many rollouts in several processes. What comes out depends on the seed alone, not on how the work is shared."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from random import Random

from millgate.api.spec import ModelDeploymentSpec
from millgate.simulate.candidates import Candidate, named
from millgate.simulate.figures import Result, result
from millgate.simulate.play import Outcome, Theatre
from millgate.simulate.rule import RuleOfThumb
from millgate.simulate.thumb import play_by_rule
from millgate.simulate.traffic import Traffic

CHUNK = 25
"""Runs that are handed to a process at once: enough to be worth the journey, few enough to show progress."""


@dataclass(frozen=True)
class Plan:
    """Everything that the outcome depends on. `spec` is the spec's JSON."""

    spec: str
    traffic: Traffic
    rule: RuleOfThumb
    candidates: tuple[str, ...]
    runs: int
    seed: int


@dataclass(frozen=True)
class Chunk:
    plan: Plan
    candidate: str
    first: int
    last: int


Played = tuple[list[Outcome], list[Outcome]]


def play_all(plan: Plan, processes: int, done: Callable[[int, int], None]) -> list[Result]:
    """Each candidate's result. `done(played, of)` is called whenever some rollouts have been played."""
    chunks = [
        Chunk(plan, name, first, min(first + CHUNK, plan.runs))
        for name in plan.candidates
        for first in range(0, plan.runs, CHUNK)
    ]
    played: dict[Chunk, Played] = {}
    total, so_far = plan.runs * len(plan.candidates), 0
    done(0, total)
    for chunk, outcomes in _played(chunks, processes):
        played[chunk] = outcomes
        so_far += chunk.last - chunk.first
        done(so_far, total)
    results = []
    for name in plan.candidates:
        mine = [played[chunk] for chunk in chunks if chunk.candidate == name]
        policy = [outcome for outcomes, _ in mine for outcome in outcomes]
        thumb = [outcome for _, outcomes in mine for outcome in outcomes]
        results.append(result(named(name), policy, thumb))
    return results


def play_one(plan: Plan, candidate: Candidate, run: int) -> Outcome:
    """One of the runs of `play_all` again, and what each of its looks showed."""
    return _theatre(plan).play(candidate, _random(plan, candidate.name, run), watched=True)


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _played(chunks: Sequence[Chunk], processes: int) -> Iterator[tuple[Chunk, Played]]:
    if processes <= 1 or len(chunks) == 1:
        for chunk in chunks:
            yield chunk, _play(chunk)
        return
    with ProcessPoolExecutor(min(processes, len(chunks)), initializer=_leave_interrupts_to_the_parent) as pool:
        waiting = {pool.submit(_play, chunk): chunk for chunk in chunks}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _leave_interrupts_to_the_parent() -> None:
    """A terminal sends Ctrl-C to all processes; one of them is enough to end the command."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _play(chunk: Chunk) -> Played:
    plan, candidate = chunk.plan, named(chunk.candidate)
    theatre = _theatre(plan)
    runs = range(chunk.first, chunk.last)
    policy = [theatre.play(candidate, _random(plan, candidate.name, run)) for run in runs]
    thumb = [play_by_rule(plan.rule, theatre, candidate, _random(plan, f"{candidate.name}/thumb", run)) for run in runs]
    return policy, thumb


@cache
def _theatre(plan: Plan) -> Theatre:
    """One a process: what its rollouts share is worked out once."""
    return Theatre(ModelDeploymentSpec.model_validate_json(plan.spec), plan.traffic)


def _random(plan: Plan, name: str, run: int) -> Random:
    return Random(f"{plan.seed}/{name}/{run}")  # noqa: S311 - dice, not secrets
