"""How far a batch has come, kept beside its output: what a process that was ended left for the next one."""

import os
from pathlib import Path
from typing import Any

import msgspec

from millgate_serving.batch.problem import BatchError


class Identity(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What must be the same for a batch to be taken up again. The time is the input's last change, in nanoseconds."""

    input: str
    input_bytes: int
    input_changed: int
    model: str
    version: str
    digest: str
    keep: tuple[str, ...]
    drop: tuple[str, ...]
    serving: str


class State(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Positions are those of the reader and of the two writers; `complete` when nothing is left but the names."""

    identity: Identity
    input_position: int = 0
    output_position: int = 0
    rejected_position: int = 0
    scored: int = 0
    rejected: int = 0
    seconds: float = 0.0
    complete: bool = False

    @property
    def rows(self) -> int:
        return self.scored + self.rejected


def file_of(output: Path) -> Path:
    return output.with_name(output.name + ".progress.json")


def report_of(output: Path) -> Path:
    return output.with_name(output.name + ".report.json")


def read(path: Path, kind: Any) -> Any:
    """None where there is none. Raises BatchError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BatchError(f"{path} is damaged; --restart scores everything again") from error


def write(path: Path, document: Any) -> None:
    """All or nothing, also when the machine loses its power."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
