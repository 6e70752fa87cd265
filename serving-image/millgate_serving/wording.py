"""How a refusal is worded: what msgspec says, in the words of JSON, with the field first and never a value."""

import re
from collections.abc import Callable, Iterable

import msgspec

from millgate_serving.refusal import Refusal

_SHOWN_FIELDS = 20
_SHOWN_CHARACTERS = 64
_SHOWN_VALUES = 200  # characters of an enumeration

_WORDS = {"int": "integer", "float": "number", "str": "string", "bool": "boolean"}
_UNKNOWN = "Object contains unknown field "


def not_understood(
    error: Exception,
    *,
    allowed: Callable[[str], Iterable[str]],
    enumerated: Callable[[str], Iterable[object]] = lambda _: (),
    prefix: str = "",
) -> Refusal:
    """From what a decoder of msgspec raised: DecodeError, ValidationError, UnicodeDecodeError or RecursionError.

    `allowed` gives the fields that an object at a place may have, `enumerated` the values of an enumeration at a place.
    Places are as msgspec writes them, without the root: `rows[0].amount`, empty for the whole. `prefix` is put before.
    """
    if not isinstance(error, msgspec.ValidationError):
        return Refusal(400, f"{prefix or 'the body'} is not JSON: {_fault(error)}")
    what, _, place = str(error).partition(" - at `$")
    place = place.removesuffix("`").removeprefix(".")
    if what.startswith(_UNKNOWN):
        shown = what.removeprefix(_UNKNOWN).strip("`")[:_SHOWN_CHARACTERS]
        what = f"unknown field '{shown}'; allowed: {listed(allowed(place))}"
    elif what.startswith("Invalid enum value"):  # msgspec repeats the value
        what = one_of(enumerated(place))
    elif what == "Number out of range":
        what = "number out of range; expected one of at most 1.7976931348623157e+308 in size"
    else:
        if what.startswith("Expected"):  # else what is quoted is the name of a field, which may be `float`
            what = re.sub(r"\b(int|float|str|bool)\b", lambda word: _WORDS[word[0]], what)
        what = what.replace("Object missing required field", "missing field").replace("`", "'")
    what = what[0].lower() + what[1:]
    whole = joined(prefix, place)
    return Refusal(400, f"{whole}: {what}" if whole else what)


def joined(prefix: str, place: str) -> str:
    """`inputs[0].data` and `[3]` is `inputs[0].data[3]`; with `a` it is `inputs[0].data.a`."""
    return f"{prefix}.{place}" if prefix and place and not place.startswith("[") else prefix + place


def listed(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - _SHOWN_FIELDS} more" if len(names) > _SHOWN_FIELDS else ""
    return ", ".join(names[:_SHOWN_FIELDS]) + more


def one_of(values: Iterable[object]) -> str:
    """What an enumeration allows, cut short where it is long."""
    text = ", ".join(map(str, values))
    return "must be one of " + (text if len(text) <= _SHOWN_VALUES else f"{text[:_SHOWN_VALUES]}…")


def _fault(error: Exception) -> str:
    """The kind of fault and its byte, which is what msgspec tells; never the content."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error).removeprefix("JSON is malformed: ")
