"""Fixtures of the tests on a real API server: one cluster for the session, one namespace for each test."""

from collections.abc import AsyncIterator, Iterator

import pytest

from e2e.cluster.controlplane import ControlPlane
from millgate.kube.api import KubeApi
from millgate.sources.prometheus import Prometheus
from tests.controlplane.evidence_case import Counting
from tests.controlplane.plane import Clerk, Kubectl, control_plane, new_namespace
from tests.controlplane.prometheus_process import Page, PrometheusProcess
from tests.controlplane.release_cases import Releases
from tests.controlplane.release_town import Town, open_town


@pytest.fixture(scope="session")
def cluster() -> Iterator[ControlPlane]:
    """etcd, API server, controllers, scheduler and KWOK's pods, with Millgate's CRD; its audit log is on.

    All tests of a session share it: do not stop it (use `plane.control_plane()` for that).
    """
    with control_plane(audit=True) as plane:
        yield plane


@pytest.fixture(scope="session")
def kubectl(cluster: ControlPlane) -> Kubectl:
    return Kubectl(cluster.kubeconfig)


@pytest.fixture
def namespace(kubectl: Kubectl) -> Iterator[str]:
    """A namespace for this test alone."""
    with new_namespace(kubectl) as name:
        yield name


@pytest.fixture
async def api(cluster: ControlPlane) -> AsyncIterator[KubeApi]:
    """The operator's own client, as the cluster's administrator."""
    async with await KubeApi.connect(kubeconfig=str(cluster.kubeconfig)) as connected:
        yield connected


@pytest.fixture(scope="session")
def clerk(cluster: ControlPlane) -> Clerk:
    """Says what the API server thinks of an object without storing it."""
    return Clerk(cluster)


@pytest.fixture(scope="session")
def town(cluster: ControlPlane, kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """An operator for tests of releases, with no more rights than the chart gives it, and a real Prometheus.

    All such tests share its namespace: a ModelDeployment needs a name of its own. Leave all of it running.
    """
    with open_town(cluster, kubectl, tmp_path_factory.mktemp("town")) as opened:
        yield opened


@pytest.fixture
def releases(api: KubeApi, town: Town) -> Releases:
    return Releases(api, town.record)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusProcess]:
    """A real Prometheus for the tests of one file, each of which tells a story in a namespace of its own."""
    page = Page()
    process = PrometheusProcess(tmp_path_factory.mktemp("prometheus"), page)
    process.start()
    yield process
    process.stop()
    page.close()


@pytest.fixture
def metrics(prometheus: PrometheusProcess) -> Iterator[Counting]:
    client = Prometheus(prometheus.url, timeout_seconds=10)
    yield Counting(client)
    client.close()
