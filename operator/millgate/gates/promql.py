"""A user's PromQL, read as a syntax tree and held inside the namespace of its ModelDeployment.

Whether a query may be asked is known from its text alone, so it is a judgement and needs no Prometheus.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import promql_parser

from millgate.gates.promql_text import Matcher, Selector, Token, pointed, selectors_of, tokens_of, tree_of, where_wrong

PLACEHOLDER = re.compile(r"\$\(([^)]*)\)")
MAX_WORDS = 500
"""The time that parsing takes grows with the square of a query's length."""
NUMBER_OR_VECTOR = "the query must give a number or an instant vector, and it gives {}: wrap it, as in avg_over_time()"
_HELD = 'namespace="$(namespace)"'


class QueryRefusedError(Exception):
    """The query may not be asked; the message points at the place (reason QueryRefused)."""


@dataclass(frozen=True)
class Names:
    """What the placeholders of a query stand for."""

    namespace: str
    name: str
    candidate: str
    stable: str

    def by_placeholder(self) -> Mapping[str, str]:
        return {
            "namespace": self.namespace,
            "name": self.name,
            "candidate": self.candidate,
            "stable": self.stable,
        }


def prepare(promql: str, names: Names) -> str:
    """The query as it is sent: every selector held in `names.namespace`, and the placeholders filled in.

    A selector without a matcher of the label `namespace` gets one; with another than the ModelDeployment's own the
    query is refused. Raises QueryRefusedError.
    """
    answer = _answered(promql, names)
    if isinstance(answer, str):
        return answer
    raise QueryRefusedError(*answer.args)


@lru_cache(maxsize=1024)
def _answered(promql: str, names: Names) -> str | QueryRefusedError:
    """Remembered, since every reconcile and every look asks it again."""
    try:
        return _prepared(promql, names)
    except QueryRefusedError as refusal:
        return refusal


def _prepared(promql: str, names: Names) -> str:
    _refuse_what_parsers_read_differently(promql)
    values = names.by_placeholder()
    tokens = tokens_of(promql)
    _refuse_placeholders(promql, tokens, values)
    if len(tokens) > MAX_WORDS:
        raise QueryRefusedError(f"the query has {len(tokens)} words and signs; at most {MAX_WORDS} are allowed")
    tree = _parse(promql, tokens)
    _refuse_wrong_type(tree)
    _refuse_info(promql, tokens)
    selectors = selectors_of(tokens)
    _refuse_unless_found(promql, selectors, tree)
    if not selectors:
        raise QueryRefusedError("the query reads no metric, so it can say nothing about the candidate")
    held = _held(promql, [one for one in selectors if not _names_namespace(promql, one, names.namespace)])
    filled = _fill(held, values, escape=True)
    _refuse_another_shape(tree, held, filled, names)
    return filled


def _refuse_what_parsers_read_differently(promql: str) -> None:
    """What is checked must be what Prometheus reads: constructs on which two parsers may differ are left out.

    A carriage return ends a comment for one and not for the other; only one of them reads escapes between backticks.
    """
    for index, character in enumerate(promql):
        if character not in "\n\t" and not character.isprintable():
            raise QueryRefusedError(f"character {index + 1} is a control character")
    if "`" in promql:
        place = pointed(promql, promql.index("`"))
        raise QueryRefusedError(f"a backtick {place} (write strings between double quotes)")


def _refuse_placeholders(promql: str, tokens: Sequence[Token], values: Mapping[str, str]) -> None:
    strings = [(token.start, token.end) for token in tokens if token.kind == "string"]
    for found in PLACEHOLDER.finditer(promql):
        if found.group(1) not in values:
            known = ", ".join(f"$({name})" for name in values)
            place = pointed(promql, found.start())
            raise QueryRefusedError(f"{found.group(0)} is not one of {known}, {place}")
        is_word = any(token.start == found.start() for token in tokens)
        if is_word and not any(start < found.start() < end for start, end in strings):
            place = pointed(promql, found.start())
            raise QueryRefusedError(f"a placeholder may only stand inside of a string, {place}")


def _parse(promql: str, tokens: Sequence[Token]) -> Any:
    try:
        return tree_of(promql)
    except ValueError as error:
        said = str(error)
        place = pointed(promql, where_wrong(promql, tokens, said))
        what = "" if said == "invalid promql query" else f": {said}"
        raise QueryRefusedError(f"not PromQL{what}, {place}") from error


def _refuse_wrong_type(tree: Any) -> None:
    inner = tree
    while isinstance(inner, promql_parser.ParenExpr):
        inner = inner.expr
    if isinstance(inner, promql_parser.StringLiteral):
        raise QueryRefusedError(NUMBER_OR_VECTOR.format("a string"))
    if isinstance(inner, promql_parser.MatrixSelector | promql_parser.SubqueryExpr):
        raise QueryRefusedError(NUMBER_OR_VECTOR.format("a range of samples"))


def _refuse_info(promql: str, tokens: Sequence[Token]) -> None:
    for token, following in pairwise(tokens):
        if token.text == "info" and following.text == "(":
            raise QueryRefusedError(f"info() reads metrics of every namespace, {pointed(promql, token.start)}")


