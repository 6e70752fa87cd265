"""The work queue keeps each promise of its docstring, with a clock of our own."""

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from millgate.kube.queue import WorkQueue


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> WorkQueue[str]:
    return WorkQueue(clock=clock, spread=lambda: 1.0, base_seconds=1.0, cap_seconds=8.0)


def test_a_key_added_many_times_is_taken_once(queue):
    for _ in range(5):
        queue.add("a")
    assert queue.take() == "a"
    queue.done("a")
    assert queue.take() is None


def test_a_key_added_while_busy_is_taken_again_only_after_it_is_done(queue):
    queue.add("a")
    queue.take()
    queue.add("a")
    queue.add("a")
    assert queue.take() is None
    queue.done("a")
    assert queue.take() == "a"


def test_keys_are_taken_in_order_and_the_first_goes_before(queue):
    queue.add("a")
    queue.add("b")
    queue.add("c")
    queue.add("b", first=True)
    assert [queue.take() for _ in range(4)] == ["b", "a", "c", None]


def test_a_busy_key_that_is_added_first_goes_before_others_once_done(queue):
    queue.add("a")
    queue.take()
    queue.add("b")
    queue.add("a", first=True)
    queue.done("a")
    assert queue.take() == "a"


def test_no_more_are_busy_than_may_be_and_those_added_first_have_room_of_their_own(clock):
    queue = WorkQueue[str](most_busy=2, more_first=1, clock=clock)
    for key in "abcd":
        queue.add(key)
    assert [queue.take() for _ in range(3)] == ["a", "b", None]
    queue.add("d", first=True)
    queue.add("e", first=True)
    assert [queue.take() for _ in range(2)] == ["d", None]
    queue.done("a")
    assert [queue.take() for _ in range(2)] == ["e", None]
    queue.done("b")
    assert queue.take() is None, "two that were added first are busy"
    queue.done("d")
    assert queue.take() == "c"


@pytest.mark.parametrize(
    ("delays", "ready_after"),
    [([5.0], 5.0), ([5.0, 2.0], 2.0), ([2.0, 5.0], 2.0), ([0.0], 0.0), ([-3.0], 0.0), ([2.0, 2.0], 2.0)],
)
def test_of_several_delays_the_earliest_holds_and_wakes_once(queue, clock, delays, ready_after):
    for delay in delays:
        queue.after("a", delay)
    assert queue.seconds_to_next() == ready_after
    if ready_after:
        clock.now += ready_after - 0.001
        assert queue.take() is None
        clock.now += 0.001
    assert queue.take() == "a"
    queue.done("a")
    clock.now += 100.0
    assert queue.take() is None
    assert queue.seconds_to_next() is None


def test_taking_a_key_uses_up_its_delay(queue, clock):
    queue.after("a", 5.0)
    queue.add("a")
    assert queue.take() == "a"
    queue.done("a")
    clock.now += 10.0
    assert queue.take() is None


def test_a_delay_that_ends_while_the_key_is_busy_is_not_lost(queue, clock):
    queue.add("a")
    queue.take()
    queue.after("a", 1.0)
    clock.now += 2.0
    assert queue.take() is None
    queue.done("a")
    assert queue.take() == "a"


