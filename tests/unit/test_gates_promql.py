"""A user's PromQL is held in its namespace and keeps its shape, or is refused with the place of its error."""

import re
import time
from pathlib import Path

import promql_parser
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from millgate.api.gate import Gate
from millgate.gates.promql import Names, QueryRefusedError, prepare

NAMES = Names(namespace="risk", name="fraud", candidate="rnew", stable="rold")
IN = 'namespace="risk"'


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
        ('a{namespace="$(namespace)",r=~"$(stable)|x"} > 2', 'a{namespace="risk",r=~"rold|x"} > 2'),
        ("topk(1, a) # $(stable)\n", 'topk(1, a{namespace="risk"}) # rold\n'),
    ],
)
def test_placeholders_are_filled_in(promql: str, sent: str) -> None:
    assert prepare(promql, NAMES) == sent


@pytest.mark.parametrize(
    ("promql", "sent"),
    [
        ("up", f"up{{{IN}}}"),
        ("up{}", f"up{{{IN}}}"),
        ('up {x="y"}', f'up {{{IN},x="y"}}'),
        ('up{x="y",} offset -5m @ start()', f'up{{{IN},x="y",}} offset -5m @ start()'),
        ('{"up"}', f'{{{IN},"up"}}'),
        ('{__name__=~"a|b"}', f'{{{IN},__name__=~"a|b"}}'),
        ("a # {x\n / b{ # c\n}", f"a{{{IN}}} # {{x\n / b{{{IN} # c\n}}"),
        (
            'sum(rate(e{r="$(candidate)"}[5m])) by (x) / on(x) group_left(z) b',
            f'sum(rate(e{{{IN},r="rnew"}}[5m])) by (x) / on(x) group_left(z) b{{{IN}}}',
        ),
        ("a * on() group_right b", f"a{{{IN}}} * on() group_right b{{{IN}}}"),
        ("topk(scalar(a), b) + c", f"topk(scalar(a{{{IN}}}), b{{{IN}}}) + c{{{IN}}}"),
        ("max_over_time((a or b)[1h:1m])", f"max_over_time((a{{{IN}}} or b{{{IN}}})[1h:1m])"),
        ("rate(job:errors:sum[5m]) > bool 1", f"rate(job:errors:sum{{{IN}}}[5m]) > bool 1"),
        ("-a ^ Inf - nan", f"-a{{{IN}}} ^ Inf - nan"),
        ("start + SUM(end) unless sum", f"start{{{IN}}} + SUM(end{{{IN}}}) unless sum{{{IN}}}"),
        ('label_replace(a, "b", "$1", "c", "(.*)")', f'label_replace(a{{{IN}}}, "b", "$1", "c", "(.*)")'),
        ("a{x=\"}\",y='{'}", f"a{{{IN},x=\"}}\",y='{{'}}"),
    ],
)
def test_a_selector_that_names_no_namespace_gets_its_own(promql: str, sent: str) -> None:
    assert prepare(promql, NAMES) == sent


@pytest.mark.parametrize(
    ("promql", "place"),
    [
        ('sum(a{namespace="other"})', "character 7: sum(a{→namespace="),
        ('a{x="y", namespace=~"risk"}', 'character 10: a{x="y", →namespace=~'),
        ('a{namespace!="risk"}', "character 3: a{→namespace!="),
        ('a{namespace="risk",namespace=""}', 'character 20: a{namespace="risk",→namespace=""'),
        ('a{"namespace"="x"}', 'character 3: a{→"namespace"'),
        ('a{namespace="$(name)"}', "character 3: a{→namespace="),
        ('up / {__name__=~".+",namespace="other"}', 'character 22: up / {__name__=~".+",→namespace="other"}'),
    ],
)
def test_another_namespace_is_refused_with_its_place_and_what_is_allowed(promql: str, place: str) -> None:
    with pytest.raises(QueryRefusedError) as refused:
        prepare(promql, NAMES)
    assert place in str(refused.value)
    assert 'only namespace="risk" is allowed, and may be left out' in str(refused.value)


