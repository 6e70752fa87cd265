"""The two versions of a check, candidate and stable: as the environment names them, fetched, loaded and asked."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from millgate_serving import loading, mlmodel, settings
from millgate_serving.checks.rows import Evaluation
from millgate_serving.checks.verdict import CheckEnded, CheckReason, cannot_tell, failed
from millgate_serving.describe import PREDICTIONS
from millgate_serving.engine import Outputs
from millgate_serving.failure import ExitCode, Reason, ServingError
from millgate_serving.guard import OutputGuard
from millgate_serving.loading import Progress, ReadyModel
from millgate_serving.logs import described, log
from millgate_serving.measured import output_names
from millgate_serving.mlmodel import MlModel
from millgate_serving.refusal import OutputRefused, Refusal
from millgate_serving.settings import Settings

_FOLDER = "stable"
_ASKED_AT_ONCE = 1000
_STABLE = "MILLGATE_STABLE_"


@dataclass(frozen=True, slots=True)
class Subject:
    """One version. What goes wrong with the candidate may fail it; what goes wrong with stable tells nothing."""

    role: str
    settings: Settings

    @property
    def is_candidate(self) -> bool:
        return self.role == "candidate"

    @property
    def version(self) -> str:
        return f"{self.settings.model_name}/{self.settings.model_version}"

    def on_disk(self) -> Path:
        """The folder of its verified files. Ends the check when there is none to be had."""
        try:
            return loading.on_disk(self.settings, Progress())
        except ServingError as error:
            raise self.ended(error) from error

    def described(self) -> MlModel:
        """Fetched, but not loaded."""
        try:
            return mlmodel.read(self.on_disk())
        except ServingError as error:
            raise self.ended(error) from error

    def loaded(self) -> "Asked":
        try:
            return Asked(self, loading.load(self.settings, Progress()))
        except ServingError as error:
            raise self.ended(error) from error
        except Exception as error:  # an unknown fault tells nothing about a model
            log("the check cannot load a model", level="error", role=self.role, **described(error))
            message = f"loading {self.role} raised {type(error).__name__}"
            raise cannot_tell(Reason.INTERNAL_ERROR, message) from error

    def at_fault(self, reason: CheckReason | Reason, message: str) -> CheckEnded:
        """What can be held against the candidate, and can only make stable useless as a reference."""
        if self.is_candidate:
            return failed(reason, f"the candidate {message}")
        return cannot_tell(CheckReason.STABLE_UNAVAILABLE, f"the stable version {message}")

    def ended(self, error: ServingError) -> CheckEnded:
        """What it means for the check that the version cannot be fetched or loaded."""
        if error.exit_code is ExitCode.FAIL:
            return self.at_fault(error.reason, f"cannot be loaded: {error.message}")
        if self.is_candidate:
            return cannot_tell(error.reason, error.message)
        return cannot_tell(CheckReason.STABLE_UNAVAILABLE, f"{error.reason}: {error.message}")


@dataclass(frozen=True, slots=True)
class Subjects:
    candidate: Subject
    stable: Subject | None

    def reference(self) -> Subject:
        """Stable, for a check that is nothing without it."""
        if self.stable is None:
            message = "there is no stable version to compare with, and the options give no absolute bound"
            raise cannot_tell(CheckReason.NO_STABLE, message)
        return self.stable


def read(environment: Mapping[str, str]) -> Subjects:
    """Raises ServingError InvalidConfiguration, which names the variable."""
    own = settings.read(environment)
    name = environment.get(_STABLE + "MODEL_NAME", "")
    if not name:
        return Subjects(Subject("candidate", own), None)
    folder = environment.get(_STABLE + "MODEL_PATH", "")
    theirs = settings.read(
        dict(environment)
        | {
            "MILLGATE_MODEL_NAME": name,
            "MILLGATE_MODEL_VERSION": environment.get(_STABLE + "MODEL_VERSION", ""),
            "MILLGATE_MODEL_SOURCE": environment.get(_STABLE + "MODEL_SOURCE", ""),
            "MILLGATE_MODEL_DIGEST": environment.get(_STABLE + "MODEL_DIGEST", ""),
            "MILLGATE_MODEL_PATH": folder,
            "MILLGATE_MODEL_FINGERPRINT": "",
            "MLFLOW_TRACKING_URI": environment.get(_STABLE + "TRACKING_URI")
            or environment.get("MLFLOW_TRACKING_URI", ""),
        }
    )
    return Subjects(Subject("candidate", own), Subject("stable", replace(theirs, model_dir=own.model_dir / _FOLDER)))


@dataclass(frozen=True, slots=True)
class Asked:
    """A loaded version and its answers."""

    subject: Subject
    ready: ReadyModel

    def answers(self, evaluation: Evaluation, output: str) -> list[Any]:
        """One value a row, of the output that `output` names (`probabilities`, `probabilities[1]`).

        Rows go the way of a request, through the same validation. Ends the check when a row is refused, when the model
        raises, or when there is no such output.
        """
        base, place = _parsed(output)
        rows = evaluation.asked(self.ready.model.signature)
        names = output_names([name for name, _ in self.predict(rows[:1])])
        if base not in names:
            message = f"output: the {self.subject.role} has {', '.join(names[:20])}"
            raise cannot_tell(CheckReason.OPTIONS_INVALID, message)
        number, values = names.index(base), []
        for start in range(0, len(rows), _ASKED_AT_ONCE):
            outputs = self.predict(rows[start : start + _ASKED_AT_ONCE], start)
            values += [_one(value, place, output) for value in plain(outputs[number][1])]
        return values

    def predict(self, rows: Sequence[Any], first: int = 0) -> Outputs:
        """`first` is the number of the first row, for messages."""
        try:
            arrays = self.ready.decode(msgspec.json.encode({"rows": rows}, enc_hook=str))
        except Refusal as refusal:
            after = f" (counted from row {first})" if first else ""
            message = f"the {self.subject.role} refuses the rows: {refusal.message}{after}"
            raise cannot_tell(CheckReason.DATA_INVALID, message) from refusal
        try:
            outputs = self.ready.predict(arrays)
        except Exception as error:
            log("the model raised", level="error", role=self.subject.role, **described(error))
            message = f"raised {type(error).__name__} on the rows from {first} on"
            raise self.subject.at_fault(CheckReason.MODEL_RAISED, message) from error
        if self.ready.guard is not None:
            self._check_guard(self.ready.guard, outputs)
        for name, values in outputs:
            if len(values) != len(rows):
                message = f"answered {len(rows)} rows with {len(values)} values of '{name}'"
                raise self.subject.at_fault(CheckReason.MODEL_RAISED, message)
        return outputs

    def _check_guard(self, guard: OutputGuard, outputs: Outputs) -> None:
        """What a server would answer with an error is no answer here either."""
        try:
            guard.check(outputs)
        except OutputRefused as refused:
            message = f"broke its own rule on the rows: {refused.message}"
            raise self.subject.at_fault(CheckReason.MODEL_RAISED, message) from refused


def numbers(subject: Subject, values: Sequence[Any]) -> list[float]:
    """Answers as numbers. Ends the check when one is missing or not finite: an average of the others would hide it."""
    found = [float(value) if isinstance(value, bool | int | float) else math.nan for value in values]
    bad = sum(not math.isfinite(value) for value in found)
    if bad:
        raise subject.at_fault(CheckReason.MODEL_RAISED, f"answered {bad} of {len(found)} rows with no finite number")
    return found


def plain(values: Any) -> Any:
    """JSON values; lists of maps (ZipMap) are such already."""
    return values.tolist() if isinstance(values, np.ndarray) else values


def _parsed(output: str) -> tuple[str, str | None]:
    if output.endswith("]") and "[" in output:
        base, _, place = output[:-1].rpartition("[")
        return base, place
    return output, None


def _one(value: Any, place: str | None, output: str) -> Any:
    """One number or text of a row's answer."""
    if place is not None:
        value = _inside(value, place)
    elif isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None or isinstance(value, list | dict):
        message = f"output: '{output}' is not one value a row; {PREDICTIONS} or name[number] may be"
        raise cannot_tell(CheckReason.OPTIONS_INVALID, message)
    return value


def _inside(value: Any, place: str) -> Any:
    if isinstance(value, dict):
        return next((found for key, found in value.items() if str(key) == place), None)
    if isinstance(value, list) and place.isdigit() and int(place) < len(value):
        return value[int(place)]
    return None
