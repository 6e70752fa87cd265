"""Traffic by pod counts: what the live Service selects, and what share that gives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millgate.traffic.provider import RevisionPods
from millgate.traffic.replicas import Replicas, shares

BASE = {"millgate.dev/name": "fraud", "millgate.dev/component": "server"}
replicas = Replicas()
hashes = st.from_regex(r"r[0-9a-f]{9}", fullmatch=True)
counts = st.dictionaries(hashes, st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=5)


def pods(**ready_of: tuple[int, int]) -> list[RevisionPods]:
    return [RevisionPods(hash_, pods, ready) for hash_, (pods, ready) in ready_of.items()]


@pytest.mark.parametrize(
    ("weights", "selector"),
    [
        ({"r1": 100}, {**BASE, "millgate.dev/hash": "r1"}),
        ({"r1": 0, "r2": 100}, {**BASE, "millgate.dev/hash": "r2"}),
        ({"r1": 100, "r2": 0}, {**BASE, "millgate.dev/hash": "r1"}),
        ({"r1": 99, "r2": 1}, BASE),
        ({"r1": 50, "r2": 50}, BASE),
    ],
)
def test_the_selector_is_pinned_at_0_and_100_and_open_between(
    weights: dict[str, int], selector: dict[str, str]
) -> None:
    assert replicas.render("fraud", weights)["spec"]["selector"] == selector


@pytest.mark.parametrize("weights", [{}, {"r1": 99}, {"r1": 60, "r2": 60}, {"r1": 110, "r2": -10}])
def test_weights_that_do_not_sum_to_100_are_never_rendered(weights: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="sum to 100"):
        replicas.render("fraud", weights)


@pytest.mark.parametrize(
    ("revisions", "expected"),
    [
        (pods(r1=(9, 9), r2=(1, 1)), {"r1": 90, "r2": 10}),
        (pods(r1=(2, 2), r2=(1, 1)), {"r1": 67, "r2": 33}),
        (pods(r1=(4, 4), r2=(1, 0)), {"r1": 100}),
        (pods(r1=(4, 0), r2=(1, 1)), {"r2": 100}),
        (pods(r1=(3, 0), r2=(1, 0)), {"r1": 75, "r2": 25}),
        (pods(r1=(999, 999), r2=(1, 1)), {"r1": 99, "r2": 1}),
        (pods(r1=(1, 1), r2=(1, 1), r3=(1, 1)), {"r1": 34, "r2": 33, "r3": 33}),
        ([RevisionPods("r1", 3, 3), RevisionPods("r2", 2, 2), RevisionPods("r1", 3, 3)], {"r1": 75, "r2": 25}),
        ([RevisionPods("r1", 3, 0), RevisionPods("r2", 2, 2), RevisionPods("r1", 2, 2)], {"r1": 50, "r2": 50}),
        ([], {}),
    ],
)
def test_an_open_selector_shares_by_ready_pods(revisions: list[RevisionPods], expected: dict[str, int]) -> None:
    route = replicas.render("fraud", {"r1": 50, "r2": 50})
    assert replicas.observe("fraud", route, revisions).weights == expected


@given(counts)
def test_shares_sum_to_100_and_none_that_gets_requests_looks_as_if_it_got_none(
    found: dict[str, tuple[int, int]],
) -> None:
    revisions = [RevisionPods(hash_, ready + more, ready) for hash_, (ready, more) in found.items()]
    given_shares = shares(revisions)
    ready = {revision.hash for revision in revisions if revision.ready}
    if ready:
        assert set(given_shares) == ready
    if given_shares:
        assert sum(given_shares.values()) == 100
        assert min(given_shares.values()) >= 1
    else:
        assert not any(revision.pods for revision in revisions)


@given(hashes, counts)
def test_a_pinned_route_is_read_back_as_it_was_written_whatever_pods_there_are(
    pinned: str, found: dict[str, tuple[int, int]]
) -> None:
    route = replicas.render("fraud", {pinned: 100})
    revisions = [RevisionPods(hash_, ready, ready) for hash_, (ready, _) in found.items()]
    assert replicas.observe("fraud", route, revisions).weights == {pinned: 100}


def test_without_a_route_nothing_is_routed() -> None:
    state = replicas.observe("fraud", None, pods(r1=(1, 1)))
    assert state.weights == {}
    assert state.programmed


@pytest.mark.parametrize("selector", [None, {}, {"app": "mine"}, {**BASE, "millgate.dev/hash": "r1", "zone": "a"}])
def test_a_selector_that_somebody_changed_is_reported_and_no_share_is_claimed(selector: dict[str, str] | None) -> None:
    state = replicas.observe("fraud", {"spec": {"selector": selector}}, pods(r1=(1, 1)))
    assert state.weights == {}
    assert not state.programmed
    assert "fraud" in state.message
