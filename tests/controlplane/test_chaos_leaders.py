"""Two operators at once: the one that leads is killed again and again in the middle of rollouts; the other goes on."""

import asyncio
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from millgate.kube.api import KubeApi
from tests.controlplane.operator_process import OperatorProcess
from tests.controlplane.plane import eventually, new_namespace
from tests.controlplane.release_cases import Releases
from tests.controlplane.release_people import GOOD, Person, ended_as_it_would_have, nothing_is_left
from tests.controlplane.release_promises import hold
from tests.controlplane.release_record import Record, recorded
from tests.controlplane.release_town import Town

HANDOVERS = 2
SEED = 20261123
DURATION_SECONDS = 5
TERMS = {"durationSeconds": DURATION_SECONDS, "renewDeadlineSeconds": 4, "periodSeconds": 0.5}
# The standby begins to count when it sees the last renewal, looks once in a period, and may have to wait for a turn.
HANDOVER_SECONDS = DURATION_SECONDS + 1.5


async def test_killing_the_leader_hands_over_in_time_and_no_promise_is_broken(
    api: KubeApi, town: Town, tmp_path: Path, record_property: Any
) -> None:
    chance, stop = random.Random(SEED), asyncio.Event()
    with new_namespace(town.kubectl, "pair") as namespace, recorded(town.plane, namespace) as record:
        config = {"watchNamespaces": [namespace], "lease": {"name": "pair", "namespace": namespace, **TERMS}}
        first, second = (OperatorProcess(town.plane, tmp_path, pod=pod, **config) for pod in ("first", "second"))
        people = [Person(Releases(api, record), name, stop) for name in ("steady", "fickle")]
        seconds = []
        with first, second:
            async with asyncio.TaskGroup() as group:
                group.create_task(people[0].promotes(GOOD))
                group.create_task(people[1].changes_their_mind_at_half())
                for _ in range(HANDOVERS):
                    leader, standby = await roles((first, second))
                    await asyncio.sleep(chance.uniform(0.5, 3.0))
                    assert standby.metric("millgate_reconciles_total") == 0, "the standby acts"
                    killed = time.time()
                    leader.kill()
                    await eventually(lambda one=standby: leads(one), what="the standby leads")
                    seconds.append(taken_over(record, standby, killed) - killed)
                    leader.start()
                stop.set()
        changes = record.changes()
    for person in people:
        told = hold(changes, person.name)
        ended_as_it_would_have(told, {"Promoted", "Superseded"})
        nothing_is_left(told)
    record_property("handover_seconds", [round(one, 2) for one in seconds])
    assert max(seconds) <= HANDOVER_SECONDS, seconds


async def roles(pair: Sequence[OperatorProcess]) -> tuple[OperatorProcess, OperatorProcess]:
    """(the one that leads, the one that stands by and is ready)."""

    def found() -> list[OperatorProcess]:
        ready = all(one.get("/readyz")[0] == 200 for one in pair)
        return [one for one in sorted(pair, key=leads, reverse=True) if ready and any(map(leads, pair))]

    leader, standby = await eventually(found, seconds=60, what="one leads and the other is ready")
    return leader, standby


def leads(operator: OperatorProcess) -> bool:
    return operator.metric("millgate_leader") == 1.0


def taken_over(record: Record, standby: OperatorProcess, since: float) -> float:
    """When the lease became the standby's, in Unix seconds."""
    name = standby.log_path.stem
    return min(
        change.at
        for change in record.changes()
        if change.kind == "Lease" and change.at > since and change.obj["spec"]["holderIdentity"] == name
    )
