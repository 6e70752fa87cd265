"""Which hints put a ModelDeployment on the queue while the watches begin."""

from datetime import UTC, datetime

import pytest

from millgate.api.status import RolloutStatus, Stage, Status
from millgate.controller.config import Config
from millgate.controller.hints import Hint
from millgate.controller.process import Operator
from millgate.kube.queue import WorkQueue

KEY = ("risk", "fraud")
NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
IN_FLIGHT = Status(rollout=RolloutStatus(id="fraud-2-r1", stage=Stage.STEPPING, start_time=NOW, stage_start_time=NOW))


@pytest.mark.parametrize(
    ("known", "listed", "queued"),
    [(Status(), False, True), (IN_FLIGHT, True, True), (Status(), True, False), (None, True, False)],
)
async def test_a_child_that_was_listed_is_news_for_a_rollout_in_flight_alone(
    known: Status | None, *, listed: bool, queued: bool
) -> None:
    operator, queue = Operator(Config()), WorkQueue[tuple[str, str]]()
    if known is not None:
        operator._telemetry.show(KEY, known)
    operator._take(queue, Hint(KEY, "Pod", listed=listed))
    assert (queue.take() == KEY) is queued


async def test_a_child_that_was_listed_during_a_reconcile_is_looked_at_after_it() -> None:
    operator, queue = Operator(Config()), WorkQueue[tuple[str, str]]()
    queue.add(KEY)
    assert queue.take() == KEY
    operator._take(queue, Hint(KEY, "Pod", listed=True))
    queue.done(KEY)
    assert queue.take() == KEY
