"""A user's metrics for `Compare`, read as a syntax tree and narrowed to the namespace and the pods of a rollout.

The series of another image have no label `revision`: which revision counted is told by the pod's name.
"""

import re
from collections.abc import Sequence
from typing import Any

import promql_parser

from millgate.gates.counters import Owner
from millgate.gates.promql import QueryRefusedError

_OPERATORS = {"MatchOp.Equal": "=", "MatchOp.NotEqual": "!=", "MatchOp.Re": "=~", "MatchOp.NotRe": "!~"}
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def quoted(text: str) -> str:
    """`text` as a PromQL string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def any_of(texts: Sequence[str]) -> str:
    """A regular expression for any of these very texts."""
    return "|".join(re.escape(text) for text in texts)


def narrowed(selector: str, namespace: str, owners: Sequence[Owner], *, suffix: str = "", le: str | None = None) -> str:
    """The selector, of the pods of `owners` in `namespace` alone; `suffix` names one of a histogram's counters.

    Raises QueryRefusedError where it is anything else than a metric with or without matchers.
    """
    name, matchers = checked(selector)
    pods = "|".join(owner.pod_pattern for owner in owners)
    bucket = [] if le is None else [("le", "=", le)]
    wanted = [
        ("__name__", "=", name + suffix),
        *matchers,
        *bucket,
        ("namespace", "=", namespace),
        ("pod", "=~", pods),
    ]
    return "{" + ",".join(f"{label}{operator}{quoted(value)}" for label, operator, value in wanted) + "}"


def checked(selector: str) -> tuple[str, list[tuple[str, str, str]]]:
    """The metric's name and its matchers: (label, operator, value). Raises QueryRefusedError."""
    for index, character in enumerate(selector):
        if not character.isprintable() or character == "`":
            raise QueryRefusedError(f"character {index + 1} of {selector!r} may not stand in a selector")
    try:
        tree: Any = promql_parser.parse(selector)
    except ValueError as error:
        raise QueryRefusedError(f"{selector!r} is not a selector of PromQL: {error}") from error
    if not isinstance(tree, promql_parser.VectorSelector) or tree.offset is not None or tree.at is not None:
        raise QueryRefusedError(f"{selector!r} must be a metric with or without matchers, and nothing around it")
    if tree.matchers.or_matchers:
        raise QueryRefusedError(f"{selector!r} has 'or' between its matchers, which could leave the namespace")
    found = [(matcher.name, _OPERATORS[str(matcher.op)], matcher.value) for matcher in tree.matchers.matchers]
    named = [value for label, operator, value in found if label == "__name__" and operator == "="]
    name = tree.name or (named[0] if named else "")
    others = [(label, operator, value) for label, operator, value in found if label != "__name__"]
    if _NAME.fullmatch(name) is None or len(others) + len(named) < len(found):
        raise QueryRefusedError(f"{selector!r} must begin with the name of one metric")
    odd = next((label for label, _, _ in others if _LABEL.fullmatch(label) is None), None)
    if odd is not None:
        raise QueryRefusedError(f"{odd!r} in {selector!r} is not the name of a label")
    return name, others
