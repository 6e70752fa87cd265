"""Text from pods, made fit for a status: one bounded line, and the JSON by which a model server says why it ended or
what its check has found.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from millgate.api.conditions import Reason

MESSAGE_CHARACTERS = 512
_MOST = 2**53


@dataclass(frozen=True)
class LastWords:
    """What a container left in its termination message. `reason` only if it is one that Millgate knows."""

    message: str = ""
    reason: Reason | None = None
    digest: str | None = None
    finding: "Finding | None" = None


@dataclass(frozen=True)
class Finding:
    """What a check of the serving image says (docs/checks.md): `verdict` is `Pass`, `Fail` or `Unknown`."""

    check: str
    verdict: str
    figures: Mapping[str, float] = field(default_factory=dict)

    def figure(self, name: str) -> str | None:
        """As status keeps numbers."""
        return f"{self.figures[name]:.6g}" if name in self.figures else None

    @property
    def samples(self) -> int | None:
        """Rows or requests; None for a number that no status could hold."""
        found = next((self.figures[name] for name in ("rows", "requests", "samples") if name in self.figures), -1)
        return int(found) if 0 <= found < _MOST else None


def one_line(text: object) -> str:
    """Anybody's text, without control characters and no longer than a status should carry."""
    line = " ".join("".join(character if character.isprintable() else " " for character in str(text)).split())
    return line if len(line) <= MESSAGE_CHARACTERS else line[: MESSAGE_CHARACTERS - 1] + "…"


def last_words(text: str | None) -> LastWords:
    """`{"digest": "sha256:…", "error": {"reason": "…", "message": "…"}}`, `{"message": "…"}`, a check's verdict, or
    any text.
    """
    try:
        document = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return LastWords(one_line(text))
    if not isinstance(document, dict):
        return LastWords(one_line(text))
    error = document.get("error")
    if not isinstance(error, dict):
        error = {} if error is None else {"message": error}
    finding = _finding(document)
    word = error.get("reason") if finding is None else document.get("reason")
    message = one_line(error.get("message") or document.get("message") or "")
    reason = next((reason for reason in Reason if reason == word), None)
    # That a bound was exceeded the sentence of a check says with figures; why it could not tell is said by the word.
    if word is not None and reason is None and (finding is None or finding.verdict != "Fail"):
        message = one_line(f"{word}: {message}")
    return LastWords(message, reason, _digest(document.get("digest")), finding)


def _finding(document: Mapping[str, Any]) -> Finding | None:
    check, verdict, figures = (document.get(name) for name in ("check", "verdict", "figures"))
    if not isinstance(check, str) or verdict not in {"Pass", "Fail", "Unknown"}:
        return None
    named = figures if isinstance(figures, dict) else {}
    return Finding(check, str(verdict), {name: float(value) for name, value in named.items() if _is_number(value)})


def _is_number(value: object) -> bool:
    """Neither NaN nor infinite, nor a whole number that is too large for a float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _digest(value: Any) -> str | None:
    algorithm, _, digits = value.partition(":") if isinstance(value, str) else ("", "", "")
    ok = algorithm == "sha256" and len(digits) == 64 and set(digits) <= set("0123456789abcdef")
    return value if ok else None
