"""What is checked is what is asked: Prometheus' own parser sees each selector of an accepted query in its namespace."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millgate.gates.counters import Owner
from millgate.gates.promql import Names, QueryRefusedError, prepare
from millgate.gates.selectors import narrowed
from tests.controlplane.prometheus_process import PrometheusProcess

NAMES = Names(namespace="risk", name="fraud", candidate="rnew", stable="rold")
FRAGMENTS = [
    *('a{namespace="$(namespace)"}', "b{namespace='risk'}", '{__name__="c",namespace="risk"}', "d", 'e{namespace="x"}'),
    *('f{namespace="risk",n="', "f{namespace='risk',n='", '"}', "'}", '\\"', "\\'", "\\\\", "\\n", '"', "'", "`", "#"),
    *("\n", "\t", " ", "\r", "\u2028", "\u00a0", "(", ")", "{", "}", "[5m]", "[5m:1m]", ",", "=", "=~", "!=", " or "),
    *(" and on() ", " + ", " / ", " unless ", "sum(", "rate(", "max by (x) (", "topk(1, ", "scalar(", "absent("),
    *(" offset 5m", " @ 1", " @ end()", " bool ", "$(name)", "$(candidate)", "5m", "1", "NaN", "info(", '"namespace"'),
]

ORDINARY = [
    "up",
    "up{}",
    'sum(rate(e{r="$(candidate)"}[5m])) by (x) / on(x) group_left(z) b',
    "topk(scalar(a), b) + c",
    "max_over_time((a or b)[1h:1m]) > bool 1",
    'a{x="y",} offset -5m @ start() # comment {',
    'histogram_quantile(0.99, sum by (le) (rate(job:d_bucket{n=~"$(name)-.*"}[5m])))',
    'label_replace(absent(a), "b", "$1", "c", "(.*)") unless ignoring(x) d',
    '{"up"} * on() group_right {__name__=~"b.+", x!~"}{"}',
    "-a ^ Inf - avg without (x) (b) % 2e3",
    "start + SUM(end) and on() min",
    "quantile_over_time(0.9, memory_bytes[1h30m]) atan2 predict_linear(a[5m:1m], 3600)",
]


def parsed(prometheus: PrometheusProcess, promql: str) -> Any:
    """Prometheus' syntax tree; None where it finds none."""
    asked = f"{prometheus.url}/api/v1/parse_query?{urllib.parse.urlencode({'query': promql})}"
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


def test_prometheus_shows_its_selectors(prometheus: PrometheusProcess) -> None:
    found = [one["matchers"] for one in selectors(parsed(prometheus, 'sum(rate(a{x="y"}[5m])) / b'))]
    assert [[matcher["value"] for matcher in matchers] for matchers in found] == [["y", "a"], ["b"]]


def plain(node: Any, values: Mapping[str, str]) -> Any:
    """A tree of Prometheus without what Millgate may add: the namespace, and the values of placeholders."""
    if isinstance(node, dict):
        kept = {key: plain(child, values) for key, child in node.items()}
        if node.get("type") in ("vectorSelector", "matrixSelector"):
            others = [one for one in kept["matchers"] if one["name"] != "namespace"]
            kept["matchers"] = sorted(others, key=lambda one: sorted(one.items()))
        return kept
    if isinstance(node, list):
        return [plain(child, values) for child in node]
    if isinstance(node, str):
        for placeholder, value in values.items():
            node = node.replace(f"$({placeholder})", value)
    return node


def check(prometheus: PrometheusProcess, promql: str, names: Names) -> bool:
    """Whether the query is sent. If it is, Prometheus reads what was written, in this namespace alone."""
    try:
        sent = prepare(promql, names)
    except QueryRefusedError:
        return False
    tree = parsed(prometheus, sent)
    if tree is None:
        return False  # then it is not run either
    for selector in selectors(tree):
        own = [(one["type"], one["value"]) for one in selector["matchers"] if one["name"] == "namespace"]
        assert own, sent
        assert set(own) == {("=", names.namespace)}, sent
    values = names.by_placeholder()
    written = parsed(prometheus, promql)
    assert plain(written, values) == plain(tree, {}), sent
    return True


@settings(max_examples=600, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=9).map("".join))
def test_no_accepted_query_reads_another_namespace(prometheus: PrometheusProcess, text: str) -> None:
    for promql in (text, f"d {text}", f'a{{namespace="risk"}}{text}', f'sum(a{{n="{text}"}})', f"sum(d{{{text}}})"):
        check(prometheus, promql, NAMES)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.sampled_from(['"', "'"]))
def test_no_value_changes_what_prometheus_reads(
    prometheus: PrometheusProcess, name: str, candidate: str, stable: str, quote: str
) -> None:
    template = 'sum by (x) (rate(a{n="$(name)",c!="$(candidate)"}[5m])) / on() b{s="x $(stable) $(name)"}'
    hostile = Names(namespace="risk", name=name, candidate=candidate, stable=stable)
    check(prometheus, template.replace('"', quote), hostile)


@pytest.mark.parametrize("promql", [*ORDINARY, *(one.replace('"', "'") for one in ORDINARY)])
def test_ordinary_queries_without_a_namespace_are_sent(prometheus: PrometheusProcess, promql: str) -> None:
    assert check(prometheus, promql, NAMES)


SELECTORS = [
    "a",
    "a{",
    "}",
    '"',
    "'",
    "\\",
    "n",
    "=",
    "=~",
    "!=",
    ",",
    " or ",
    " ",
    'namespace="x"',
    "pod",
    ".*",
    "#",
    "(",
    "[5m]",
]


@settings(max_examples=600, deadline=None)
@given(st.lists(st.sampled_from(SELECTORS), max_size=10).map("".join), st.text(max_size=20))
def test_no_metric_that_a_user_names_is_read_of_other_pods(
    prometheus: PrometheusProcess, text: str, value: str
) -> None:
    owners = [Owner("rnew", "fraud-rnew"), Owner("rold", "fraud-rold")]
    for selector in (text, f"a{{{text}}}", f'a{{n="{value}"}}', f"a{{n='{text}'}}"):
        try:
            sent = narrowed(selector, "risk", owners)
        except QueryRefusedError:
            continue
        tree = parsed(prometheus, sent)
        if tree is None:
            continue  # then it is not run either
        assert tree["type"] == "vectorSelector", sent
        matchers = [(one["name"], one["type"], one["value"]) for one in tree["matchers"]]
        assert ("namespace", "=", "risk") in matchers, sent
        assert ("pod", "=~", "|".join(owner.pod_pattern for owner in owners)) in matchers, sent
