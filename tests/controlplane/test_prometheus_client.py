"""The client of Prometheus: typed answers from a real one, and a reason for everything that is no answer."""

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from millgate.api.conditions import Reason
from millgate.sources.prometheus import MetricsError, Prometheus
from tests.controlplane.faulty_server import Faulty
from tests.controlplane.prometheus_process import NOON, Page, PrometheusProcess, free_port

AT = datetime.fromtimestamp(NOON + 60, UTC)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusProcess]:
    page = Page()
    process = PrometheusProcess(tmp_path_factory.mktemp("prometheus"), page)
    process.start()
    minute = [(NOON + 15.0 * index, 10.0 * index) for index in range(5)]
    process.write(
        [
            ({"__name__": "answered", "pod": "a", "namespace": "ns"}, minute),
            ({"__name__": "answered", "pod": "b", "namespace": "ns"}, minute),
        ]
    )
    yield process
    process.stop()
    page.close()


@pytest.fixture
def metrics(server: PrometheusProcess) -> Iterator[Prometheus]:
    client = Prometheus(server.url, timeout_seconds=5)
    yield client
    client.close()


async def refused(client: Prometheus, promql: str = "1") -> MetricsError:
    with pytest.raises(MetricsError) as error:
        await client.query(promql, AT)
    return error.value


async def test_an_instant_query_gives_series_with_labels_and_times(metrics: Prometheus) -> None:
    found = {one.labels["pod"]: one.samples for one in await metrics.query("answered", AT)}
    assert found == {"a": ((NOON + 60, 40.0),), "b": ((NOON + 60, 40.0),)}


@pytest.mark.parametrize(
    ("promql", "expected"), [("3", 3.0), ("scalar(sum(answered))", 80.0), ("sum(answered) * 2", 160.0)]
)
async def test_a_scalar_is_a_series_without_labels(metrics: Prometheus, promql: str, expected: float) -> None:
    (series,) = await metrics.query(promql, AT)
    assert series.labels == {}
    assert series.samples[-1][1] == expected


async def test_nothing_and_no_number_stay_what_they_are(metrics: Prometheus) -> None:
    assert await metrics.query("unheard_of", AT) == ()
    (nan,) = await metrics.query("0 * sum(answered) / 0", AT)
    (inf,) = await metrics.query("sum(answered) / 0", AT)
    assert nan.samples[0][1] != nan.samples[0][1]
    assert inf.samples[0][1] == float("inf")


async def test_a_sample_older_than_the_lookback_is_not_seen(metrics: Prometheus) -> None:
    later = datetime.fromtimestamp(NOON + 100, UTC)
    assert len(await metrics.query("answered", later)) == 2
    assert await metrics.query("answered", later, lookback_seconds=30) == ()


async def test_a_range_has_the_points_that_were_asked_for(metrics: Prometheus) -> None:
    found = await metrics.query_range('last_over_time(answered{pod="a"}[20s])', NOON, NOON + 60, 30)
    assert [one.samples for one in found] == [((NOON, 0.0), (NOON + 30, 20.0), (NOON + 60, 40.0))]
    assert found[0].labels["__name__"] == "answered"


async def test_a_range_of_more_points_than_prometheus_gives_at_once_comes_whole(metrics: Prometheus) -> None:
    (series,) = await metrics.query_range('count_over_time(answered{pod="a"}[1d])', NOON, NOON + 12_000, 1)
    assert len(series.samples) == 12_001
    assert [sample[0] for sample in series.samples] == list(range(NOON, NOON + 12_001))


@pytest.mark.parametrize(
    ("promql", "words"),
    [
        ("sum(", "parse error"),
        ("answered + on() group_left(x) answered", "duplicate series"),
        ('"text"', "no numbers in it"),
    ],
)
async def test_what_cannot_be_judged_is_refused_with_what_prometheus_says(
    metrics: Prometheus, promql: str, words: str
) -> None:
    error = await refused(metrics, promql)
    assert error.reason is Reason.QUERY_REFUSED
    assert words in error.message


