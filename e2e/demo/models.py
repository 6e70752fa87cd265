"""What training leaves in a folder for the others: models, facts about them, rows. Reading it imports nothing heavy."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FACTS = "models.json"
OTHERS = "others.json"  # the facts about the fourth and fifth model, which the demo's story does not tell of
KNOWN = "known.npy"  # the rows that the models learned from
REPLAY = "rows.json"  # the rows that the clients replay, with their labels


@dataclass(frozen=True)
class Trained:
    """A model as the demo registers it. Shares are of the rows that are replayed; `accuracy` of the answered ones.

    `answers_file` holds what it answers to the rows that it has learned from.
    """

    version: int
    title: str
    file: str
    answers_file: str
    accuracy: float
    failing_rows: tuple[int, ...]
    failing_share: float


def read(folder: Path) -> tuple[Trained, ...]:
    """The three of the story, in order."""
    return tuple(_trained(fact) for fact in json.loads((folder / FACTS).read_text()))


def others(folder: Path) -> tuple[Trained, ...]:
    """The fourth answers every row, and one label far too often: no error tells of it, its predictions do.

    The fifth raises on a fifth of the rows that the third raises on.
    """
    return tuple(_trained(fact) for fact in json.loads((folder / OTHERS).read_text()))


def _trained(fact: dict[str, Any]) -> Trained:
    return Trained(**{**fact, "failing_rows": tuple(fact["failing_rows"])})
