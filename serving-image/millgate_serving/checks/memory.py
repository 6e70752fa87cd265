"""Does the candidate's server need more memory than stable's, or too much of the container's limit?"""

import http.client
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from millgate_serving.checks import bodies
from millgate_serving.checks.interval import Interval
from millgate_serving.checks.local_server import LocalServer, running
from millgate_serving.checks.options import MemoryOptions
from millgate_serving.checks.subject import Subject, Subjects
from millgate_serving.checks.verdict import (
    CheckReason,
    Finding,
    at_most,
    cannot_tell,
    ratio_at_most,
    reason_of,
    together,
)

_REQUESTS = 500  # or as many as are answered in …
_ASKING_SECONDS = 10.0
_ANSWER_SECONDS = 60
_LIMIT_FILES = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_UNLIMITED_BYTES = 1 << 60  # version 1 of control groups writes a number near 2**63 for "no limit"
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Footprint:
    """Of one server after its requests: proportional set size now, and the most that was ever resident."""

    pss_bytes: int
    peak_bytes: int


def check(subjects: Subjects, options: MemoryOptions) -> Finding:
    """Servers run one after the other, in turns, and are read while nothing else of theirs is alive."""
    limit = limit_bytes()
    if limit is None:
        subjects.reference()
    requests = bodies.of(subjects, options.data)
    versions = [subjects.candidate, *([subjects.stable] if subjects.stable else [])]
    for version in versions:
        if "onnx" not in version.described().flavours:
            _footprint(version, requests)  # a first start converts the model, which is done once, not in every pod
    found: dict[str, list[Footprint]] = {version.role: [] for version in versions}
    for _ in range(options.repeats):
        for version in versions:
            found[version.role].append(_footprint(version, requests))
    candidate, stable = found["candidate"], found.get("stable")
    findings = [_compared(candidate, stable, options.max_ratio)] if stable else []
    if limit is not None:
        findings.append(_bounded(candidate, limit, options.max_share_of_limit))
    return together(findings)


def limit_bytes(files: Sequence[Path] = _LIMIT_FILES) -> int | None:
    """Of the container's control group, of either version; None where there is none."""
    for file in files:
        try:
            text = file.read_text().strip()
        except OSError:
            continue
        return int(text) if text.isdigit() and int(text) < _UNLIMITED_BYTES else None
    return None


def _footprint(version: Subject, requests: Sequence[bytes]) -> Footprint:
    with running(version) as server:
        _ask(server, requests)
        return _read(server.process.pid)


def _ask(server: LocalServer, requests: Sequence[bytes]) -> None:
    """One after the other; a refusal for overload is a busy node's, and no more than a request less."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_ANSWER_SECONDS)
    ends_at, answered = time.monotonic() + _ASKING_SECONDS, 0
    try:
        for number in range(_REQUESTS):
            answered += _is_answered(server, connection, requests[number % len(requests)])
            if time.monotonic() > ends_at and answered:
                break
    except (OSError, http.client.HTTPException) as error:
        server.check_alive()
        message = f"the server of the {server.subject.role} did not answer ({type(error).__name__})"
        raise cannot_tell(CheckReason.NOT_MEASURABLE, message) from error
    finally:
        connection.close()
    if not answered:
        message = f"the server of the {server.subject.role} refused every request for overload"
        raise cannot_tell(CheckReason.NOT_MEASURABLE, message)


def _is_answered(server: LocalServer, connection: http.client.HTTPConnection, body: bytes) -> bool:
    connection.request("POST", "/predict", body, {"content-type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    if answer.status == http.HTTPStatus.SERVICE_UNAVAILABLE:
        return False
    if answer.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        message = f"answered a request of the check with {answer.status}"
        raise server.subject.at_fault(CheckReason.MODEL_RAISED, message)
    if answer.status != http.HTTPStatus.OK:
        message = f"the {server.subject.role} refuses the requests with {answer.status}"
        raise cannot_tell(CheckReason.DATA_INVALID, message)
    return True


def _read(pid: int) -> Footprint:
    """https://docs.kernel.org/filesystems/proc.html: Pss of smaps_rollup, VmHWM of status; both in KiB."""
    try:
        return Footprint(_kib(pid, "smaps_rollup", "Pss:"), _kib(pid, "status", "VmHWM:"))
    except OSError as error:
        message = f"the memory of a process cannot be read on this node: {error.strerror}"
        raise cannot_tell(CheckReason.NOT_MEASURABLE, message) from error


def _kib(pid: int, file: str, name: str) -> int:
    lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    line = next(line for line in lines if line.startswith(name))
    return int(line.split()[1]) << 10


def _compared(candidate: Sequence[Footprint], stable: Sequence[Footprint], max_ratio: float) -> Finding:
    """The interval is that of the starts: from the smallest by the largest to the largest by the smallest."""
    ours, theirs = [found.pss_bytes for found in candidate], [found.pss_bytes for found in stable]
    ratio = Interval(median(ours) / median(theirs), min(ours) / max(theirs), max(ours) / min(theirs))
    message = (
        f"memory is {ratio.value:.2f} times stable's ({ratio.low:.2f} to {ratio.high:.2f} over {len(ours)} starts), "
        f"{max_ratio:g} is allowed: {median(ours) / _MIB:.0f} MiB against {median(theirs) / _MIB:.0f} MiB"
    )
    figures = {"candidateBytes": int(median(ours)), "stableBytes": int(median(theirs))}
    return ratio_at_most(ratio, max_ratio, message, figures)


def _bounded(candidate: Sequence[Footprint], limit: int, max_share: float) -> Finding:
    peaks = [found.peak_bytes / limit for found in candidate]
    share = Interval(median(peaks), min(peaks), max(peaks))
    verdict = at_most(share, max_share)
    message = (
        f"its peak is {100 * share.value:.0f} % of the container's limit of {limit / _MIB:.0f} MiB, "
        f"{100 * max_share:g} % is allowed"
    )
    figures = {
        "shareOfLimit": share.value,
        "maxShareOfLimit": max_share,
        "candidatePeakBytes": int(share.value * limit),
        "limitBytes": limit,
    }
    return Finding(verdict, message, reason_of(verdict), "shareOfLimit", figures)
