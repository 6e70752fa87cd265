"""`millgate-serving profile`: writes a model's profile from a file of rows, by asking the model itself about them."""

import argparse
import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from millgate_serving import engine, mlmodel, profile, validation
from millgate_serving.describe import PREDICTIONS
from millgate_serving.engine import Engine
from millgate_serving.failure import ExitCode, ServingError
from millgate_serving.logs import log
from millgate_serving.measured import output_names
from millgate_serving.profile import Profile, ProfileError
from millgate_serving.refusal import Refusal
from millgate_serving.signature import Column, Signature
from millgate_serving.validation import Arrays

_ASKED_AT_ONCE = 1000
_READERS = ".csv, .json and .npy"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="millgate-serving profile",
        description="Write millgate/profile.json beside a model: how its inputs and its predictions are distributed.",
    )
    made.add_argument("model", type=Path, help="the folder that MLflow saved")
    made.add_argument("--data", type=Path, required=True, help=f"rows as the model's signature says: {_READERS}")
    made.add_argument("--output", action="append", default=[], help="a further output to describe; may be repeated")
    made.add_argument("--feature", action="append", help="an input to describe; all of them when left out")
    made.add_argument("--allow-code-execution", action="store_true", help="load scikit-learn models too")
    return made


def run(words: Sequence[str]) -> ExitCode:
    """What went wrong is told as one line of the log, and names the field."""
    arguments = parser().parse_args(words)
    try:
        model = mlmodel.read(arguments.model)
        loaded = engine.load(model, allow_code_execution=arguments.allow_code_execution).engine
        decode = validation.decoder(model.signature, loaded.layout)
        rows = _rows(arguments.data, model.signature)
        answered = list(_answered(rows, loaded, decode, str(arguments.data)))
        written = _write(arguments, model.signature, loaded, answered)
    except (ServingError, ProfileError, OSError) as error:
        log("profile not written", level="error", message=str(error)[:1000])
        return ExitCode.FAIL
    outputs = [output.name for output in written.outputs]
    log("profile written", rows=written.rows, features=len(written.features), outputs=outputs)
    return ExitCode.PASS


def _write(
    arguments: argparse.Namespace,
    signature: Signature,
    loaded: Engine,
    answered: list[tuple[Arrays, list[Any]]],
) -> Profile:
    if not answered:
        raise ProfileError(f"{arguments.data}: at least one row is needed")
    arrays = [np.concatenate(parts) for parts in zip(*(asked for asked, _ in answered), strict=True)]
    names = output_names(loaded.outputs)
    answers = {name: _together(parts) for name, *parts in zip(names, *(given for _, given in answered), strict=True)}
    for name in arguments.output:
        if name not in names[1:]:
            raise ProfileError(f"--output: the model has no further output '{name}'; it has {', '.join(names[1:])}")
    return profile.write(
        arguments.model,
        _named(arrays, signature, matrix=loaded.layout.matrix),
        answers[PREDICTIONS],
        outputs={name: answers[name] for name in arguments.output},
        features=arguments.feature,
    )


def _together(parts: list[Any]) -> Any:
    return np.concatenate(parts) if isinstance(parts[0], np.ndarray) else [row for part in parts for row in part]


def _named(arrays: Arrays, signature: Signature, *, matrix: bool) -> Mapping[str, npt.NDArray[Any]]:
    columns = arrays[0].T if matrix else arrays
    return {item.name: values for item, values in zip(signature.inputs, columns, strict=True)}


def _answered(
    rows: list[Any], loaded: Engine, decode: validation.Decode, file: str
) -> Iterator[tuple[Arrays, list[Any]]]:
    """The rows pass the same checks as a request, so what is refused is told by row and field."""
    for start in range(0, len(rows), _ASKED_AT_ONCE):
        try:
            asked = decode(msgspec.json.encode({"rows": rows[start : start + _ASKED_AT_ONCE]}))
        except Refusal as refusal:
            after = f" (counted from row {start})" if start else ""
            raise ProfileError(f"{file}: {refusal.message}{after}") from refusal
        # A copy: some models fill gaps in place.
        yield [array.copy() for array in asked], [values for _, values in _answer(loaded, asked, file)]


def _answer(loaded: Engine, asked: Arrays, file: str) -> list[tuple[str, Any]]:
    try:
        return loaded.run(asked)
    except Exception as error:
        raise ProfileError(f"{file}: the model raised {type(error).__name__} on these rows") from error


def _rows(file: Path, signature: Signature) -> list[Any]:
    try:
        match file.suffix:
            case ".npy":
                rows = np.load(file, allow_pickle=False).tolist()
            case ".json":
                rows = json.loads(file.read_bytes())
                rows = rows.get("rows") if isinstance(rows, dict) else rows
            case ".csv":
                with file.open(newline="", encoding="utf-8") as lines:
                    rows = [_typed(row, signature) for row in csv.DictReader(lines)]
            case _:
                raise ProfileError(f"--data: {_READERS} can be read")
    except (ValueError, csv.Error) as error:
        if isinstance(error, ProfileError):
            raise
        raise ProfileError(f"{file}: it cannot be read as {file.suffix.removeprefix('.')}") from error
    if not isinstance(rows, list):
        raise ProfileError(f"{file}: a list of rows is needed")
    return rows


def _typed(row: dict[str, str], signature: Signature) -> dict[str, Any]:
    """A file of text knows no types; what is not of its column's type stays text, and is refused as text."""
    kinds = {item.name: item.type for item in signature.inputs if isinstance(item, Column)}
    return {name: _value(text, kinds.get(name, "string")) for name, text in row.items()}


def _value(text: str, kind: str) -> Any:
    if text == "":
        return None
    if kind == "boolean":
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        return {"integer": int, "long": int, "float": float, "double": float}.get(kind, str)(text)
    except ValueError:
        return text
