"""How a preflight or gate Job stands, from the Job and its pod.

The pod is read first: its container's exit code is known a second or more before the Job's own status says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from millgate.api.conditions import Reason
from millgate.api.names import ANNOTATION_ATTEMPT, ANNOTATION_CHECK, ANNOTATION_GATE, ANNOTATION_STEP
from millgate.api.status import GateStatus, Verdict
from millgate.controller.finding import Finding, as_text
from millgate.controller.pods import condition, container_statuses, ending, is_deleted, pod_problem
from millgate.controller.words import LastWords, last_words, one_line
from millgate.rollout.snapshot import JobReport

Json = dict[str, Any]

PASSED, FAILED, CANNOT_TELL = 0, 1, 75
_SAID = {PASSED: "Pass", FAILED: "Fail"}
# 128 + SIGKILL and 128 + SIGTERM: somebody ended the container, which says nothing about the model.
_ENDED_FROM_OUTSIDE = frozenset({137, 143})
_DISRUPTED = frozenset(
    {"Evicted", "Shutdown", "NodeShutdown", "Terminated", "NodeLost", "Preempting", "UnexpectedAdmissionError"}
)
_REMOVED = "its pod was removed before it ended"


@dataclass(frozen=True)
class _End:
    """How it ended: `exit_code` is None while it has not. `gone`: with its pod, and what that said."""

    exit_code: int | None
    reason: Reason | None = None
    message: str = ""
    words: LastWords = field(default_factory=LastWords)
    time: datetime | None = None
    gone: bool = False


def preflight_report(job: Json, pods: Sequence[Json]) -> JobReport:
    """Exit codes are narrowed to those of `JobReport`. Out of memory under its own limit is a failure of the model, and
    so is an end that the serving image does not know: another try would end alike.
    """
    end = _end_of(job, pods)
    attempt = int(_annotation(job, ANNOTATION_ATTEMPT) or 0)
    code, reason, message = end.exit_code, end.reason, end.message
    if code == PASSED and end.words.digest is None:
        code, reason, message = FAILED, Reason.PREFLIGHT_FAILED, "the image's preflight ended without naming a digest"
    elif code == FAILED:
        reason, message = end.words.reason or Reason.PREFLIGHT_FAILED, end.words.message or message
    elif code == CANNOT_TELL:
        reason, message = reason or end.words.reason or Reason.JOB_CANNOT_TELL, end.words.message or message
    elif code is not None and code != PASSED:
        code = CANNOT_TELL if code in _ENDED_FROM_OUTSIDE and reason is not Reason.OUT_OF_MEMORY else FAILED
    digest, fingerprint = end.words.digest, end.words.fingerprint
    return JobReport(
        exit_code=code, reason=reason, message=message, digest=digest, fingerprint=fingerprint, attempt=attempt
    )


def gate_verdict(job: Json, pods: Sequence[Json]) -> GateStatus:
    """Promise `no-data-is-no-verdict`: only the exit codes 0 and 1 are verdicts, everything else cannot tell."""
    end = _heard(_end_of(job, pods), _annotation(job, ANNOTATION_CHECK))
    verdict, reason, message = _judged(end)
    finding = end.words.finding or Finding("", "")
    return GateStatus(
        name=_annotation(job, ANNOTATION_GATE),
        step=_annotation(job, ANNOTATION_STEP),
        verdict=verdict,
        reason=reason,
        message=message,
        value=as_text(finding.candidate),
        reference=as_text(finding.stable),
        limit=as_text(finding.limit),
        samples=finding.samples,
        last_check_time=end.time,
    )


def _heard(end: _End, check: str) -> _End:
    """A check must say what it found: an image that does not know it may well end with 0 or 1 all the same.

    Once its pod is gone the exit code has to do.
    """
    finding = end.words.finding
    if not check or end.gone or end.exit_code not in _SAID:
        return end
    if finding is not None and (finding.check, finding.verdict) == (check, _SAID[end.exit_code]):
        return end
    said = f"the image ended with {end.exit_code} and gave no verdict of its check '{check}'"
    return replace(end, exit_code=CANNOT_TELL, reason=Reason.JOB_CANNOT_TELL, words=LastWords(one_line(said)))


def _judged(end: _End) -> tuple[Verdict, Reason, str]:
    if end.exit_code is None:
        if end.reason is not None:
            return Verdict.INCONCLUSIVE, end.reason, end.message
        return Verdict.PENDING, Reason.JOB_RUNNING, "the Job has not ended yet"
    if end.exit_code == PASSED:
        return Verdict.PASS, Reason.JOB_PASSED, end.words.message
    if end.exit_code == FAILED:
        return Verdict.FAIL, Reason.JOB_FAILED, end.words.message or end.message
    if end.exit_code == CANNOT_TELL:
        reason = end.reason or end.words.reason or Reason.JOB_CANNOT_TELL
        return Verdict.INCONCLUSIVE, reason, end.words.message or end.message
    reason = Reason.OUT_OF_MEMORY if end.reason is Reason.OUT_OF_MEMORY else Reason.JOB_CANNOT_TELL
    return Verdict.INCONCLUSIVE, reason, f"none of 0, 1 and 75: {end.message}"


def _end_of(job: Json, pods: Sequence[Json]) -> _End:
    failed = condition(job, "Failed") or condition(job, "FailureTarget")
    if failed is not None and failed.get("reason") == "DeadlineExceeded":
        limit = job["spec"].get("activeDeadlineSeconds")
        message = f"the Job had not ended after {limit} s"
        return _End(CANNOT_TELL, Reason.JOB_DEADLINE_EXCEEDED, message, time=_transition(failed))
    own = [pod for pod in pods if _is_pod_of(job, pod)]
    newest = max(own, key=lambda pod: (not is_deleted(pod), pod["metadata"]["creationTimestamp"]), default=None)
    ended = _end_of_pod(newest) if newest is not None else None
    if ended is not None:
        return ended
    if failed is not None:
        return _End(CANNOT_TELL, Reason.JOB_CANNOT_TELL, _REMOVED, time=_transition(failed))
    complete = condition(job, "Complete")
    if complete is not None:
        return _gone_after_success(job, complete)
    problem = pod_problem(newest) if newest is not None else None
    return _End(None, problem.reason, problem.message) if problem else _End(None)


def _gone_after_success(job: Json, complete: Json) -> _End:
    """The pod is gone, and with it what it said. A gate needs no more than the exit code; a digest is lost."""
    if _annotation(job, ANNOTATION_GATE):
        return _End(PASSED, time=_transition(complete), gone=True)
    return _End(CANNOT_TELL, Reason.JOB_CANNOT_TELL, "its pod was removed before its result was read")


def _end_of_pod(pod: Json) -> _End | None:
    """A container that was asked to end may well answer with 1: unless it had passed, such an end tells nothing."""
    terminated = next((entry["state"]["terminated"] for entry in container_statuses(pod) if _has_ended(entry)), None)
    code = None if terminated is None else int(terminated["exitCode"])
    if code != PASSED and _is_disrupted(pod):
        return _End(CANNOT_TELL, Reason.JOB_CANNOT_TELL, "its pod was evicted")
    if terminated is None or code is None:
        return None
    finished = terminated.get("finishedAt")
    time = datetime.fromisoformat(finished) if finished else None
    if code != PASSED and is_deleted(pod):
        return _End(CANNOT_TELL, Reason.JOB_CANNOT_TELL, _REMOVED, time=time)
    problem = ending(terminated)
    return _End(
        code,
        problem.reason if code not in {PASSED, FAILED, CANNOT_TELL} else None,
        problem.message if code != PASSED else "",
        last_words(terminated.get("message")),
        time,
    )


def _is_disrupted(pod: Json) -> bool:
    return pod.get("status", {}).get("reason") in _DISRUPTED or condition(pod, "DisruptionTarget") is not None


def _has_ended(status: Json) -> bool:
    return bool((status.get("state") or {}).get("terminated"))


def _is_pod_of(job: Json, pod: Json) -> bool:
    references = pod["metadata"].get("ownerReferences") or ()
    return any(reference["uid"] == job["metadata"]["uid"] for reference in references)


def _annotation(job: Json, key: str) -> str:
    return str((job["metadata"].get("annotations") or {}).get(key, ""))


def _transition(entry: Json) -> datetime | None:
    text = entry.get("lastTransitionTime")
    return datetime.fromisoformat(text) if text else None