async def test_a_prometheus_that_hangs_costs_the_deadline_and_no_more(server: PrometheusProcess) -> None:
    client = Prometheus(server.url, timeout_seconds=0.5, max_concurrent_queries=2)
    with server.frozen():
        start = time.monotonic()
        errors = await asyncio.gather(*(refused(client) for _ in range(6)))
        assert time.monotonic() - start < 2
    assert {error.reason for error in errors} == {Reason.METRICS_UNAVAILABLE}
    assert "within 0.5 s" in errors[0].message
    client.close()
    again = Prometheus(server.url, timeout_seconds=5)
    assert len(await again.query("answered", AT)) == 2
    again.close()


async def test_a_prometheus_that_is_not_there_is_unavailable_without_a_retry() -> None:
    client = Prometheus(f"http://user:hunter2@127.0.0.1:{free_port()}", timeout_seconds=5)
    start = time.monotonic()
    error = await refused(client)
    assert time.monotonic() - start < 1
    assert error.reason is Reason.METRICS_UNAVAILABLE
    assert "connection refused" in error.message
    assert "hunter2" not in error.message
    client.close()


EMPTY = json.dumps({"status": "success", "data": {"resultType": "vector", "result": []}}).encode()
ERROR = json.dumps({"status": "error", "errorType": "bad_data", "error": "parse error at char 4"}).encode()


@pytest.mark.parametrize(
    ("status", "body", "reason", "words"),
    [
        (403, b"Invalid Host header - possible DNS rebinding attack detected", "MetricsHostRefused", "Host header"),
        (403, b"forbidden", "MetricsUnauthorised", "HTTP 403"),
        (401, b"Unauthorized", "MetricsUnauthorised", "HTTP 401"),
        (302, b"", "MetricsUnauthorised", "HTTP 302"),
        (400, ERROR, "QueryRefused", "parse error at char 4"),
        (422, b"many-to-many", "QueryRefused", "many-to-many"),
        (500, b"oops", "MetricsUnavailable", "HTTP 500: oops"),
        (503, b"starting", "MetricsUnavailable", "HTTP 503: starting"),
        (200, b"<html>sign in</html>", "MetricsUnavailable", "is the URL right"),
        (200, b'{"status":"error"}', "MetricsUnavailable", "is the URL right"),
        (200, b'{"data":null}', "MetricsUnavailable", "is the URL right"),
        (200, b'{"data":{"result":[{"metric":{},"histogram":[1,{}]}]}}', "QueryRefused", "native histograms"),
        (200, EMPTY + b" " * 4096, "MetricsUnavailable", "more than 2,048 bytes"),
    ],
)
async def test_each_kind_of_bad_answer_has_its_reason_and_is_not_asked_for_again(
    status: int, body: bytes, reason: str, words: str
) -> None:
    server = Faulty(status, body, headers={"Location": "/login"} if status == 302 else None)
    client = Prometheus(server.url, timeout_seconds=5, max_response_bytes=2048)
    error = await refused(client)
    client.close()
    server.close()
    assert error.reason == reason
    assert words in error.message
    assert len(server.requests) == 1


async def test_an_answer_that_trickles_in_does_not_outlast_the_deadline() -> None:
    server = Faulty(200, EMPTY, seconds_a_byte=0.05)
    client = Prometheus(server.url, timeout_seconds=0.5)
    start = time.monotonic()
    error = await refused(client)
    assert time.monotonic() - start < 1
    assert error.reason is Reason.METRICS_UNAVAILABLE
    client.close()
    server.close()


async def test_credentials_reach_prometheus_and_nobody_else() -> None:
    server = Faulty(403, b"forbidden")
    in_url = Prometheus(server.url.replace("http://", "http://user:hunter2@"), timeout_seconds=5)
    in_header = Prometheus(server.url, timeout_seconds=5, headers={"Authorization": "Bearer hunter2"})
    said = [(await refused(client)).message for client in (in_url, in_header)]
    assert server.requests == ["Basic dXNlcjpodW50ZXIy", "Bearer hunter2"]
    assert "hunter2" not in "".join(said)
    for client in (in_url, in_header):
        client.close()
    server.close()
