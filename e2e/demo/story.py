"""The story that the demo tells: v1 is released, v2 is promoted, v3 is taken back, a person goes back to v1."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from e2e.demo import models, stack
from e2e.demo.answers import Answer, Broken, parse
from e2e.demo.clients import LARGEST_PAGE
from e2e.demo.images import Images
from e2e.demo.kubectl import Kubectl
from e2e.demo.report import Told
from e2e.demo.watch import Follower, Routes, outcomes

REQUESTS_PER_SECOND = 150
ROLLOUT_SECONDS = 240.0
# How long clients see v1 alone before anything changes, and the end after everything has.
BEFORE_SECONDS = 8.0
AFTER_SECONDS = 5.0
ANSWERS = f"/api/v1/namespaces/{stack.MODEL_NAMESPACE}/pods/{stack.CLIENTS}:8080/proxy/answers"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Setting:
    """What the story is told with. `versions` are the registry's, of the models 1 to 3."""

    kubectl: Kubectl
    images: Images
    folder: Path
    versions: dict[int, str]
    millgate: str


def tell(setting: Setting, say: Say) -> Told:
    """Play it through and give all that the report needs. Raises CommandError or StoryError."""
    kubectl, versions = setting.kubectl, setting.versions
    applied_at = time.time()
    kubectl.apply(stack.render("digits", version=versions[1]))
    follower = Follower(kubectl, stack.MODEL_NAMESPACE, stack.NAME, say)
    try:
        follower.note(f"v{versions[1]} applied", applied_at)
        kubectl.run(
            *("wait", "--for=condition=Ready", f"modeldeployment/{stack.NAME}", "-n", stack.MODEL_NAMESPACE),
            "--timeout=240s",
        )
        follower.note(f"v{versions[1]} serves: kubectl wait returned")
        stack.start_clients(kubectl, setting.images, setting.folder / models.REPLAY, REQUESTS_PER_SECOND)
        follower.note(f"clients send {REQUESTS_PER_SECOND} requests a second")
        return _releases(setting, follower)
    finally:
        follower.close()


def _releases(setting: Setting, follower: Follower) -> Told:
    versions = setting.versions
    routes = Routes(setting.kubectl, stack.MODEL_NAMESPACE, stack.NAME)
    try:
        time.sleep(BEFORE_SECONDS)
        _release(setting, follower, versions[2])
        since = _release(setting, follower, versions[3])
        asked, done = _roll_back(setting, follower)
        time.sleep(AFTER_SECONDS)
    finally:
        routes.close()
    trained = models.read(setting.folder)
    return Told(
        titles={versions[model.version]: model.title for model in trained},
        moments=follower.moments,
        outcomes=outcomes(follower.status),
        answers=tuple(answers(setting.kubectl)),
        routes=routes.named(follower.versions),
        broken=Broken(versions[3], frozenset(trained[2].failing_rows), since),
        rollback_asked=asked,
        rollback_done=done,
        rolled_back_from=versions[2],
        rolled_back_to=versions[1],
    )


def _release(setting: Setting, follower: Follower, version: str) -> float:
    """As a team would: one field of the spec. Returns when it was asked for, once it has ended either way."""
    asked = time.time()
    setting.kubectl.apply(stack.render("digits", version=version))
    follower.note(f"v{version} applied", asked)
    follower.await_outcome(version, ROLLOUT_SECONDS)
    return asked


def _roll_back(setting: Setting, follower: Follower) -> tuple[float, float]:
    """By the one command that a person types. When it was typed, and when it had ended."""
    asked = time.time()
    follower.note("kubectl millgate rollback", asked)
    said = setting.kubectl.command([setting.millgate, "rollback", stack.NAME, "-n", stack.MODEL_NAMESPACE])
    done = time.time()
    follower.note(f"the command said: {' '.join(said.split())}", done)
    return asked, done


def answers(kubectl: Kubectl, after: int = 0) -> list[Answer]:
    """What the clients keep, but for the first `after`. A page that is not full is the last: they go on asking."""
    found: list[Answer] = []
    while True:
        page = parse(kubectl.raw(f"{ANSWERS}?since={after + len(found)}")["answers"])
        found += page
        if len(page) < LARGEST_PAGE:
            return found
