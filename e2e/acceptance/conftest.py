"""Brings the cluster up once for all acceptance tests, and tells at the end what they measured."""

# ruff: noqa: S101  # tests assert

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.acceptance.audience import Audience, described, failed
from e2e.acceptance.release import Release
from e2e.acceptance.world import World, bring_up
from e2e.cluster import provider
from e2e.cluster.controlplane import Options

HERE = Path(__file__).parent
REPLICAS = 3
FIGURES = pytest.StashKey[list[str]]()


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Only when asked for by path: the short end-to-end run must not become a long one."""
    asked = [Path(config.invocation_params.dir, word.partition("::")[0]).resolve() for word in config.args]
    return None if any(path.is_relative_to(HERE) for path in asked) else True


@pytest.fixture(scope="session")
def world(pytestconfig: pytest.Config) -> Iterator[World]:
    """Found running, the cluster is left running; otherwise it ends with the tests."""
    name = pytestconfig.getoption("--cluster") or "acceptance"
    cluster = provider.choose(name, "node", Options())
    ran = cluster.status().running
    try:
        made = bring_up(cluster)
        pytestconfig.stash[FIGURES] = made.figures
        yield made
    finally:
        if not ran:
            cluster.down()


@pytest.fixture
def release(world: World) -> Iterator[Release]:
    """Version 1 serves, and nothing else was ever released."""
    made = Release(world, REPLICAS)
    made.begin(world.versions[1])
    yield made
    made.remove()


@pytest.fixture
def audience(release: Release) -> Iterator[Audience]:
    """Clients that ask all the while; whatever a test does, each of their requests must be answered with 200."""
    made = Audience(release.world)
    made.start(requests_per_second=50)
    yield made
    answers = made.answers()
    made.stop()
    assert answers
    assert not failed(answers), described(failed(answers))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash.get(FIGURES, [])
    if figures:
        terminalreporter.section("measured")
    for line in figures:
        terminalreporter.write_line(line)
