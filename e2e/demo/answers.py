"""What the clients saw: one answer each, and what kind of answer it was."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

SERVER_FAILED = 500


@dataclass(frozen=True, slots=True)
class Answer:
    """Times are seconds of the epoch on the clients' clock. Code 0: there was no answer, `error` tells why."""

    start: float
    end: float
    code: int
    version: str | None
    connection: str
    row: int
    right: bool | None
    error: str | None


def parse(rows: Iterable[Sequence[Any]]) -> list[Answer]:
    """From the page that the clients' pod gives."""
    return [Answer(*row) for row in rows]


class Kind(StrEnum):
    SERVED = "served"
    BAD = "bad"
    LOST = "lost"


@dataclass(frozen=True)
class Broken:
    """The version that fails on purpose: on which rows, and from when it could have been asked."""

    version: str
    rows: frozenset[int]
    since: float

    def kind_of(self, answer: Answer) -> Kind:
        """An error names no version. It is this version's own only where no other version would have failed.

        The other versions answer every row, and a model is a function of its row: so a failure on one of these rows is
        this version's, and any other failure is a request that was lost.
        """
        if answer.code == 200:
            return Kind.SERVED
        own = answer.code == SERVER_FAILED and answer.row in self.rows and answer.end >= self.since
        return Kind.BAD if own else Kind.LOST

    def is_by(self, answer: Answer) -> bool:
        return answer.version == self.version or self.kind_of(answer) is Kind.BAD
