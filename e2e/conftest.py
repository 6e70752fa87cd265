"""One cluster for all end-to-end tests: the demo's, with everything in it but the releases."""

from collections.abc import Iterator

import pytest

from e2e.cluster import provider
from e2e.cluster.controlplane import Options
from e2e.demo import cli, story


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cluster", help="the cluster's name (default: made from the checkout's path)")


@pytest.fixture(scope="session")
def setting(request: pytest.FixtureRequest) -> Iterator[story.Setting]:
    """Found running, it is left running; otherwise it ends with the tests."""
    name = request.config.getoption("--cluster")
    ran = provider.choose(name, "node", Options()).status().running
    try:
        yield cli.prepare(name)
    finally:
        if not ran:
            cli.down(name)
