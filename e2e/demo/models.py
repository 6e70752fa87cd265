"""What training leaves in a folder for the others: models, facts about them, rows. Reading it imports nothing heavy."""

import json
from dataclasses import dataclass
from pathlib import Path

FACTS = "models.json"
KNOWN = "known.npy"  # the rows that the models learned from
REPLAY = "rows.json"  # the rows that the clients replay, with their labels


@dataclass(frozen=True)
class Trained:
    """A model as the demo registers it. Shares are of the rows that are replayed; `accuracy` of the answered ones."""

    version: int
    title: str
    file: str
    accuracy: float
    failing_rows: tuple[int, ...]
    failing_share: float


def read(folder: Path) -> tuple[Trained, ...]:
    facts = json.loads((folder / FACTS).read_text())
    return tuple(Trained(**{**fact, "failing_rows": tuple(fact["failing_rows"])}) for fact in facts)