def _refuse_unless_found(promql: str, selectors: Sequence[Selector], tree: Any) -> None:
    """The places that were found must be the selectors that the tree has, neither more nor fewer."""
    found = Counter(_shape(selector) for selector in _selectors(tree))
    for place in selectors:
        one = _alone(promql[place.start : place.end])
        if one is None or found[_shape(one)] == 0:
            message = f'this is not understood, {pointed(promql, place.start)}: write {_HELD} and "" around names'
            raise QueryRefusedError(message)
        if one.matchers.or_matchers:
            message = "'or' between matchers could leave the namespace"
            raise QueryRefusedError(f"{message}, {pointed(promql, place.start)}")
        found[_shape(one)] -= 1
    if found.total():
        raise QueryRefusedError(f"not all selectors of the query are understood: write {_HELD} into each of them")


def _alone(text: str) -> Any:
    """The selector that `text` is; None when it is something else."""
    try:
        tree = tree_of(text)
    except ValueError:
        return None
    return tree if isinstance(tree, promql_parser.VectorSelector) else None


def _names_namespace(promql: str, selector: Selector, namespace: str) -> bool:
    """Whether a selector names its namespace already. Raises QueryRefusedError when it names another."""
    has_own = False
    for place in selector.matchers:
        matcher = _matcher(promql, place)
        if matcher is None or matcher.name != "namespace":
            continue
        if matcher.op != promql_parser.MatchOp.Equal or matcher.value not in ("$(namespace)", namespace):
            message = f"this could leave the namespace, {pointed(promql, place.start)}"
            raise QueryRefusedError(f'{message} (only namespace="{namespace}" is allowed, and may be left out)')
        has_own = True
    return has_own


def _matcher(promql: str, place: Matcher) -> Any:
    """The matcher at a place; None for the name of a metric in quotes."""
    # A matcher that the empty string satisfies makes no selector by itself.
    one = _alone(f'x{{x="x",{promql[place.start : place.end]}}}')
    return None if one is None else one.matchers.matchers[-1]


def _held(promql: str, selectors: Sequence[Selector]) -> str:
    """The query with the namespace written into `selectors`."""
    parts, done = [], 0
    for selector in selectors:
        at = selector.end if selector.brace is None else selector.brace + 1
        comma = "," if selector.matchers else ""
        parts += [promql[done:at], f"{{{_HELD}}}" if selector.brace is None else f"{_HELD}{comma}"]
        done = at
    return "".join((*parts, promql[done:]))


def _fill(promql: str, values: Mapping[str, str], *, escape: bool) -> str:
    def value(found: re.Match[str]) -> str:
        text = values[found.group(1)]
        return _escaped(text) if escape else text

    return PLACEHOLDER.sub(value, promql)


def _escaped(text: str) -> str:
    """`text` as the inside of a PromQL string of either quote."""
    named = {"\\": "\\\\", '"': '\\"', "'": "\\'", "\n": "\\n"}
    return "".join(named.get(character, character) for character in text)


def _nodes(tree: Any) -> Iterator[Any]:
    """Every node of the tree, the outer ones first. The parser's own walk takes minutes for a long query."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(_children(node))


def _children(node: Any) -> list[Any]:
    match node:
        case promql_parser.BinaryExpr():
            return [node.lhs, node.rhs]
        case promql_parser.AggregateExpr():
            return [node.expr] if node.param is None else [node.param, node.expr]
        case promql_parser.Call():
            return list(node.args)
        case promql_parser.ParenExpr() | promql_parser.UnaryExpr() | promql_parser.SubqueryExpr():
            return [node.expr]
        case promql_parser.MatrixSelector():
            return [node.vector_selector]
        case promql_parser.VectorSelector() | promql_parser.NumberLiteral() | promql_parser.StringLiteral():
            return []
    raise QueryRefusedError(f"the query has a part that is not known here: {type(node).__name__}")


def _selectors(tree: Any) -> list[Any]:
    """Every vector selector of the query; also those in ranges, subqueries and parameters."""
    return [node for node in _nodes(tree) if isinstance(node, promql_parser.VectorSelector)]


def _kinds(tree: Any) -> list[str]:
    return [type(node).__name__ for node in _nodes(tree)]


Shape = tuple[str | None, tuple[tuple[str, str, str], ...]]


def _shape(selector: Any) -> Shape:
    matchers = selector.matchers
    listed = [*matchers.matchers, *(one for group in matchers.or_matchers for one in group)]
    return selector.name, tuple((str(one.op), one.name, one.value) for one in listed)


def _refuse_another_shape(tree: Any, held: str, filled: str, names: Names) -> None:
    """What is sent must be what was written, but for the namespace and the values, which stay inside their strings."""
    values = names.by_placeholder()
    own = (str(promql_parser.MatchOp.Equal), "namespace", names.namespace)
    try:
        sent, written = tree_of(filled), tree_of(held)
    except ValueError as error:
        raise QueryRefusedError(f"the query cannot be held in its namespace: {error}") from error
    expected = [_filled(_shape(one), values) for one in _selectors(written)]
    actual = [_shape(one) for one in _selectors(sent)]
    before = [_without_namespace(_filled(_shape(one), values)) for one in _selectors(tree)]
    is_held = all(own in matchers for _, matchers in actual)
    same = actual == expected and [_without_namespace(one) for one in actual] == before
    if not (same and is_held and _kinds(sent) == _kinds(tree)):
        raise QueryRefusedError("a placeholder's value may not change the query")


def _filled(shape: Shape, values: Mapping[str, str]) -> Shape:
    name, matchers = shape
    return name, tuple((op, label, _fill(value, values, escape=False)) for op, label, value in matchers)


def _without_namespace(shape: Shape) -> Shape:
    name, matchers = shape
    return name, tuple(one for one in matchers if one[1] != "namespace")
