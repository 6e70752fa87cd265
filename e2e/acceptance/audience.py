"""The clients of a test: the demo's, at a rate, and what they were answered so far."""

import time
from collections import Counter
from collections.abc import Sequence

from e2e.acceptance.world import World
from e2e.demo import models, stack
from e2e.demo.answers import Answer
from e2e.demo.story import answers

SHOWN = 10


class Audience:
    """Clients that ask the live Service from `start` to `stop`, half of them on connections that they keep."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._heard: list[Answer] = []

    def start(self, requests_per_second: int) -> None:
        self.stop()
        rows = self._world.folder / models.REPLAY
        stack.start_clients(self._world.kubectl, self._world.images, rows, requests_per_second)

    def stop(self) -> None:
        self._world.kubectl.run(
            "delete", "pod", stack.CLIENTS, "-n", stack.MODEL_NAMESPACE, "--ignore-not-found", "--wait"
        )

    def answers(self) -> list[Answer]:
        """All so far, in the order of their ends."""
        self._heard += answers(self._world.kubectl, after=len(self._heard))
        return self._heard


def failed(answers: Sequence[Answer]) -> list[Answer]:
    return [answer for answer in answers if answer.code != 200]


def described(failures: Sequence[Answer]) -> str:
    """For a person who has to find the cause: when, on what kind of connection, after how long, what was said."""
    kinds = Counter((answer.code, answer.connection, answer.error) for answer in failures)
    lines = [f"{count} x {code} {connection}: {error}" for (code, connection, error), count in kinds.most_common()]
    for answer in failures[:SHOWN]:
        at = time.strftime("%H:%M:%S", time.gmtime(answer.start))
        lines.append(
            f"{at}{answer.start % 1:.3f} for {answer.end - answer.start:.3f} s, {answer.connection}: {answer.error}"
        )
    return "\n".join(lines)
