"""Where things stand in the text of a query: its words, its selectors, and the character at which it goes wrong.

The syntax tree of promql_parser has no positions. What is found here is only trusted once the tree agrees with it.
"""

import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import promql_parser

CONTEXT_CHARACTERS = 24
# Strings that run over the end of a line are left to the parser, which refuses them.
_TOKEN = re.compile(
    r"""(?P<space>[ \t\n]+ | \#[^\n]*)
      | (?P<string>"(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*')
      | (?P<word>[A-Za-z_:][A-Za-z0-9_:]*)
      | (?P<number>[0-9.][A-Za-z0-9_.]*)
      | (?P<sign>.)""",
    re.VERBOSE | re.DOTALL,
)
_WITH_LABELS = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_NO_METRIC = _WITH_LABELS | {"and", "or", "unless", "atan2", "bool", "offset", "inf", "nan"}
_AGGREGATIONS = frozenset(
    {"sum", "avg", "count", "min", "max", "group", "stddev", "stdvar", "topk", "bottomk", "count_values", "quantile"}
    | {"limitk", "limit_ratio"}
)
# How the parser calls a text that no continuation could make right; everything else may only be unfinished.
_DEAD = ("invalid promql query", "unexpected", "unknown escape", "bad number", "illegal regex", "must not be set twice")
_UNFINISHED = ("unexpected end of input", "unexpected eof")
_FUNCTION = re.compile(r"function (?:with name )?'(\w+)'|call to '(\w+)'")
_CLOSERS = {"(": ")", "[": "]", "{": "}"}
_OPERANDS = ("", " x", " 1", "(x)", " (x) (x)")
_IN_BRACKETS = ("", "1m", "1m:")
_IN_BRACES = ("", '="x"', '"x"', 'x="x"')


@dataclass(frozen=True)
class Token:
    kind: str  # string | word | number | sign
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    def is_of(self, words: Set[str]) -> bool:
        return self.kind == "word" and self.text.lower() in words


@dataclass(frozen=True)
class Matcher:
    """One `label="value"` between the braces of a selector."""

    start: int
    end: int


@dataclass(frozen=True)
class Selector:
    """A metric with or without matchers. `brace` is the place of its opening brace, if it has one."""

    start: int
    end: int
    brace: int | None = None
    matchers: tuple[Matcher, ...] = ()


def tokens_of(text: str) -> tuple[Token, ...]:
    """The words of a query without spaces and comments."""
    found = (match for match in _TOKEN.finditer(text) if match.lastgroup != "space")
    return tuple(Token(str(match.lastgroup), match.group(), match.start()) for match in found)


def selectors_of(tokens: Sequence[Token]) -> tuple[Selector, ...]:
    """Every vector selector, in the order of the text."""
    return tuple(_selectors(tokens))


def _selectors(tokens: Sequence[Token]) -> Iterator[Selector]:
    index = 0
    while index < len(tokens):
        token = tokens[index]
        following = tokens[index + 1].text if index + 1 < len(tokens) else ""
        if token.text == "[":
            index = _after(tokens, index, "]")
        elif token.is_of(_WITH_LABELS) and following == "(":
            index = _after(tokens, index + 1, ")")
        elif token.text == "{":
            end = _after(tokens, index, "}")
            yield _braced(tokens[index:end], token.start)
            index = end
        elif token.kind == "word" and following == "{" and not token.is_of(_NO_METRIC):
            end = _after(tokens, index + 1, "}")
            yield _braced(tokens[index + 1 : end], token.start)
            index = end
        else:
            if _is_metric(token, following):
                yield Selector(token.start, token.end)
            index += 1


def _after(tokens: Sequence[Token], opening: int, closer: str) -> int:
    """The index behind the closing sign of the bracket at `opening`; these brackets do not nest."""
    for index in range(opening + 1, len(tokens)):
        if tokens[index].text == closer:
            return index + 1
    return len(tokens)


def _is_metric(token: Token, following: str) -> bool:
    """A word by itself; one before a bracket is a function, one before `by` an aggregation."""
    is_called = following == "(" or following.lower() in {"by", "without"}
    return token.kind == "word" and not is_called and not token.is_of(_NO_METRIC)


def _braced(tokens: Sequence[Token], start: int) -> Selector:
    inside = tokens[1:-1]
    commas = [-1, *(index for index, token in enumerate(inside) if token.text == ","), len(inside)]
    parts = [inside[before + 1 : after] for before, after in pairwise(commas)]
    matchers = tuple(Matcher(part[0].start, part[-1].end) for part in parts if part)
    return Selector(start, tokens[-1].end, tokens[0].start, matchers)


def pointed(text: str, index: int) -> str:
    """'at character 7: sum(a{→x="y"})', with as much of the text around it as a line holds."""
    first, last = max(0, index - CONTEXT_CHARACTERS), index + CONTEXT_CHARACTERS
    before = ("…" if first > 0 else "") + text[first:index]
    after = text[index:last] + ("…" if last < len(text) else "")
    return f"at character {index + 1}: " + f"{before}→{after}".replace("\n", " ")


def where_wrong(text: str, tokens: Sequence[Token], said: str) -> int:
    """The index of the character at which `text` went wrong, of which the parser said only `said`.

    It is where the first word stands that no continuation can follow; the end when something is missing there.
    """
    called = _FUNCTION.search(said)
    if called is not None:
        return _call(tokens, {called.group(1) or called.group(2)})
    if "aggregat" in said:
        return _call(tokens, _AGGREGATIONS)
    alive, dead = 0, len(tokens) + 1
    while dead - alive > 1:
        middle = (alive + dead) // 2
        if middle <= len(tokens) and _can_go_on(text, tokens[:middle]):
            alive = middle
        else:
            dead = middle
    return tokens[alive].start if alive < len(tokens) else len(text.rstrip())


def _call(tokens: Sequence[Token], names: Set[str]) -> int:
    """The first call of one of the names, which are in small letters."""
    before = {"(", "by", "without"}
    called = (one.start for one, following in pairwise(tokens) if following.text.lower() in before and one.is_of(names))
    return next(called, 0)


def _can_go_on(text: str, tokens: Sequence[Token]) -> bool:
    """Whether some continuation of these words is PromQL, as far as its grammar goes."""
    if not tokens:
        return True
    prefix = text[: tokens[-1].end]
    opened = _opened(tokens)
    if opened is None:
        return False
    tails = {"[": _IN_BRACKETS, "{": _IN_BRACES}.get(opened[-1] if opened else "", _OPERANDS)
    closers = "".join(_CLOSERS[sign] for sign in reversed(opened))
    ends = ("", " x") if opened else ("",)
    return any(_is_grammatical(f"{prefix}{tail}{closers}{end}") for tail in tails for end in ends)


def _opened(tokens: Sequence[Token]) -> str | None:
    """The brackets that are open behind these words; None when one is closed that was not open."""
    opened = ""
    for token in tokens:
        if token.kind != "sign":
            continue
        if token.text in _CLOSERS:
            opened += token.text
        elif token.text in _CLOSERS.values():
            if not opened or _CLOSERS[opened[-1]] != token.text:
                return None
            opened = opened[:-1]
    return opened


def _is_grammatical(text: str) -> bool:
    try:
        promql_parser.parse(text)
    except ValueError as error:
        said = str(error)
        return any(word in said for word in _UNFINISHED) or not any(word in said for word in _DEAD)
    return True


def tree_of(text: str) -> Any:
    """The syntax tree. Raises ValueError with what the parser says, which has no place in it."""
    return promql_parser.parse(text)
