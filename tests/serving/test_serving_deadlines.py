"""A model that is slow or stuck: whoever waits is answered in time, and the probes say what is the matter."""

import asyncio
import json
import threading
import time

import pytest
from serving_process import eventually, serving

from millgate_serving.protection import Protection
from millgate_serving.refusal import Refusal
from millgate_serving.running import Runner

FOR_EVER = 10**12


def asking(rounds: int) -> dict:
    return {"rows": [{"rounds": rounds, "share": 0.5}]}


@pytest.fixture(scope="module")
def impatient(saved_models, tmp_path_factory):
    """A server that answers within half a second, whatever its model does."""
    variables = {"MILLGATE_MODEL_PATH": saved_models("rounds"), "MILLGATE_DEADLINE_SECONDS": 0.5}
    with serving(tmp_path_factory.mktemp("rounds"), **variables) as server:
        yield server.wait_ready()


def test_a_call_that_never_ends_is_ended_and_its_thread_is_free_again(impatient):
    started = time.monotonic()
    answer = impatient.predict(asking(FOR_EVER))
    assert (answer.status, answer.error) == (504, "the model did not answer within the deadline")
    assert time.monotonic() - started < 5
    assert impatient.predict(asking(1)).status == 200
    assert impatient.request("GET", "/readyz").status == 200


def test_a_client_may_shorten_the_deadline_and_never_lengthen_it(impatient):
    body = json.dumps(asking(FOR_EVER)).encode()
    waited = {}
    errors = impatient.samples()["millgate_request_errors_total", ""]
    for wish, status in (("50", 408), ("60000", 504)):
        started = time.monotonic()
        assert impatient.request("POST", "/predict", body, x_request_timeout_ms=wish).status == status
        waited[wish] = time.monotonic() - started
    assert waited["50"] < waited["60000"] < 10
    assert impatient.samples()["millgate_request_errors_total", ""] == errors + 1, "an error is never a client's doing"
    assert "whole milliseconds" in impatient.request("POST", "/predict", body, x_request_timeout_ms="1s").error


def test_a_fast_model_that_once_never_ends_is_ended_on_the_event_loop(impatient):
    """Nothing but the watching thread can help there: the loop itself is where the call is."""
    quick = asking(1)
    for _ in range(60):  # enough to learn that this model is fast and may run on the loop
        assert impatient.predict(quick).status == 200
    answer = impatient.predict(asking(FOR_EVER))
    assert answer.status == 504
    assert impatient.event("model call passed its deadline on the event loop")["deadlineSeconds"] == 0.5
    assert impatient.predict(quick).status == 200


def test_a_stuck_call_is_told_by_readiness_at_once_and_by_liveness_after_a_while(saved_models, tmp_path):
    """A call of Python code cannot be ended; it blocks its thread, and nobody waits for it any more."""
    variables = {
        "MILLGATE_MODEL_PATH": saved_models("sleepy"),
        "MILLGATE_ALLOW_CODE_EXECUTION": "true",
        "MILLGATE_CONVERSION_SECONDS": 0,
        "MILLGATE_DEADLINE_SECONDS": 3,
        "MILLGATE_STUCK_SECONDS": 2,
        "MILLGATE_QUEUE": 2,
    }
    with serving(tmp_path, **variables) as server:
        server.wait_ready()
        answers = []
        stuck = {"rows": [{"seconds": 1000.0, "name": "x"}]}
        clients = [threading.Thread(target=lambda: answers.append(server.predict(stuck))) for _ in range(3)]
        for client in clients:
            client.start()
        eventually(lambda: server.samples()["millgate_waiting_requests", ""] == 2)
        full = server.predict(stuck)
        assert (full.status, full.error) == (503, "the model has more requests than it can answer")
        assert full.headers["retry-after"] == "1"
        for client in clients:
            client.join()
        assert [answer.status for answer in answers] == [504] * 3
        eventually(lambda: server.request("GET", "/readyz").status == 503)
        assert "passed its deadline" in server.request("GET", "/readyz").error
        none = server.predict({"rows": [{"seconds": 0.0, "name": "x"}]})
        assert (none.status, none.error) == (503, "the model does not answer")
        eventually(lambda: server.request("GET", "/livez").status == 503)
        server.terminate()
        assert server.exit_code(30) == 0, "a call that never ends must not keep the process from ending"


# The runner alone


class Gate:
    """Work that ends when it is told to."""

    def __init__(self) -> None:
        self.begun, self.open = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        self.open.wait(20)
        return "done"


async def begun(runner: Runner, work: Gate, **headers: bytes) -> asyncio.Task:
    task = asyncio.create_task(
        runner.run(work, {name.replace("_", "-").encode(): value for name, value in headers.items()})
    )
    await asyncio.to_thread(work.begun.wait, 20)
    return task


async def test_a_request_whose_deadline_passes_in_the_queue_never_reaches_the_model():
    runner, first, second = Runner(Protection(queue=1)), Gate(), Gate()
    one = await begun(runner, first)
    with pytest.raises(Refusal) as refusal:
        await runner.run(second, {b"x-request-timeout-ms": b"20"})
    assert (refusal.value.status, runner.waiting, runner.running) == (408, 0, 1)
    first.open.set()
    assert await one == "done"
    assert not second.begun.is_set()


async def test_as_many_calls_run_at_once_as_are_allowed_and_the_rest_follows_in_order():
    runner, works = Runner(Protection(concurrency=2, queue=2)), [Gate() for _ in range(4)]
    tasks = [asyncio.create_task(runner.run(work, {})) for work in works]
    await asyncio.to_thread(works[1].begun.wait, 20)
    assert (runner.running, runner.waiting) == (2, 2)
    with pytest.raises(Refusal) as refusal:
        await runner.run(Gate(), {})
    assert refusal.value.status == 503
    assert not works[2].begun.is_set()
    works[1].open.set()
    assert await tasks[1] == "done"
    await asyncio.to_thread(works[2].begun.wait, 20)
    assert not works[3].begun.is_set()
    for work in works:
        work.open.set()
    assert await asyncio.gather(*tasks) == ["done"] * 4
    assert (runner.running, runner.waiting) == (0, 0)


@pytest.mark.parametrize(("model_seconds", "wish", "status"), [(31, b"60000", 503), (1, b"999", 408)])
async def test_who_could_not_be_answered_in_time_is_not_made_to_wait(model_seconds, wish, status):
    runner, gate = Runner(Protection(queue=100)), Gate()
    runner._job_seconds = model_seconds  # as the last calls have taken
    one = await begun(runner, gate)
    with pytest.raises(Refusal) as refusal:
        await runner.run(Gate(), {b"x-request-timeout-ms": wish})
    assert refusal.value.status == status
    gate.open.set()
    await one


async def test_what_the_model_raises_reaches_the_one_who_asked():
    runner = Runner(Protection())
    with pytest.raises(ZeroDivisionError):
        await runner.run(lambda: 1 / 0, {})
    assert runner.running == 0


async def test_how_long_a_call_has_passed_its_deadline_is_known_until_it_ends():
    runner, gate = Runner(Protection(deadline_seconds=10)), Gate()
    assert runner.overdue_seconds(time.monotonic() + 1000) == 0
    task = await begun(runner, gate)
    assert runner.overdue_seconds(time.monotonic()) == 0
    assert 89 < runner.overdue_seconds(time.monotonic() + 100) <= 100
    gate.open.set()
    await task
    assert runner.overdue_seconds(time.monotonic() + 100) == 0
    assert Runner(Protection(deadline_seconds=0)).overdue_seconds(1e9) == 0
