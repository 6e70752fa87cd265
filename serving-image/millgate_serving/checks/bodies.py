"""Requests for the servers of a check, one row each: such as both versions know how to answer."""

from typing import Any

import msgspec

from millgate_serving import example
from millgate_serving.checks import rows
from millgate_serving.checks.subject import Subjects
from millgate_serving.checks.verdict import CheckReason, cannot_tell
from millgate_serving.mlmodel import MlModel

_MAX_ROWS = 1000


def of(subjects: Subjects, data: str) -> list[bytes]:
    """From the file that `data` names, else from the input example of stable, or of the candidate.

    With the inputs of stable, where there is one: the candidate takes them too, if their schemas are compatible. Ends
    the check with NoData or DataInvalid.
    """
    candidate = subjects.candidate.described()
    models = [subjects.stable.described(), candidate] if subjects.stable else [candidate]
    if data:
        found = rows.read(candidate.directory, data).asked(models[0].signature)[:_MAX_ROWS]
    else:
        found = next(filter(None, map(_example, models)), [])
    if not found:
        raise cannot_tell(CheckReason.NO_DATA, "no version has an input example, and the option data names no rows")
    return [msgspec.json.encode({"rows": [row]}, enc_hook=str) for row in found]


def _example(model: MlModel) -> list[Any]:
    return [] if model.example is None else example.rows(model.example)
