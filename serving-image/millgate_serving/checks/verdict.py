"""What a check has found: one verdict with the figure that decided it, and how several findings become one."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import msgspec

from millgate_serving import __version__
from millgate_serving.checks.interval import Interval
from millgate_serving.failure import ExitCode, Reason
from millgate_serving.logs import log

LIMIT_BYTES = 3500  # kubelet cuts a termination message at 4096
_MESSAGE_CHARACTERS = 500
_FIGURES = 24


class Verdict(StrEnum):
    PASS = "Pass"
    FAIL = "Fail"
    UNKNOWN = "Unknown"


_WEIGHT = [Verdict.PASS, Verdict.UNKNOWN, Verdict.FAIL]  # one failure is enough, and a doubt is more than a pass
EXIT_CODES: Mapping[Verdict, ExitCode] = {
    Verdict.PASS: ExitCode.PASS,
    Verdict.FAIL: ExitCode.FAIL,
    Verdict.UNKNOWN: ExitCode.CANNOT_TELL,
}


class CheckReason(StrEnum):
    """Why it is no `Pass`; beside them stand the reasons of `failure.Reason`."""

    BOUND_EXCEEDED = "BoundExceeded"
    PREDICTION_DIFFERS = "PredictionDiffers"
    MODEL_RAISED = "ModelRaised"
    SCHEMA_INCOMPATIBLE = "SchemaIncompatible"
    NO_STABLE = "NoStable"
    STABLE_UNAVAILABLE = "StableUnavailable"
    NO_DATA = "NoData"
    DATA_INVALID = "DataInvalid"
    TOO_FEW_SAMPLES = "TooFewSamples"
    NOT_CONCLUSIVE = "NotConclusive"
    NOT_MEASURABLE = "NotMeasurable"
    LOAD_NOT_REACHED = "LoadNotReached"
    OPTIONS_INVALID = "OptionsInvalid"


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer to one question. `reason` is None when, and only when, it passed."""

    verdict: Verdict
    message: str
    reason: CheckReason | Reason | None = None
    decided_by: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)


class CheckEnded(Exception):  # noqa: N818 - an answer, not a failure of ours
    """Raised where it is known that the check can go no further; it carries the finding."""

    def __init__(self, verdict: Verdict, reason: CheckReason | Reason, message: str) -> None:
        super().__init__(message)
        self.finding = Finding(verdict, message, reason)


def cannot_tell(reason: CheckReason | Reason, message: str) -> CheckEnded:
    return CheckEnded(Verdict.UNKNOWN, reason, message)


def failed(reason: CheckReason | Reason, message: str) -> CheckEnded:
    return CheckEnded(Verdict.FAIL, reason, message)


def at_least(interval: Interval, bound: float) -> Verdict:
    """Good is at or above `bound`: pass or fail only if the whole interval says so."""
    if interval.low >= bound:
        return Verdict.PASS
    return Verdict.FAIL if interval.high < bound else Verdict.UNKNOWN


def at_most(interval: Interval, bound: float) -> Verdict:
    if interval.high <= bound:
        return Verdict.PASS
    return Verdict.FAIL if interval.low > bound else Verdict.UNKNOWN


def reason_of(verdict: Verdict) -> CheckReason | None:
    """For a figure with a bound."""
    return {
        Verdict.PASS: None,
        Verdict.FAIL: CheckReason.BOUND_EXCEEDED,
        Verdict.UNKNOWN: CheckReason.NOT_CONCLUSIVE,
    }[verdict]


def ratio_at_most(ratio: Interval, allowed: float, message: str, figures: Mapping[str, float]) -> Finding:
    """Of the candidate's figure to stable's, decided by their ratio; `figures` are those behind it."""
    verdict = at_most(ratio, allowed)
    decisive = {"ratio": ratio.value, "ratioLow": ratio.low, "ratioHigh": ratio.high, "maxRatio": allowed}
    return Finding(verdict, message, reason_of(verdict), "ratio", decisive | dict(figures))


def weight(verdict: Verdict) -> int:
    """Of several findings the heaviest one is the verdict."""
    return _WEIGHT.index(verdict)


def together(findings: Iterable[Finding]) -> Finding:
    """The heaviest one (the first of equal ones), with the figures of all; a pass keeps all messages."""
    every = list(findings)
    decisive = max(every, key=lambda finding: weight(finding.verdict))
    figures = {name: value for finding in every for name, value in finding.figures.items()}
    message = decisive.message
    if decisive.verdict is Verdict.PASS:
        message = "; ".join(finding.message for finding in every)
    return Finding(decisive.verdict, message, decisive.reason, decisive.decided_by, figures)


class Document(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The verdict as the operator reads it; docs/checks.md describes each field."""

    check: str
    verdict: str
    message: str
    figures: dict[str, float]
    serving: str
    seconds: float
    reason: str = ""
    decided_by: str = ""
    candidate: str = ""
    stable: str = ""


def document(check: str, finding: Finding, versions: tuple[str, str], seconds: float) -> Document:
    """`versions`: of candidate and stable, empty where it is not known. What is not a finite number is left out."""
    finite = {name: _rounded(value) for name, value in finding.figures.items() if math.isfinite(value)}
    figures = dict(list(finite.items())[:_FIGURES])
    return Document(
        check=check,
        verdict=finding.verdict.value,
        message=_cut(finding.message),
        figures=figures,
        serving=__version__,
        seconds=round(seconds, 3),
        reason=str(finding.reason or ""),
        decided_by=finding.decided_by if finding.decided_by in figures else "",
        candidate=versions[0][:128],
        stable=versions[1][:128],
    )


def _cut(text: str) -> str:
    return text if len(text) <= _MESSAGE_CHARACTERS else text[: _MESSAGE_CHARACTERS - 1] + "…"


def _rounded(value: float) -> float:
    """Six significant digits; a whole number stays one."""
    return value if isinstance(value, int) else float(f"{value:.6g}")


def write(termination_log: Path, verdict: Document) -> bytes:
    """The line for standard output. Outside of Kubernetes there is no termination log to write."""
    body = msgspec.json.encode(verdict)
    if len(body) > LIMIT_BYTES:  # long names in a script of four bytes a character
        body = msgspec.json.encode(msgspec.structs.replace(verdict, message=verdict.message[:200], figures={}))
    try:
        termination_log.write_bytes(body)
    except OSError as error:
        log("no termination message", path=str(termination_log), error=error.strerror)
    return body
