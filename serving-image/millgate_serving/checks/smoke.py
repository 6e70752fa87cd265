"""Does the candidate answer golden requests as it should?"""

import math
from pathlib import Path
from typing import Any

import msgspec

from millgate_serving import example
from millgate_serving.checks.options import SmokeOptions
from millgate_serving.checks.rows import FOLDER
from millgate_serving.checks.subject import Asked, Subjects, plain
from millgate_serving.checks.verdict import CheckReason, Finding, Verdict, cannot_tell, failed
from millgate_serving.describe import PREDICTIONS
from millgate_serving.engine import Outputs
from millgate_serving.measured import output_names

_LIMIT_BYTES = 64 << 20


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows of one request, and what is expected: of the first output, and of further ones by name."""

    rows: list[Any]
    predictions: list[Any] | None = None
    outputs: dict[str, list[Any]] = {}
    name: str = ""


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cases: list[Case]
    format: int = 1


def check(subjects: Subjects, options: SmokeOptions) -> Finding:
    """Without golden requests the model's own input example is asked: that it is answered, row by row."""
    asked = subjects.candidate.loaded()
    golden = _read(asked.ready.model.directory, options.data)
    if golden is None:
        return _example(asked)
    rows = values = 0
    for number, case in enumerate(golden.cases):
        answered = _by_name(asked.predict(case.rows))
        expected = dict(case.outputs) if case.predictions is None else {PREDICTIONS: case.predictions} | case.outputs
        place = f"case {number}{f' ({case.name[:64]})' if case.name else ''}"
        for name, wanted in expected.items():
            if name not in answered:
                raise failed(CheckReason.PREDICTION_DIFFERS, f"{place}: the candidate has no output '{name}'")
            difference = _difference(answered[name], wanted, name, options)
            if difference:
                figures = {"cases": len(golden.cases), "case": number}
                message = f"{place}: {difference}"
                return Finding(Verdict.FAIL, message, CheckReason.PREDICTION_DIFFERS, "case", figures)
            values += len(wanted)
        rows += len(case.rows)
    counted = {"cases": len(golden.cases), "rows": rows, "values": values}
    message = f"golden requests answered as expected: {len(golden.cases)} of {len(golden.cases)}"
    return Finding(Verdict.PASS, message, figures=counted)


def _example(asked: Asked) -> Finding:
    """Loading has asked it already; here the answer itself is looked at."""
    document = asked.ready.model.example
    if document is None:
        message = f"the model has neither {FOLDER}/golden.json nor an input example"
        raise cannot_tell(CheckReason.NO_DATA, message)
    outputs = asked.ready.predict(asked.ready.decode(example.request_body(document)))
    for name, values in _by_name(outputs).items():
        if not _all_finite(values):
            message = f"the candidate answered its own input example with a NaN or an infinite number in '{name}'"
            raise failed(CheckReason.PREDICTION_DIFFERS, message)
    rows = len(outputs[0][1])
    message = f"the model's own input example of {rows} rows was answered; there are no golden requests to compare with"
    return Finding(Verdict.PASS, message, figures={"cases": 0, "rows": rows})


def _read(folder: Path, data: str) -> Golden | None:
    """None where the default file is not there. Ends the check with NoData or DataInvalid."""
    path = folder / (data or f"{FOLDER}/golden.json")
    if not path.is_file():
        if data:
            raise cannot_tell(CheckReason.NO_DATA, f"there is no file of golden requests: {data}")
        return None
    try:
        if path.stat().st_size > _LIMIT_BYTES:
            raise cannot_tell(CheckReason.DATA_INVALID, f"{path.name}: it is larger than {_LIMIT_BYTES >> 20} MiB")
        golden = msgspec.json.decode(path.read_bytes(), type=Golden)
    except (OSError, msgspec.DecodeError) as error:  # a ValidationError is one
        text = str(error) if isinstance(error, msgspec.DecodeError) else type(error).__name__
        raise cannot_tell(CheckReason.DATA_INVALID, f"{path.name}: {text}") from error
    if golden.format != 1 or not golden.cases:
        raise cannot_tell(CheckReason.DATA_INVALID, f"{path.name}: format 1 and at least one case are needed")
    for number, case in enumerate(golden.cases):
        expected = [*case.outputs.values(), *([] if case.predictions is None else [case.predictions])]
        if not expected or any(len(values) != len(case.rows) for values in expected):
            message = f"{path.name}: case {number} must expect one value a row, of 'predictions' or of 'outputs'"
            raise cannot_tell(CheckReason.DATA_INVALID, message)
    return golden


def _by_name(outputs: Outputs) -> dict[str, Any]:
    names = output_names([name for name, _ in outputs])
    return {name: plain(values) for name, (_, values) in zip(names, outputs, strict=True)}


def _difference(answered: list[Any], wanted: list[Any], name: str, options: SmokeOptions) -> str:
    """What differs first, or nothing. The artefact's own numbers may be told: they are no client's."""
    for row, (ours, theirs) in enumerate(zip(answered, wanted, strict=True)):
        if not _alike(ours, theirs, options):
            return f"'{name}' of row {row} is {_shown(ours)}, {_shown(theirs)} was expected"
    return ""


def _alike(ours: Any, theirs: Any, options: SmokeOptions) -> bool:
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(_alike(a, b, options) for a, b in zip(ours, theirs, strict=True))
    if isinstance(ours, dict) and isinstance(theirs, dict):
        named = {str(key): value for key, value in ours.items()}
        return named.keys() == theirs.keys() and all(_alike(named[key], theirs[key], options) for key in named)
    if isinstance(ours, float) and math.isnan(ours):
        return theirs is None  # as an answer in JSON says it
    if isinstance(ours, bool | int | float) and isinstance(theirs, bool | int | float):
        allowed = max(options.absolute_tolerance, options.relative_tolerance * abs(theirs))
        return ours == theirs or abs(ours - theirs) <= allowed
    return bool(ours == theirs)


def _shown(value: Any) -> str:
    return f"{value:.9g}" if isinstance(value, float) else str(value)[:64]


def _all_finite(value: Any) -> bool:
    if isinstance(value, list):
        return all(_all_finite(item) for item in value)
    if isinstance(value, dict):
        return all(_all_finite(item) for item in value.values())
    return not isinstance(value, float) or math.isfinite(value)
