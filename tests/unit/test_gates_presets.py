"""What a Compare gate reads, in PromQL: only counters of its own namespace and revisions, whatever a user writes."""

from typing import Any

import promql_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millgate.api.spec import Compare
from millgate.gates.counters import Owner
from millgate.gates.expressions import Scope, counters_expression, history_expression
from millgate.gates.gate_course import CompareCourse
from millgate.gates.latency import Bound
from millgate.gates.promql import QueryRefusedError
from millgate.gates.selectors import checked, narrowed

OWNERS = (Owner("rnew", "fraud-rnew"), Owner("rold", "fraud-rold"))
SCOPE = Scope("risk", OWNERS)
RATE = {"statistic": "Rate", "numerator": 'hits{code=~"5.."}', "denominator": "hits"}


def course(name: str = "gate", bound: Bound | None = None, **compare: Any) -> CompareCourse:
    return CompareCourse(name, Compare.model_validate(compare), 0.01, bound=bound)


def expression(*gates: CompareCourse) -> str:
    reads = [gate.reads for gate in gates if gate.reads is not None]
    return counters_expression(SCOPE, reads, [one for gate in gates for one in gate.wanted], 60)


def selectors(promql: str) -> list[Any]:
    found: list[Any] = []

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)

    promql_parser.walk(promql_parser.parse(promql), visit)
    return found


def matchers(selector: Any) -> set[tuple[str, str, str]]:
    return {(one.name, str(one.op).removeprefix("MatchOp."), one.value) for one in selector.matchers.matchers}


def test_the_presets_of_shares_are_one_selector_and_nothing_around_it() -> None:
    latency = course(preset="Latency", bound=Bound("0.25", 0))
    assert expression(course(preset="Errors"), latency) == (
        'last_over_time({__name__=~"millgate_request_duration_seconds_bucket|millgate_request_duration_seconds_count'
        '|millgate_request_errors_total|millgate_requests_total",namespace="risk",revision=~"rnew|rold",'
        'le=~"|0\\\\.25"}[60s])'
    )


def test_every_selector_of_every_gate_names_the_namespace_and_the_revisions() -> None:
    gates = (
        course("errors", preset="Errors"),
        course("predictions", preset="Predictions"),
        course("own", **RATE),
        course("slow", statistic="Exceedance", histogram="took", bound=Bound("2.5", 0)),
        course("shape", statistic="Distribution", histogram='score{kind="a"}'),
    )
    found = selectors(expression(*gates))
    assert len(found) == 7  # counts, shapes, 'hits' with and without a code, a histogram's two counters, a shape
    for selector in found:
        held = matchers(selector)
        assert ("namespace", "Equal", "risk") in held
        assert any(name in {"revision", "pod"} and op == "Re" for name, op, _ in held)
    assert ("le", "Equal", "2.5") in matchers(found[-2]) | matchers(found[-3])


def test_what_several_gates_want_is_read_once() -> None:
    mean = course("tokens", statistic="Mean", numerator="tokens", denominator="hits")
    assert len(selectors(expression(course("own", **RATE), mean))) == 3


def test_the_buckets_of_stables_hour_are_found_by_gate() -> None:
    slow = course("slow", statistic="Exceedance", histogram="took")
    promql = history_expression(Scope("risk", OWNERS[1:]), slow.wanted_for_bound, preset=True)
    assert len(selectors(promql)) == 2
    assert all(f'"{tag}"' in promql for tag in (*slow.bound_tags, "latency"))
    assert "rnew" not in promql


@pytest.mark.parametrize(
    ("pod", "revision"),
    [
        ("fraud-rnew-5d8f7-x2x4z", "rnew"),
        ("fraud-rold-5d8f7-x2x4z", "rold"),
        ("fraud-rold-baseline-5d8f7-x2x4z", None),
        ("fraud-rnew-more-5d8f7-x2x4z", None),
        ("my-fraud-rnew-5d8f7-x2x4z", None),
        ("fraud-rnew", None),
        ("", None),
    ],
)
def test_a_pods_name_tells_its_revision(pod: str, revision: str | None) -> None:
    owners = [owner.hash for owner in OWNERS if owner.owns({"pod": pod}, by_pod=True)]
    assert owners == ([] if revision is None else [revision])


@pytest.mark.parametrize(
    ("selector", "words"),
    [
        ("sum(hits)", "nothing around it"),
        ("hits[5m]", "nothing around it"),
        ("hits offset 1m", "nothing around it"),
        ("hits @ 5", "nothing around it"),
        ("hits + hits", "nothing around it"),
        ('"hits"', "nothing around it"),
        ('{code="5"}', "name of one metric"),
        ('{__name__=~"a|b"}', "name of one metric"),
        ('hits{a="b" or c="d"}', "'or'"),
        ("hits{a=`b`}", "may not stand"),
        ("hits{", "is not a selector"),
        ("hits\n", "may not stand"),
    ],
)
def test_what_is_no_plain_selector_is_refused(selector: str, words: str) -> None:
    with pytest.raises(QueryRefusedError, match=words):
        checked(selector)


NAMES = st.from_regex(r"\A[a-zA-Z_:][a-zA-Z0-9_:]{0,20}\Z")
LABELS = st.from_regex(r"\A[a-z_][a-zA-Z0-9_]{0,20}\Z")


@given(NAMES, LABELS, st.sampled_from(["=", "!="]), st.text(max_size=40), st.text(max_size=20))
def test_no_value_changes_the_shape_of_what_is_asked(
    name: str, label: str, operator: str, value: str, namespace: str
) -> None:
    """Whatever stands in a label's value or in a namespace stays inside its string."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    try:
        promql = narrowed(f'{name}{{{label}{operator}"{escaped}"}}', namespace, OWNERS)
    except QueryRefusedError:
        return
    (selector,) = selectors(promql)
    pods = "|".join(owner.pod_pattern for owner in OWNERS)
    assert [(one.name, one.value) for one in selector.matchers.matchers] == [
        ("__name__", name),
        (label, value),
        ("namespace", namespace),
        ("pod", pods),
    ]
