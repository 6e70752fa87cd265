"""Text from pods, made fit for a status: one bounded line, and the JSON by which a model server says why it ended or
what its check has found.
"""

import json
from dataclasses import dataclass
from typing import Any

from millgate.api.conditions import Reason
from millgate.controller.finding import Finding

MESSAGE_CHARACTERS = 512


@dataclass(frozen=True)
class LastWords:
    """What a container left in its termination message. `reason` only if it is one that Millgate knows."""

    message: str = ""
    reason: Reason | None = None
    digest: str | None = None
    fingerprint: str | None = None
    finding: Finding | None = None


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
    finding = Finding.of(document)
    word = error.get("reason") if finding is None else document.get("reason")
    message = one_line(error.get("message") or document.get("message") or "")
    reason = next((reason for reason in Reason if reason == word), None)
    # That a bound was exceeded the sentence of a check says with figures; why it could not tell is said by the word.
    if word is not None and reason is None and (finding is None or finding.verdict != "Fail"):
        message = one_line(f"{word}: {message}")
    digest, fingerprint = _digest(document.get("digest")), _fingerprint(document.get("fingerprint"))
    return LastWords(message, reason, digest, fingerprint, finding)


def _digest(value: Any) -> str | None:
    algorithm, _, digits = value.partition(":") if isinstance(value, str) else ("", "", "")
    ok = algorithm == "sha256" and len(digits) == 64 and set(digits) <= set("0123456789abcdef")
    return value if ok else None


def _fingerprint(value: Any) -> str | None:
    """Of at most 64 files; see the serving image's report."""
    ok = isinstance(value, str) and 0 < len(value) <= 256 and set(value) <= set("0123456789abcdef")
    return value if ok else None