def test_failures_in_a_row_double_the_delay_up_to_the_cap_and_success_ends_the_row(queue):
    assert [queue.failed("a") for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    queue.succeeded("a")
    assert queue.failed("a") == 1.0


def test_keys_that_failed_together_do_not_come_back_together(clock):
    spread = iter([0.0, 0.5, 1.0])
    queue = WorkQueue[str](clock=clock, spread=lambda: next(spread), base_seconds=1.0)
    assert [queue.failed(key) for key in "abc"] == [0.5, 0.75, 1.0]


def test_a_forgotten_key_leaves_nothing_behind(queue, clock):
    queue.add("a")
    queue.after("a", 1.0)
    queue.failed("a")
    queue.forget("a")
    clock.now += 100.0
    assert queue.take() is None
    assert queue.failed("a") == 1.0


def test_depth_and_age_can_be_seen(queue, clock):
    queue.add("a")
    clock.now += 3.0
    queue.add("b")
    queue.after("c", 60.0)
    state = queue.state()
    assert (state.ready, state.busy, state.delayed, state.oldest_seconds) == (2, 0, 1, 3.0)
    queue.take()
    state = queue.state()
    assert (state.ready, state.busy, state.oldest_seconds) == (1, 1, 0.0)


async def test_a_waiter_is_woken_by_an_addition_and_by_an_earlier_delay():
    queue = WorkQueue[str]()
    queue.after("late", 60.0)
    waiter = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("now")
    assert await asyncio.wait_for(waiter, 1.0) == "now"
    waiter = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.after("soon", 0.01)
    assert await asyncio.wait_for(waiter, 1.0) == "soon"


KEYS = st.sampled_from("abcd")


class AgainstAModel(RuleBasedStateMachine):
    """Random use, against the simplest model of the promises: wanted keys, busy keys, and the time of each delay.

    Two may be busy, and a third one that was added first.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.queue = WorkQueue[str](
            most_busy=2, more_first=1, clock=self.clock, spread=lambda: 1.0, base_seconds=1.0, cap_seconds=64.0
        )
        self.wanted: set[str] = set()
        self.hurried: set[str] = set()
        self.busy: set[str] = set()
        self.due: dict[str, float] = {}
        self.failures: dict[str, int] = {}

    def ripe(self) -> set[str]:
        return {key for key, due in self.due.items() if due <= self.clock.now}

    @rule(key=KEYS, first=st.booleans())
    def add(self, key, first):
        self.queue.add(key, first=first)
        self.wanted.add(key)
        if first:
            self.hurried.add(key)

    @rule(key=KEYS, seconds=st.integers(0, 20))
    def after(self, key, seconds):
        self.queue.after(key, float(seconds))
        self.due[key] = min(self.due.get(key, float("inf")), self.clock.now + seconds)

    @rule(key=KEYS)
    def fail(self, key):
        failures = self.failures.get(key, 0) + 1
        self.failures[key] = failures
        delay = min(64.0, 2.0 ** (failures - 1))
        assert self.queue.failed(key) == delay
        self.due[key] = min(self.due.get(key, float("inf")), self.clock.now + delay)

    @rule(key=KEYS)
    def succeed(self, key):
        self.queue.succeeded(key)
        self.failures.pop(key, None)

    @rule(key=KEYS)
    def forget(self, key):
        self.queue.forget(key)
        self.wanted.discard(key)
        self.hurried.discard(key)
        self.due.pop(key, None)
        self.failures.pop(key, None)

    @rule(seconds=st.integers(0, 30))
    def pass_time(self, seconds):
        self.clock.now += seconds

    @rule()
    def take(self):
        for key in self.ripe():
            del self.due[key]
            self.wanted.add(key)
        key = self.queue.take()
        can_be_taken = self.wanted - self.busy
        if len(self.busy) >= 2 or can_be_taken & self.hurried:
            can_be_taken &= self.hurried if len(self.busy) < 3 else set()
        if key is None:
            assert not can_be_taken
        else:
            assert key in can_be_taken
            self.wanted.discard(key)
            self.hurried.discard(key)
            self.due.pop(key, None)
            self.busy.add(key)

    @precondition(lambda self: self.busy)
    @rule(data=st.data())
    def done(self, data):
        key = data.draw(st.sampled_from(sorted(self.busy)))
        self.queue.done(key)
        self.busy.discard(key)

    @invariant()
    def tells_when_the_next_delay_ends(self):
        seconds = self.queue.seconds_to_next()
        expected = min(self.due.values(), default=None)
        assert seconds == (None if expected is None else max(0.0, expected - self.clock.now))


AgainstAModel.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
TestAgainstAModel = AgainstAModel.TestCase
