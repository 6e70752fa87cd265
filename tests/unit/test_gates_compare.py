"""What a Compare gate says: fail once it knows, pass only on evidence of this step, and otherwise say why not."""

from datetime import UTC, datetime

import pytest

from millgate.api.status import GateStatus
from millgate.gates.compare import Evidence, Terms, TrafficStep, fold, judge
from millgate.gates.counters import Arm, Interval
from millgate.gates.share_gate import ShareTest

TEST = ShareTest(Terms("errors", alpha=0.005, min_samples=100), max_ratio=1.2, described="requests failed")
NOON = 1_700_000_000
FIRST, SECOND = TrafficStep("canary-10", NOON - 0.4), TrafficStep("half", NOON + 35.0)


def evidence(*arms: tuple[Arm | None, Arm | None], steps: tuple[TrafficStep, ...] = (FIRST,)) -> Evidence:
    """Evidence of intervals of ten seconds, the first of which starts at NOON."""
    gathered = Evidence()
    for index, (candidate, stable) in enumerate(arms):
        start = NOON + 10 * index
        begun = tuple(step for step in steps if step.start_seconds <= start + 10)
        gathered = fold(gathered, TEST, begun, Interval(start, start + 10, candidate, stable))
    return gathered


def said(status: GateStatus) -> tuple[str, str]:
    return status.verdict.value, status.reason


GOOD = (Arm(60, 0), Arm(540, 1))
BAD = (Arm(60, 12), Arm(540, 1))
IDLE = (Arm(0, 0), Arm(540, 1))


@pytest.mark.parametrize(
    ("seen", "expected", "words"),
    [
        ((), ("Pending", "Pending"), "first look"),
        ((GOOD,), ("Inconclusive", "TooFewSamples"), "60 of 100 requests"),
        ((GOOD, GOOD), ("Pass", "NotWorse"), "not shown to be worse than 1.2 times stable"),
        (((Arm(600, 0), Arm(5400, 300)),), ("Pass", "NotWorse"), "far better, does the candidate answer"),
        ((BAD,), ("Fail", "WorseThanStable"), "20 % of 60 requests failed, 0.185 % of 540"),
        ((IDLE, IDLE), ("Inconclusive", "NoData"), "no request was answered by the candidate"),
        (((None, Arm(540, 1)),), ("Inconclusive", "NoData"), "no fresh counters of the candidate"),
        (((Arm(60, 0), None),), ("Inconclusive", "NoData"), "no fresh counters of the stable revision"),
        ((GOOD, GOOD, (None, Arm(540, 1))), ("Inconclusive", "NoData"), "no fresh counters of the candidate"),
        ((GOOD, GOOD, (None, None), GOOD), ("Pass", "NotWorse"), "0 % of 180"),
        (((Arm(500, 3), Arm(0, 0)),), ("Inconclusive", "NoData"), "no request was answered by the stable revision"),
        ((BAD, (None, None)), ("Fail", "WorseThanStable"), "worse than 1.2 times stable"),
        ((BAD, *[GOOD] * 200), ("Fail", "WorseThanStable"), "worse than 1.2 times stable"),
    ],
    ids=[
        "nothing read yet",
        "too few requests",
        "enough requests, none failed",
        "far better than stable is doubted",
        "a fail needs no minimum of samples",
        "no request of the candidate",
        "the candidate is not scraped",
        "stable is not scraped",
        "what has gone stale does not pass, whatever was seen before",
        "a gap that has closed",
        "nothing to compare with",
        "a fail stands when metrics go away",
        "a fail stands when the candidate recovers",
    ],
)
def test_the_verdict_and_its_reason(
    seen: tuple[tuple[Arm | None, Arm | None], ...], expected: tuple[str, str], words: str
) -> None:
    status = judge(evidence(*seen), TEST, (FIRST,))
    assert said(status) == expected
    assert words in status.message


def test_a_step_passes_on_evidence_of_this_step_alone() -> None:
    """no-blind-step: requests answered at the lower weight do not count towards the higher one."""
    steps = (FIRST, SECOND)
    four = evidence(GOOD, GOOD, GOOD, GOOD, steps=steps)
    assert said(judge(four, TEST, steps)) == ("Pending", "Pending")
    five = evidence(*[GOOD] * 5, steps=steps)
    assert said(judge(five, TEST, steps)) == ("Inconclusive", "TooFewSamples")
    assert judge(five, TEST, steps).samples == 60
    assert said(judge(evidence(*[GOOD] * 6, steps=steps), TEST, steps)) == ("Pass", "NotWorse")


def test_the_interval_in_which_the_weight_changed_is_discarded() -> None:
    """The same errors in an ordinary interval fail the gate; in the one in which the second step began they do not."""
    steps = (FIRST, SECOND)
    assert evidence(GOOD, GOOD, BAD, steps=steps).crossing is not None
    discarded = evidence(GOOD, GOOD, GOOD, BAD, GOOD, steps=steps)
    assert discarded.crossing is None
    assert discarded.tallies[0].candidate == Arm(240, 0)


def test_evidence_of_an_earlier_step_still_counts_against_the_candidate() -> None:
    suspicious = (Arm(60, 3), Arm(540, 3))
    steps = (FIRST, SECOND)
    alone = evidence(suspicious, suspicious)
    assert alone.crossing is None
    together = evidence(suspicious, suspicious, suspicious, GOOD, suspicious, suspicious, suspicious, steps=steps)
    assert together.crossing is not None
    assert together.crossing.since_seconds == FIRST.start_seconds


def test_figures_are_the_newest_steps_and_the_limit_is_stables_share_times_the_margin() -> None:
    status = judge(evidence((Arm(200, 1), Arm(1000, 10))), TEST, (FIRST,))
    assert (status.value, status.reference, status.limit) == ("0.005", "0.01", "0.012")
    assert status.samples == 200
    assert status.last_check_time == datetime.fromtimestamp(NOON + 10, UTC)


def test_evidence_is_told_in_percent_of_what_fails() -> None:
    nothing, some, all_of_it = (
        judge(evidence(one), TEST, (FIRST,)).evidence for one in (GOOD, (Arm(60, 3), Arm(540, 1)), BAD)
    )
    assert nothing == "0 %"
    assert 0 < int(str(some).removesuffix(" %")) < 100
    assert all_of_it == "100 %"
