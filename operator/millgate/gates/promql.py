"""A user's PromQL, read as a syntax tree and held inside the namespace of its ModelDeployment.

promql_parser is imported here and nowhere else: whether a query may be asked is known from its text alone, so it is a
judgement and needs no Prometheus.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import promql_parser

PLACEHOLDER = re.compile(r"\$\(([^)]*)\)")
DEAD_ENDS = ("unexpected character", "unexpected right", "unknown function", "unknown escape")
NUMBER_OR_VECTOR = "the query must give a number or an instant vector, and it gives {}: wrap it, as in avg_over_time()"


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
    """The query as it is sent: placeholders filled in, and every selector checked to stay in `names.namespace`.

    Raises QueryRefusedError.
    """
    _refuse_what_parsers_read_differently(promql)
    values = names.by_placeholder()
    for found in PLACEHOLDER.finditer(promql):
        if found.group(1) not in values:
            known = ", ".join(f"$({name})" for name in values)
            raise QueryRefusedError(f"{found.group(0)} at character {found.start() + 1} is not one of {known}")
    template = _parse(promql, promql)
    filled = _fill(promql, values, escape=True)
    tree = _parse(filled, promql)
    _refuse_wrong_type(tree)
    selectors = list(_selectors(tree))
    _refuse_another_shape(list(_selectors(template)), selectors, values)
    if not selectors:
        raise QueryRefusedError("the query reads no metric, so it can say nothing about the candidate")
    for selector in selectors:
        _refuse_other_namespaces(selector, names.namespace)
    return filled


def _refuse_what_parsers_read_differently(promql: str) -> None:
    """What is checked must be what Prometheus reads: constructs on which two parsers may differ are left out.

    A carriage return ends a comment for one and not for the other; only one of them reads escapes between backticks.
    """
    for index, character in enumerate(promql):
        if character not in "\n\t" and not character.isprintable():
            raise QueryRefusedError(f"character {index + 1} is a control character")
    if "`" in promql:
        raise QueryRefusedError(f"character {promql.index('`') + 1} is a backtick: write strings between double quotes")


def _parse(text: str, promql: str) -> Any:
    try:
        return promql_parser.parse(text)
    except ValueError as error:
        raise QueryRefusedError(f"not PromQL: {error}{_place(promql)}") from error


def _place(promql: str) -> str:
    """The shortest beginning that cannot be continued tells where a query went wrong; the parser itself does not."""
    for end in range(1, len(promql) + 1):
        try:
            promql_parser.parse(promql[:end])
        except ValueError as error:
            if any(
                word in str(error)
                for word in ("unexpected character", "unexpected right", "unknown function", "unknown escape")
            ):
                return f" (near character {end}: …{promql[max(0, end - 20) : end]})"
    return f" (at the end: …{promql[-20:]})"


def _fill(promql: str, values: Mapping[str, str], *, escape: bool) -> str:
    def value(found: re.Match[str]) -> str:
        text = values[found.group(1)]
        return _escaped(text) if escape else text

    return PLACEHOLDER.sub(value, promql)


def _escaped(text: str) -> str:
    """`text` as the inside of a PromQL string of either quote."""
    named = {"\\": "\\\\", '"': '\\"', "'": "\\'", "\n": "\\n"}
    return "".join(named.get(character, character) for character in text)


def _refuse_wrong_type(tree: Any) -> None:
    inner = tree
    while isinstance(inner, promql_parser.ParenExpr):
        inner = inner.expr
    if isinstance(inner, promql_parser.StringLiteral):
        raise QueryRefusedError(NUMBER_OR_VECTOR.format("a string"))
    if isinstance(inner, promql_parser.MatrixSelector | promql_parser.SubqueryExpr):
        raise QueryRefusedError(NUMBER_OR_VECTOR.format("a range of samples"))


def _selectors(tree: Any) -> Iterator[Any]:
    """Every vector selector of the query, in order; also those in ranges, subqueries and parameters."""
    found: list[Any] = []

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        if isinstance(node, promql_parser.Call) and node.func.name == "info":
            raise QueryRefusedError("info() reads metrics of every namespace")

    promql_parser.walk(tree, visit)
    yield from found


def _refuse_another_shape(template: list[Any], filled: list[Any], values: Mapping[str, str]) -> None:
    """A value that was filled in must have stayed inside its string, and be read there as it is."""
    before = [[(m.op, m.name, _fill(m.value, values, escape=False)) for m in s.matchers.matchers] for s in template]
    after = [[(m.op, m.name, m.value) for m in s.matchers.matchers] for s in filled]
    if before != after or [s.name for s in template] != [s.name for s in filled]:
        raise QueryRefusedError("a placeholder may only stand inside of a string")


def _refuse_other_namespaces(selector: Any, namespace: str) -> None:
    text = str(selector)
    if selector.matchers.or_matchers:
        raise QueryRefusedError(f"the selector {text} has 'or' between its matchers, which could leave the namespace")
    held = any(
        matcher.op == promql_parser.MatchOp.Equal and matcher.name == "namespace" and matcher.value == namespace
        for matcher in selector.matchers.matchers
    )
    if not held:
        raise QueryRefusedError(f'the selector {text} lacks the matcher namespace="$(namespace)"')
