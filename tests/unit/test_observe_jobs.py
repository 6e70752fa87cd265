"""How preflight and gate Jobs are judged. Only a clean 0 or 1 is a verdict; everything else cannot tell."""

from datetime import datetime
from typing import Any

import pytest

from millgate.api.conditions import Reason
from millgate.api.status import Verdict
from millgate.controller.jobs import gate_verdict, preflight_report
from tests.unit.observe_objects import ENDED, is_true, job, pod, terminated, waiting

Json = dict[str, Any]
DIGEST = "sha256:" + "a" * 64
PASSED = f'{{"digest": "{DIGEST}", "inputExample": "Answered"}}'
UNREACHABLE = '{"error": {"reason": "RegistryUnreachable", "message": "mlflow:5000 cannot be reached"}}'
CHANGED = '{"digest": "' + DIGEST + '", "error": {"reason": "ArtifactChanged", "message": "other bytes"}}'
LOAD_FAILED = '{"error": {"reason": "LoadFailed", "message": "no graph"}}'
GATE = {"millgate.dev/gate": "smoke", "millgate.dev/step": "half", "millgate.dev/visit": "1"}
EVICTED = is_true("DisruptionTarget", "EvictionByEvictionAPI")
EVICTED_POD = pod(owner="job-1", phase="Failed", reason="Evicted", containerStatuses=[])
DEADLINE = is_true("Failed", "DeadlineExceeded")
LATE = is_true("FailureTarget", "DeadlineExceeded")


def of_job(**status: Any) -> Json:
    return pod(owner="job-1", **status)


@pytest.mark.parametrize(
    ("seen", "pods", "exit_code", "reason", "said"),
    [
        (job(), [], None, None, ""),
        (job(), [of_job()], None, None, ""),
        (job(), [of_job(state=waiting("ErrImagePull", "not found"))], None, Reason.IMAGE_PULL_FAILED, "not found"),
        (job(), [of_job(state=terminated(0, message=PASSED))], 0, None, ""),
        (job(is_true("Complete")), [of_job(state=terminated(0, message=PASSED))], 0, None, ""),
        (job(), [of_job(state=terminated(0))], 1, Reason.PREFLIGHT_FAILED, "without naming a digest"),
        (job(), [of_job(state=terminated(1, message=CHANGED))], 1, Reason.ARTIFACT_CHANGED, "other bytes"),
        (job(), [of_job(state=terminated(1, message=LOAD_FAILED))], 1, Reason.PREFLIGHT_FAILED, "LoadFailed: no graph"),
        (job(), [of_job(state=terminated(1))], 1, Reason.PREFLIGHT_FAILED, "exit code 1"),
        (
            job(),
            [of_job(state=terminated(75, message=UNREACHABLE))],
            75,
            Reason.REGISTRY_UNREACHABLE,
            "mlflow:5000 cannot be reached",
        ),
        (job(), [of_job(state=terminated(75))], 75, Reason.JOB_CANNOT_TELL, "exit code 75"),
        (job(), [of_job(state=terminated(137, reason="OOMKilled"))], 1, Reason.OUT_OF_MEMORY, "OOMKilled"),
        (job(), [of_job(state=terminated(137))], 75, Reason.CONTAINER_CRASHED, "exit code 137"),
        (job(), [of_job(state=terminated(2))], 1, Reason.CONTAINER_CRASHED, "exit code 2"),
        (job(), [of_job(state=terminated(1), conditions=(EVICTED,))], 75, Reason.JOB_CANNOT_TELL, "evicted"),
        (
            job(),
            [of_job(phase="Failed", reason="Evicted", containerStatuses=[])],
            75,
            Reason.JOB_CANNOT_TELL,
            "evicted",
        ),
        (job(), [of_job(state=terminated(1), deleted=True)], 75, Reason.JOB_CANNOT_TELL, "removed"),
        (job(DEADLINE), [], 75, Reason.JOB_DEADLINE_EXCEEDED, "600 s"),
        (
            job(is_true("FailureTarget", "DeadlineExceeded")),
            [of_job(state=terminated(1))],
            75,
            Reason.JOB_DEADLINE_EXCEEDED,
            "",
        ),
        (job(is_true("Failed", "BackoffLimitExceeded")), [], 75, Reason.JOB_CANNOT_TELL, "removed"),
        (job(is_true("Complete")), [], 75, Reason.JOB_CANNOT_TELL, "before its result was read"),
    ],
)
def test_a_preflight_is_reported_as_it_ended(
    seen: Json, pods: list[Json], exit_code: int | None, reason: Reason | None, said: str
) -> None:
    report = preflight_report(seen, pods)
    assert (report.exit_code, report.reason) == (exit_code, reason)
    assert said in report.message
    assert report.attempt == 3


