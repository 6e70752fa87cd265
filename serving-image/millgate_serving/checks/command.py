"""`millgate-serving check NAME`: one question, one verdict on standard output and in the termination log."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from millgate_serving import settings
from millgate_serving.checks import options, subject
from millgate_serving.checks.subject import Subjects
from millgate_serving.checks.verdict import (
    EXIT_CODES,
    CheckEnded,
    Document,
    Finding,
    Verdict,
    document,
    write,
)
from millgate_serving.failure import ExitCode, Reason, ServingError
from millgate_serving.logs import configure, described, log

OPTIONS_VARIABLE = "MILLGATE_CHECK_OPTIONS"
OPTIONS: Mapping[str, type[msgspec.Struct]] = {
    "smoke": options.SmokeOptions,
    "schema": options.SchemaOptions,
    "accuracy": options.AccuracyOptions,
    "fairness": options.FairnessOptions,
    "latency": options.LatencyOptions,
    "memory": options.MemoryOptions,
}
"""A check is the function `check` of the module of its name."""


def run(words: Sequence[str]) -> ExitCode:
    """`words`: what stands behind `check` on the command line."""
    configure()
    if len(words) != 1 or words[0] not in OPTIONS:
        print(f"usage: millgate-serving check {' | '.join(OPTIONS)}", file=sys.stderr)  # noqa: T201 - a command line
        return ExitCode.CANNOT_TELL
    termination_log = Path(os.environ.get("MILLGATE_TERMINATION_LOG") or settings.TERMINATION_LOG)
    verdict = judged(words[0], os.environ)
    body = write(termination_log, verdict)
    sys.stdout.buffer.write(body + b"\n")
    sys.stdout.buffer.flush()
    return EXIT_CODES[Verdict(verdict.verdict)]


def judged(name: str, environment: Mapping[str, str]) -> Document:
    """Whatever happens is a verdict: what the check does not understand tells nothing about the model."""
    started, versions = time.monotonic(), ("", "")
    try:
        subjects = subject.read(environment)
        versions = (subjects.candidate.version, subjects.stable.version if subjects.stable else "")
        finding = _asked(name, subjects, environment.get(OPTIONS_VARIABLE, ""))
    except CheckEnded as ended:
        finding = ended.finding
    except ServingError as error:
        finding = Finding(Verdict.UNKNOWN, error.message, error.reason)
    except Exception as error:  # noqa: BLE001 - a defect of the check may not be held against a model
        log("the check failed", level="error", check=name, **described(error))
        finding = Finding(Verdict.UNKNOWN, f"the check raised {type(error).__name__}", Reason.INTERNAL_ERROR)
    return document(name, finding, versions, time.monotonic() - started)


def _asked(name: str, subjects: Subjects, text: str) -> Finding:
    """Each check imports what it needs, and no more: some start servers, others load models."""
    module: Any = import_module(f"millgate_serving.checks.{name}")
    finding: Finding = module.check(subjects, options.read(text, OPTIONS[name]))
    return finding
