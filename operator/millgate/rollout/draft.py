"""A status on its way from what is stored to what will be stored, with the events that the changes give."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from millgate.api.conditions import EventReason
from millgate.api.status import RolloutStatus, Status
from millgate.rollout.plan import Event


@dataclass(frozen=True)
class Draft:
    """Immutable: each change gives a new draft, so a handler can be read from top to bottom."""

    status: Status
    events: tuple[Event, ...] = ()

    @property
    def rollout(self) -> RolloutStatus | None:
        return self.status.rollout

    def with_status(self, **changes: Any) -> "Draft":
        return replace(self, status=self.status.model_copy(update=changes))

    def with_rollout(self, **changes: Any) -> "Draft":
        if self.status.rollout is None:
            return self
        return self.with_status(rollout=self.status.rollout.model_copy(update=changes))

    def saying(self, reason: EventReason, message: str, kind: Literal["Normal", "Warning"] = "Normal") -> "Draft":
        return replace(self, events=(*self.events, Event(kind, reason, message)))
