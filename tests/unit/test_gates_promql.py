"""A user's PromQL stays in its namespace and keeps its shape, or is refused with the place."""

import promql_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millgate.gates.promql import Names, QueryRefusedError, prepare

NAMES = Names(namespace="risk", name="fraud", candidate="rnew", stable="rold")
IN = 'namespace="$(namespace)"'


@pytest.mark.parametrize(
    ("promql", "sent"),
    [
        ('up{namespace="$(namespace)"}', 'up{namespace="risk"}'),
        ('up{namespace="risk"}', 'up{namespace="risk"}'),
        ('up{"namespace"="risk"}', 'up{"namespace"="risk"}'),
        (
            'sum(rate(e{namespace="$(namespace)",revision="$(candidate)",name="$(name)"}[5m]))',
            'sum(rate(e{namespace="risk",revision="rnew",name="fraud"}[5m]))',
        ),
        (f"max(a{{{IN}}}) - on() max(b{{{IN}}})", 'max(a{namespace="risk"}) - on() max(b{namespace="risk"})'),
        (f"max_over_time(sum(a{{{IN}}})[1h:1m])", 'max_over_time(sum(a{namespace="risk"})[1h:1m])'),
        (f'a{{{IN},r=~"$(stable)|x"}} > 2', 'a{namespace="risk",r=~"rold|x"} > 2'),
        (f"topk(1, a{{{IN}}}) # $(stable)\n", 'topk(1, a{namespace="risk"}) # rold\n'),
    ],
)
def test_placeholders_are_filled_in(promql: str, sent: str) -> None:
    assert prepare(promql, NAMES) == sent


@pytest.mark.parametrize(
    ("promql", "words"),
    [
        ("up", 'the selector up{} lacks the matcher namespace="$(namespace)"'),
        ('sum(a{namespace="other"})', 'a{namespace="other"} lacks'),
        ('a{namespace=~"risk"}', "lacks the matcher"),
        ('a{namespace!="risk"}', "lacks the matcher"),
        (f"a{{{IN}}} / b", "the selector b{} lacks"),
        (f"a{{{IN}}} and on(pod) rate(b[5m])", "the selector b{} lacks"),
        (f"topk(scalar(b), a{{{IN}}})", "the selector b{} lacks"),
        (f"max_over_time((a{{{IN}}} or b)[1h:1m])", "the selector b{} lacks"),
        (f'{{__name__=~".+",{IN} or namespace="other"}}', "'or' between its matchers"),
        (f"info(a{{{IN}}})", "info() reads metrics of every namespace"),
        (f"a{{{IN}}}[5m]", "range of samples"),
        (f"(a{{{IN}}}[5m:1m])", "range of samples"),
        ('"text"', "a string"),
        ("vector(1)", "reads no metric"),
        (f"a{{{IN}}} + $(revision)", "$(revision) at character 31 is not one of $(namespace), $(name)"),
        (f"$(name){{{IN}}}", "near character 1"),
        (f'a{{{IN},$(name)="x"}}', "near character 28"),
        (f"rat(a{{{IN}}}[5m])", "unknown function with name 'rat'"),
        (f"sum(a{{{IN}}}", "at the end"),
        (f"a{{{IN}}} # \r or b", "character 31 is a control character"),
        (f"a{{{IN},x=`$(name)`}}", "is a backtick"),
        ("", "not PromQL"),
    ],
)
def test_what_leaves_the_namespace_or_is_no_number_is_refused_with_the_place(promql: str, words: str) -> None:
    with pytest.raises(QueryRefusedError) as refused:
        prepare(promql, NAMES)
    assert words in str(refused.value)


def shape(tree: object) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []

    def visit(node: object) -> None:
        matchers = getattr(getattr(node, "matchers", None), "matchers", [])
        found.append((type(node).__name__, *(f"{matcher.name}{matcher.op}" for matcher in matchers)))

    promql_parser.walk(tree, visit)
    return found


@given(st.text(max_size=40), st.text(max_size=40), st.sampled_from(['"', "'"]))
def test_no_value_changes_the_shape_of_a_query(name: str, candidate: str, quote: str) -> None:
    matchers = 'namespace="$(namespace)",n="$(name)",c!="$(candidate)"'.replace('"', quote)
    template = f"sum(rate(a{{{matchers}}}[5m]))"
    hostile = Names(namespace="risk", name=name, candidate=candidate, stable="x")
    try:
        sent = prepare(template, hostile)
    except QueryRefusedError:
        return  # refused is safe as well
    tree = promql_parser.parse(sent)
    assert shape(tree) == shape(promql_parser.parse(template))
    selector = tree.expr.args[0].vector_selector
    assert [matcher.value for matcher in selector.matchers.matchers] == ["risk", name, candidate]


@given(st.text(alphabet="ab{}[]()\"'`\\$=~!,#\n namespcrik5m:+orudt", max_size=60))
def test_whatever_a_user_writes_every_selector_that_is_sent_names_the_namespace(text: str) -> None:
    try:
        sent = prepare(f'a{{namespace="risk"}} {text}', NAMES)
    except QueryRefusedError:
        return
    selectors = []
    promql_parser.walk(
        promql_parser.parse(sent),
        lambda node: selectors.append(node) if isinstance(node, promql_parser.VectorSelector) else None,
    )
    assert selectors
    for selector in selectors:
        equal = [m for m in selector.matchers.matchers if m.op == promql_parser.MatchOp.Equal]
        assert ("namespace", "risk") in [(m.name, m.value) for m in equal]