@pytest.mark.parametrize(
    ("promql", "words"),
    [
        ('{x="y" or namespace="other"}', "'or' between matchers could leave the namespace, at character 1: →{x="),
        ("1 + info(a)", "info() reads metrics of every namespace, at character 5: 1 + →info(a)"),
        ("a[5m]", "range of samples"),
        ("(a[5m:1m])", "range of samples"),
        ('"text"', "a string"),
        ("vector(1)", "reads no metric"),
        ("a + $(revision)", "$(revision) is not one of $(namespace), $(name), $(candidate), $(stable), at character 5"),
        ("$(name){}", "inside of a string, at character 1: →$(name){}"),
        ('a{$(name)="x"}', 'inside of a string, at character 3: a{→$(name)="x"}'),
        ("a # \r or b", "character 5 is a control character"),
        ("a{x=`$(name)`}", "a backtick at character 5: a{x=→`$(name)`}"),
        ("a and", "at character 6: a and→"),
        ("a b", "not PromQL, at character 3: a →b"),
        ("a + / b", "at character 5: a + →/ b"),
        ("sum by a (b)", "at character 8: sum by →a (b)"),
        ("a == 1 2", "at character 8: a == 1 →2"),
        ("sum(a", "unclosed left parenthesis, at character 6: sum(a→"),
        ("sum(a))", "unexpected right parenthesis ')', at character 7: sum(a)→)"),
        ('a{x="y', "unterminated quoted string"),
        ("a{x=y}", "at character 5: a{x=→y}"),
        ('a{x=="y"}', 'at character 5: a{x=→="y"}'),
        ('a{x="y"}}', 'at character 9: a{x="y"}→}'),
        ('a{1="x"}', 'at character 3: a{→1="x"}'),
        ("a[5x]", "bad number or duration syntax: 5x, at character 3: a[→5x]"),
        (r'a{x="\q"}', r"unknown escape sequence 'q', at character 5: a{x=→"),
        ('a{x=~"("}', "illegal regex for (, at character 6: a{x=~→"),
        ("1 - rat(a[5m])", "unknown function with name 'rat', at character 5: 1 - →rat(a[5m])"),
        ("a / rate(b)", "expected type matrix in call to function 'rate', got vector, at character 5: a / →rate(b)"),
        ("a / topk(b)", "at character 5: a / →topk(b)"),
        ("a;b", "unexpected character: ';', at character 2: a→;b"),
        ("by", "not all selectors of the query are understood"),
        ("+".join(["a"] * 300), "599 words and signs; at most 500"),
        ("", "not PromQL"),
    ],
)
def test_what_is_no_query_of_one_number_is_refused_with_the_character(promql: str, words: str) -> None:
    with pytest.raises(QueryRefusedError) as refused:
        prepare(promql, NAMES)
    assert words in str(refused.value)


def test_a_long_query_is_read_as_quickly_as_a_reconcile_may_last() -> None:
    started = time.process_time()
    prepare("+".join(["a"] * 250), NAMES)
    assert time.process_time() - started < 2


WITHOUT_QUOTES = st.text(st.characters(exclude_characters="\"'"), max_size=300)


@given(WITHOUT_QUOTES, WITHOUT_QUOTES)
def test_a_query_that_goes_wrong_in_its_middle_is_refused_whatever_is_around_it(before: str, after: str) -> None:
    with pytest.raises(QueryRefusedError, match=r"character|query|PromQL"):
        prepare(f"{before}\n a }} b \n{after}", NAMES)


def selectors_in(tree: object) -> list[promql_parser.VectorSelector]:
    found: list[promql_parser.VectorSelector] = []

    def visit(node: object) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)

    promql_parser.walk(tree, visit)
    return found


def shape(tree: object) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []

    def visit(node: object) -> None:
        matchers = getattr(getattr(node, "matchers", None), "matchers", [])
        found.append((type(node).__name__, *(f"{one.name}{one.op}" for one in matchers if one.name != "namespace")))

    promql_parser.walk(tree, visit)
    return found


@given(
    namespace=st.text(max_size=40),
    name=st.text(max_size=40),
    candidate=st.text(max_size=40),
    quote=st.sampled_from(['"', "'"]),
)
def test_no_value_changes_the_shape_of_a_query(namespace: str, name: str, candidate: str, quote: str) -> None:
    matchers = 'n="$(name)",c!="$(candidate)"'.replace('"', quote)
    template = f"sum(rate(a{{{matchers}}}[5m]))"
    try:
        sent = prepare(template, Names(namespace=namespace, name=name, candidate=candidate, stable="x"))
    except QueryRefusedError:
        return  # refused is safe as well
    tree = promql_parser.parse(sent)
    assert shape(tree) == shape(promql_parser.parse(template))
    selector = tree.expr.args[0].vector_selector
    assert [matcher.value for matcher in selector.matchers.matchers] == [namespace, name, candidate]


@given(st.text(alphabet="ab{}[]()\"'`\\$=~!,#\n namespcrik5m:+orudt", max_size=60))
def test_whatever_a_user_writes_every_selector_that_is_sent_names_the_namespace(text: str) -> None:
    for promql in (text, f"a {text}", f'a{{namespace="risk"}} {text}'):
        try:
            sent = prepare(promql, NAMES)
        except QueryRefusedError:
            continue
        selectors = selectors_in(promql_parser.parse(sent))
        assert selectors
        for selector in selectors:
            own = [(m.op, m.value) for m in selector.matchers.matchers if m.name == "namespace"]
            assert own
            assert all(op == promql_parser.MatchOp.Equal and value == "risk" for op, value in own)
            assert not selector.matchers.or_matchers


def test_the_gate_on_later_labels_that_the_documentation_shows_is_one() -> None:
    page = (Path(__file__).parents[2] / "docs" / "serving-observing.md").read_text()
    (block,) = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (gate,) = (Gate.model_validate(one) for one in yaml.safe_load(block))
    assert gate.query is not None
    assert prepare(gate.query.promql, NAMES).count(IN) == 4
