"""What a person asks for by the annotation `millgate.dev/request`: 'Abort rollout=fraud-7-r5b1aa2 id=9f2c', say."""

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum

REQUEST_ANNOTATION = "millgate.dev/request"
_WORD = re.compile(r"^[A-Za-z0-9._-]{1,253}$")


class RequestAction(StrEnum):
    PROMOTE = "Promote"
    ABORT = "Abort"
    RETRY = "Retry"
    ROLLBACK = "Rollback"
    PAUSE = "Pause"
    RESUME = "Resume"


@dataclass(frozen=True)
class Request:
    """A request that can be understood. `rollout` binds it, so that a late 'Promote' cannot hit another candidate."""

    id: str
    action: RequestAction
    rollout: str | None = None


@dataclass(frozen=True)
class MalformedRequest:
    """A request that cannot be understood; it is answered, never ignored."""

    id: str
    text: str
    message: str


def parse_request(text: str) -> Request | MalformedRequest:
    """Read the annotation. A text without an id is named by its own hash, so that it is answered once."""
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    words = text.split()
    allowed = ", ".join(RequestAction)
    if not words or words[0] not in set(RequestAction):
        return MalformedRequest(digest, text, f"the first word must be one of {allowed}")
    fields = dict(word.split("=", 1) for word in words[1:] if "=" in word)
    if len(fields) != len(words) - 1 or not set(fields) <= {"rollout", "id"}:
        return MalformedRequest(digest, text, "after the action only 'rollout=…' and 'id=…' may follow, once each")
    if not all(_WORD.match(value) for value in fields.values()):
        return MalformedRequest(digest, text, "'rollout' and 'id' may hold letters, digits, '.', '_' and '-' only")
    return Request(fields.get("id", digest), RequestAction(words[0]), fields.get("rollout"))


def format_request(request: Request) -> str:
    """The annotation's text; `parse_request` reads it back."""
    bound = f" rollout={request.rollout}" if request.rollout else ""
    return f"{request.action.value}{bound} id={request.id}"
