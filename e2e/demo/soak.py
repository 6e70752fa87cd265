"""Many promotions and as many ways back under load, each way back timed from its one write of the route.

v2 is released in steps and promoted, a person goes back to v1 by the command, and asks for v2 again: round by round.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import yaml

from e2e.demo import stack, training
from e2e.demo.answers import Answer, Broken
from e2e.demo.report import LINGER_SECONDS, Claim, lost
from e2e.demo.story import Setting, answers
from e2e.demo.watch import Follower, Json, Routes

REQUESTS_PER_SECOND = 200
ROUND_SECONDS = 240.0
# Clients see v2 alone for a while; and after a way back long enough to tell an answer that lingers from the next round.
ALONE_SECONDS = 2.0
QUIET_SECONDS = LINGER_SECONDS + 1.0
ROLLOUT = {
    "steps": [
        {"name": "half", "weightPercent": 50, "minSeconds": 2},
        {"name": "all", "weightPercent": 100},
    ],
    "gates": [],  # what is counted here is what moving the traffic does to requests, not what is judged
    "keepWarmSeconds": 600,
}
NOTHING_BROKEN = Broken("", frozenset(), 0.0)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Round:
    """Times of the epoch: v2 asked for, the command typed, the command's end."""

    forward: float
    asked: float
    done: float


def soak(setting: Setting, rounds: int, say: Say) -> tuple[Claim, ...]:
    """Play the rounds and judge them. Raises CommandError or StoryError."""
    kubectl, versions = setting.kubectl, setting.versions
    _apply(setting, versions[1])
    follower = Follower(kubectl, stack.MODEL_NAMESPACE, stack.NAME, say)
    try:
        follower.await_outcome(versions[1], ROUND_SECONDS)
        stack.start_clients(kubectl, setting.images, setting.folder / training.REPLAY, REQUESTS_PER_SECOND)
        routes = Routes(kubectl, stack.MODEL_NAMESPACE, stack.NAME)
        played = []
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            played.append(_round(setting, follower, first=number == 0))
        routes.close()
        back = [route.time for route in routes.named(follower.versions) if route.version == versions[1]]
        return judge(answers(kubectl), played, back, versions[2])
    finally:
        follower.close()


def _apply(setting: Setting, version: str) -> None:
    manifest: Json = yaml.safe_load(stack.render("digits", version=version))
    manifest["spec"]["rollout"] = ROLLOUT
    setting.kubectl.apply(json.dumps(manifest))


def _round(setting: Setting, follower: Follower, *, first: bool) -> Round:
    better = setting.versions[2]
    forward = time.time()
    if first:
        _apply(setting, better)
    else:
        _millgate(setting, "retry")  # it is rejected since it was left
    follower.await_status(lambda status: _newest(status) == (better, "Promoted"), "promotion", ROUND_SECONDS)
    time.sleep(ALONE_SECONDS)
    asked = time.time()
    _millgate(setting, "rollback")
    done = time.time()
    time.sleep(QUIET_SECONDS)
    return Round(forward, asked, done)


def _newest(status: Json) -> tuple[str, str]:
    newest = next(iter(status.get("history", [])), {"modelVersion": "", "outcome": ""})
    return newest["modelVersion"], newest["outcome"]


def _millgate(setting: Setting, verb: str) -> None:
    setting.kubectl.command([setting.millgate, verb, stack.NAME, "-n", stack.MODEL_NAMESPACE])


def judge(seen: Sequence[Answer], played: Sequence[Round], back: Sequence[float], left: str) -> tuple[Claim, ...]:
    """`back`: when the route was written to the old version; `left`: the version that was gone back from."""
    losses = lost(seen, NOTHING_BROKEN)
    lingers = [_linger(seen, each, following, back, left) for each, following in _pairs(played)]
    known = [linger for linger in lingers if linger is not None]
    commands = [each.done - each.asked for each in played]
    return (
        Claim("requests lost", f"{len(losses)} of {len(seen):,}", not losses and bool(seen)),
        Claim("promotions, and ways back of one write", f"{len(known)} of {len(played)}", len(known) == len(played)),
        Claim("last answer after the write", _spread(known), bool(known) and max(known) <= LINGER_SECONDS),
        Claim("the command had ended after", _spread(commands), bool(commands)),
    )


def _pairs(played: Sequence[Round]) -> list[tuple[Round, float]]:
    """Each round with the time at which the next one began."""
    begins = [each.forward for each in played[1:]] + [float("inf")]
    return list(zip(played, begins, strict=True))


def _linger(seen: Sequence[Answer], played: Round, following: float, back: Sequence[float], left: str) -> float | None:
    """Seconds from the write to the last answer of what was left; None unless there was exactly one write."""
    writes = [at for at in back if played.asked <= at < following]
    if len(writes) != 1:
        return None
    last = max((each.end for each in seen if each.version == left and writes[0] < each.end < following), default=0.0)
    return max(0.0, last - writes[0])


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "never"
    return f"median {median(values):.2f} s, {min(values):.2f} to {max(values):.2f} s"