def test_a_passed_preflight_brings_the_digest() -> None:
    report = preflight_report(job(), [of_job(state=terminated(0, message=PASSED))])
    assert report.digest == DIGEST


def test_a_pod_of_another_job_proves_nothing() -> None:
    report = preflight_report(job(), [pod(owner="job-2", state=terminated(0, message=PASSED))])
    assert report.exit_code is None


@pytest.mark.parametrize(
    ("seen", "pods", "verdict", "reason"),
    [
        (job(annotations=GATE), [], Verdict.PENDING, Reason.JOB_RUNNING),
        (job(annotations=GATE), [of_job()], Verdict.PENDING, Reason.JOB_RUNNING),
        (
            job(annotations=GATE),
            [of_job(state=waiting("ImagePullBackOff"))],
            Verdict.INCONCLUSIVE,
            Reason.IMAGE_PULL_FAILED,
        ),
        (job(annotations=GATE), [of_job(state=terminated(0))], Verdict.PASS, Reason.JOB_PASSED),
        (job(is_true("Complete"), annotations=GATE), [], Verdict.PASS, Reason.JOB_PASSED),
        (job(annotations=GATE), [of_job(state=terminated(1))], Verdict.FAIL, Reason.JOB_FAILED),
        (job(annotations=GATE), [of_job(state=terminated(75))], Verdict.INCONCLUSIVE, Reason.JOB_CANNOT_TELL),
        (job(annotations=GATE), [of_job(state=terminated(127))], Verdict.INCONCLUSIVE, Reason.JOB_CANNOT_TELL),
        (
            job(annotations=GATE),
            [of_job(state=terminated(137, reason="OOMKilled"))],
            Verdict.INCONCLUSIVE,
            Reason.OUT_OF_MEMORY,
        ),
        (
            job(annotations=GATE),
            [of_job(state=terminated(1), conditions=(EVICTED,))],
            Verdict.INCONCLUSIVE,
            Reason.JOB_CANNOT_TELL,
        ),
        (
            job(annotations=GATE),
            [of_job(state=terminated(0), conditions=(EVICTED,))],
            Verdict.PASS,
            Reason.JOB_PASSED,
        ),
        (job(DEADLINE, annotations=GATE), [], Verdict.INCONCLUSIVE, Reason.JOB_DEADLINE_EXCEEDED),
        (
            job(is_true("Failed", "BackoffLimitExceeded"), annotations=GATE),
            [],
            Verdict.INCONCLUSIVE,
            Reason.JOB_CANNOT_TELL,
        ),
    ],
)
def test_only_0_and_1_are_verdicts_of_a_gate(seen: Json, pods: list[Json], verdict: Verdict, reason: Reason) -> None:
    status = gate_verdict(seen, pods)
    assert (status.name, status.step) == ("smoke", "half")
    assert (status.verdict, status.reason) == (verdict, reason)


CHECKED = GATE | {"millgate.dev/check": "accuracy"}
LOWER = (
    '{"check":"accuracy","verdict":"Fail","message":"accuracy is 3.05 points below stable\'s","reason":"BoundExceeded",'
    '"decidedBy":"difference","figures":{"difference":-0.0305,"candidate":0.912,"stable":0.9425,"margin":0.01,'
    '"rows":2000}}'
)
SAME = '{"check":"accuracy","verdict":"Pass","message":"no worse","figures":{"candidate":0.94}}'
FEW = '{"check":"accuracy","verdict":"Unknown","message":"12 rows","reason":"TooFewSamples","figures":{"rows":12}}'
ALONE = '{"check":"accuracy","verdict":"Unknown","message":"a first release","reason":"NoStable","figures":{}}'
OTHER = '{"check":"smoke","verdict":"Pass","message":"answered","figures":{}}'


