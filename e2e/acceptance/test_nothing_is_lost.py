"""Acceptance 9: twenty promotions and twenty rollbacks under load, without a request that fails because of them; and a
rollback by a gate, which loses no request but those that the bad version answers itself.
"""

# ruff: noqa: S101  # tests assert

import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

import pytest

from e2e.acceptance.audience import Audience, described, failed
from e2e.acceptance.release import BLUE_GREEN, CANARY, GUARDED, NAME, Release
from e2e.acceptance.world import World
from e2e.acceptance.writes import Write, Writes
from e2e.demo import models
from e2e.demo.answers import Answer, Broken
from e2e.demo.report import lost

CYCLES = 20
REPLICAS = 2
REQUESTS_PER_SECOND = 200
# How long a version serves alone before it is replaced, and how long the clients are still watched afterwards.
DWELL_SECONDS = 4.0
GONE_AFTER_SECONDS = 2.0


@dataclass(frozen=True)
class Rollback:
    """When a person asked for it and had the answer, and the one write to the live Service that it made."""

    asked: float
    answered: float
    route: Write


@pytest.fixture
def release(world: World) -> Iterator[Release]:
    made = Release(world, REPLICAS)
    made.begin(world.versions[1])
    yield made
    made.remove()


def test_twenty_promotions_and_twenty_rollbacks_lose_no_request(world: World, release: Release) -> None:
    good, better = world.versions[1], world.versions[2]
    audience, writes = Audience(world), Writes(world.kubectl)
    audience.start(REQUESTS_PER_SECOND)
    begun = time.time()
    rollbacks = []
    try:
        for cycle in range(CYCLES):
            release.apply(better, CANARY if cycle % 2 else BLUE_GREEN)
            if cycle:
                world.millgate("retry", NAME)  # what was rolled back stays out until somebody asks for it
            release.await_promotion(better)
            time.sleep(DWELL_SECONDS)
            rollbacks.append(_roll_back(world, release, writes))
            release.await_rest(good)
            time.sleep(DWELL_SECONDS)
        ended = time.time()
        answers = audience.answers()
    finally:
        writes.stop()
        audience.stop()
    _tell(world, rollbacks, answers, better, ended - begun)
    _asserts_enough_was_asked(answers, ended - begun)
    assert not failed(answers), described(failed(answers))
    for rollback in rollbacks:
        late = _answered_by(answers, better, rollback.route.seen + GONE_AFTER_SECONDS, rollback.asked + DWELL_SECONDS)
        assert not late, f"{len(late)} answers by version {better} after the rollback at {rollback.asked:.3f}"


def test_a_gate_takes_back_by_one_write_before_any_scaling(world: World, release: Release) -> None:
    good, bad = world.versions[1], world.versions[3]
    audience, writes = Audience(world), Writes(world.kubectl)
    audience.start(REQUESTS_PER_SECOND)
    begun = time.time()
    try:
        release.apply(bad, GUARDED)
        release.until(lambda: writes.routes()[-1].pinned is None, "the canary to get traffic", 120)
        status = release.status
        release.await_rest(good)
        time.sleep(DWELL_SECONDS)
        answers = audience.answers()
    finally:
        writes.stop()
        audience.stop()
    opened, back = writes.routes()[-2:]
    assert (opened.pinned, back.pinned) == (None, status["stable"]["hash"])
    assert writes.sizes(status["candidate"]["hash"])[-1].replicas == 0
    assert writes.sizes(status["candidate"]["hash"])[-1].order > back.order
    broken = Broken(bad, frozenset(models.read(world.folder)[2].failing_rows), begun)
    by_bad = [answer for answer in answers if broken.is_by(answer)]
    last = max(answer.end for answer in by_bad)
    world.figures.append(
        f"rollback by a gate: {len(by_bad)} answers by version {bad}, {len(failed(by_bad))} of them bad, the last one "
        f"{last - back.seen:.2f} s after the route; {len(lost(answers, broken))} of {len(answers):,} requests lost"
    )
    assert failed(by_bad)
    assert not lost(answers, broken), described(lost(answers, broken))
    assert last < back.seen + GONE_AFTER_SECONDS


def _roll_back(world: World, release: Release, writes: Writes) -> Rollback:
    """By the one command, while the version before is warm: one write of the route, before anything is scaled."""
    status = release.status
    leaving, staying = status["stable"]["hash"], status["previous"]["hash"]
    before = writes.routes()
    asked = time.time()
    world.millgate("rollback", NAME)
    answered = time.time()
    made = release.until(
        lambda: [write for write in writes.routes() if write.order > before[-1].order], "the route to be written", 10
    )
    down = release.until(
        lambda: [size for size in writes.sizes(leaving) if size.replicas == 0 and size.order > before[-1].order],
        "the revision that was left to be scaled to zero",
        30,
    )
    assert [write.pinned for write in made] == [staying]
    assert made[0].order < down[0].order
    return Rollback(asked, answered, made[0])


def _answered_by(answers: list[Answer], version: str, after: float, before: float) -> list[Answer]:
    return [answer for answer in answers if answer.version == version and after < answer.end < before]


def _asserts_enough_was_asked(answers: list[Answer], seconds: float) -> None:
    """Clients that were held up would have seen less than was promised."""
    kept = sum(answer.connection == "kept" for answer in answers)
    assert len(answers) > 0.9 * REQUESTS_PER_SECOND * seconds
    assert 0.4 < kept / len(answers) < 0.6


def _tell(world: World, rollbacks: list[Rollback], answers: list[Answer], leaving: str, seconds: float) -> None:
    lasts = [
        max(
            (each.end for each in _answered_by(answers, leaving, rollback.asked, rollback.asked + DWELL_SECONDS)),
            default=rollback.route.seen,
        )
        for rollback in rollbacks
    ]
    world.figures.extend(
        (
            (
                f"{len(rollbacks)} promotions and rollbacks in {seconds:.0f} s: {len(answers):,} requests "
                f"({len(answers) / seconds:.0f} a second), {len(failed(answers))} failed"
            ),
            _line("rollback asked → route seen", [each.route.seen - each.asked for each in rollbacks]),
            _line("rollback asked → command answered", [each.answered - each.asked for each in rollbacks]),
            _line(
                "route seen → last answer by the version left",
                [last - each.route.seen for last, each in zip(lasts, rollbacks, strict=True)],
            ),
        )
    )


def _line(what: str, seconds: list[float]) -> str:
    return f"{what}: median {median(seconds):.2f} s, {min(seconds):.2f} to {max(seconds):.2f} s"
