"""What is checked is what is asked: Prometheus' own parser sees each selector of an accepted query in its namespace."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millgate.gates.promql import Names, QueryRefusedError, prepare
from tests.controlplane.prometheus_process import Page, PrometheusProcess

NAMES = Names(namespace="risk", name="fraud", candidate="rnew", stable="rold")
FRAGMENTS = [
    *('a{namespace="$(namespace)"}', "b{namespace='risk'}", '{__name__="c",namespace="risk"}', "d", 'e{namespace="x"}'),
    *('f{namespace="risk",n="', "f{namespace='risk',n='", '"}', "'}", '\\"', "\\'", "\\\\", "\\n", '"', "'", "`", "#"),
    *("\n", "\t", " ", "\r", "\u2028", "\u00a0", "(", ")", "{", "}", "[5m]", "[5m:1m]", ",", "=", "=~", "!=", " or "),
    *(" and on() ", " + ", " / ", " unless ", "sum(", "rate(", "max by (x) (", "topk(1, ", "scalar(", "absent("),
    *(" offset 5m", " @ 1", " @ end()", " bool ", "$(name)", "$(candidate)", "5m", "1", "NaN", "info(", '"namespace"'),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusProcess]:
    page = Page()
    process = PrometheusProcess(tmp_path_factory.mktemp("prometheus"), page)
    process.start()
    yield process
    process.stop()
    page.close()


def parsed(server: PrometheusProcess, promql: str) -> Any:
    """Prometheus' syntax tree; None where it finds none."""
    asked = f"{server.url}/api/v1/parse_query?{urllib.parse.urlencode({'query': promql})}"
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError:
        return None


def selectors(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if node.get("type") in ("vectorSelector", "matrixSelector"):
            yield node
        for child in node.values():
            yield from selectors(child)
    if isinstance(node, list):
        for child in node:
            yield from selectors(child)


def test_prometheus_shows_its_selectors(server: PrometheusProcess) -> None:
    found = [one["matchers"] for one in selectors(parsed(server, 'sum(rate(a{x="y"}[5m])) / b'))]
    assert [[matcher["value"] for matcher in matchers] for matchers in found] == [["y", "a"], ["b"]]


@settings(max_examples=600, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=9).map("".join))
def test_no_accepted_query_reads_another_namespace(server: PrometheusProcess, text: str) -> None:
    for promql in (text, f'a{{namespace="risk"}}{text}', f'sum(a{{namespace="risk",n="{text}"}})'):
        try:
            sent = prepare(promql, NAMES)
        except QueryRefusedError:
            continue
        tree = parsed(server, sent)
        if tree is None:
            continue  # then it is not run either
        for selector in selectors(tree):
            matchers = [(one["name"], one["type"], one["value"]) for one in selector["matchers"]]
            assert ("namespace", "=", "risk") in matchers, sent