@pytest.mark.parametrize(
    ("seen", "pods", "verdict", "reason", "said"),
    [
        ((), (0, SAME), Verdict.PASS, Reason.JOB_PASSED, "no worse"),
        ((), (1, LOWER), Verdict.FAIL, Reason.JOB_FAILED, "accuracy is 3.05 points below stable's"),
        ((), (75, FEW), Verdict.INCONCLUSIVE, Reason.TOO_FEW_SAMPLES, "12 rows"),
        ((), (75, ALONE), Verdict.INCONCLUSIVE, Reason.JOB_CANNOT_TELL, "NoStable: a first release"),
        ((), (0, ""), Verdict.INCONCLUSIVE, Reason.JOB_CANNOT_TELL, "ended with 0 and gave no verdict of its check"),
        ((), (0, "all is well"), Verdict.INCONCLUSIVE, Reason.JOB_CANNOT_TELL, "gave no verdict"),
        ((), (0, LOWER), Verdict.INCONCLUSIVE, Reason.JOB_CANNOT_TELL, "gave no verdict"),
        ((), (0, OTHER), Verdict.INCONCLUSIVE, Reason.JOB_CANNOT_TELL, "gave no verdict of its check 'accuracy'"),
        ((), (1, "Traceback"), Verdict.INCONCLUSIVE, Reason.JOB_CANNOT_TELL, "ended with 1 and gave no verdict"),
        ((), (2, "usage: millgate-serving"), Verdict.INCONCLUSIVE, Reason.JOB_CANNOT_TELL, "none of 0, 1 and 75"),
        ((DEADLINE,), None, Verdict.INCONCLUSIVE, Reason.JOB_DEADLINE_EXCEEDED, "600 s"),
        ((is_true("Complete"),), None, Verdict.PASS, Reason.JOB_PASSED, ""),
    ],
)
def test_a_check_has_a_verdict_only_if_it_says_so_itself(
    seen: tuple[Json, ...], pods: tuple[int, str] | None, verdict: Verdict, reason: Reason, said: str
) -> None:
    left = [of_job(state=terminated(pods[0], message=pods[1]))] if pods else []
    status = gate_verdict(job(*seen, annotations=CHECKED), left)
    assert (status.verdict, status.reason) == (verdict, reason)
    assert said in status.message


def test_the_figures_of_a_check_are_those_of_its_gate() -> None:
    status = gate_verdict(job(annotations=CHECKED), [of_job(state=terminated(1, message=LOWER))])
    assert (status.value, status.reference, status.limit, status.samples) == ("0.912", "0.9425", "0.9325", 2000)


@pytest.mark.parametrize(
    ("figures", "shown"),
    [
        # accuracy in points, errors as a ratio, times, memory; and times without stable
        ('{"difference":-0.03,"candidate":0.91,"stable":0.94,"margin":0.01,"rows":9}', ("0.91", "0.94", "0.93", 9)),
        ('{"ratio":1.2,"candidate":12,"stable":10,"margin":0.05,"rows":9}', ("12", "10", "10.5", 9)),
        (
            '{"candidateSeconds":0.0271,"stableSeconds":0.0184,"maxRatio":1.5,"requests":760,"maxSeconds":1}',
            ("0.0271", "0.0184", "0.0276", 760),
        ),
        (
            '{"candidateBytes":262144000,"stableBytes":90177536,"maxRatio":1.5}',
            ("262144000", "90177536", "135266304", None),
        ),
        ('{"candidateSeconds":0.5,"maxSeconds":0.25}', ("0.5", None, "0.25", None)),
        ('{"incompatible":1}', (None, None, None, None)),
    ],
)
def test_figures_of_each_check_stand_in_the_columns_of_a_gate(figures: str, shown: tuple[object, ...]) -> None:
    left = '{"check":"accuracy","verdict":"Fail","message":"worse","figures":' + figures + "}"
    status = gate_verdict(job(annotations=CHECKED), [of_job(state=terminated(1, message=left))])
    assert (status.value, status.reference, status.limit, status.samples) == shown


@pytest.mark.parametrize(
    "figures",
    [
        '{"candidate": NaN, "rows": -1}',
        '{"candidate": 1e999, "rows": 1e300}',
        '{"candidate": "0.9", "rows": true}',
        f'{{"candidate": 1{"0" * 400}}}',
        "[1]",
        "7",
    ],
)
def test_figures_that_no_status_can_hold_are_left_out(figures: str) -> None:
    left = '{"check":"accuracy","verdict":"Fail","message":"worse","figures":' + figures + "}"
    status = gate_verdict(job(annotations=CHECKED), [of_job(state=terminated(1, message=left))])
    assert (status.verdict, status.value, status.samples) == (Verdict.FAIL, None, None)


def test_a_message_that_is_nested_without_end_is_text() -> None:
    status = gate_verdict(job(annotations=GATE), [of_job(state=terminated(1, message="[" * 4000))])
    assert status.message.startswith("[[[")


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ("accuracy 0.81 is below 0.85\n", "accuracy 0.81 is below 0.85"),
        ('{"message": "accuracy 0.81", "accuracy": 0.81}', "accuracy 0.81"),
        ("", "exit code 1 (Error)"),
    ],
)
def test_a_gate_s_own_words_are_its_message(left: str, said: str) -> None:
    status = gate_verdict(job(annotations=GATE), [of_job(state=terminated(1, message=left))])
    assert status.message == said
    assert status.last_check_time == datetime.fromisoformat(ENDED)
