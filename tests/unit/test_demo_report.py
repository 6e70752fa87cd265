"""The demo's table: what it counts as lost, bad and served, and which claims fail for which story."""

from dataclasses import replace

import pytest

from e2e.demo.answers import Answer, Broken, Kind, parse
from e2e.demo.report import (
    ByVersion,
    Moment,
    Outcome,
    Route,
    Told,
    by_version,
    claims,
    exposure_seconds,
    last_answer,
    lost,
    render,
    written,
)

BROKEN = Broken("3", frozenset({7}), since=100.0)


def answer(end=110.0, code=200, version="1", row=0, **more):
    error = None if code == 200 else "the model failed to answer"
    fields = {"start": end - 0.01, "connection": "fresh", "right": code == 200, "error": error, **more}
    return Answer(end=end, code=code, version=version if code == 200 else None, row=row, **fields)


GOOD = Told(
    titles={"1": "small", "2": "large", "3": "broken"},
    moments=(Moment(50.0, "v1 applied"), Moment(120.0, "v3 is taken back")),
    outcomes=(
        Outcome("2", "RolledBack", "RolledBackByUser", ""),
        Outcome("3", "RolledBack", "GuardrailBreached", "6 % failed"),
        Outcome("2", "Promoted", "AllChecksPassed", ""),
        Outcome("1", "Promoted", "FirstRevision", ""),
    ),
    answers=(
        answer(60.0, version="1"),
        answer(61.0, version="1", right=False),
        answer(90.0, version="2"),
        answer(101.0, version="3"),
        answer(105.0, code=500, row=7),
        answer(108.5, version="3"),
        answer(140.5, version="2"),
        answer(145.0, version="1"),
    ),
    routes=(
        Route(50.0, "1"),
        Route(80.0, None),
        Route(88.0, "2"),
        Route(100.5, None),
        Route(107.0, "2"),
        Route(140.2, "1"),
    ),
    broken=BROKEN,
    rollback_asked=140.0,
    rollback_done=142.0,
    rolled_back_from="2",
    rolled_back_to="1",
)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (answer(), Kind.SERVED),
        (answer(code=500, row=7), Kind.BAD),
        (answer(code=500, row=8), Kind.LOST),
        (answer(code=500, row=7, end=99.0), Kind.LOST),
        (answer(code=503, row=7), Kind.LOST),
        (answer(code=0, row=7), Kind.LOST),
        (answer(code=404, row=7), Kind.LOST),
    ],
    ids=[
        "an answer",
        "a failure on a row that only the broken version fails on",
        "a failure on a row that no version fails on",
        "a failure before the broken version was there",
        "a refusal is never the model's",
        "no answer at all",
        "a client's error",
    ],
)
def test_a_failure_is_the_broken_version_s_only_where_no_other_would_have_failed(given, kind):
    assert BROKEN.kind_of(given) is kind


def test_requests_are_counted_by_version_with_the_bad_ones_apart():
    counts = by_version(GOOD.answers, BROKEN, GOOD.titles)
    assert counts == {"1": ByVersion(3, 0, 2), "2": ByVersion(2, 0, 2), "3": ByVersion(2, 1, 2)}


def test_exposure_lasts_from_the_first_bad_answer_to_the_last_answer_of_that_version_good_or_bad():
    assert exposure_seconds(GOOD.answers, BROKEN) == pytest.approx(3.5)
    assert exposure_seconds(GOOD.answers[:4], BROKEN) is None


def test_the_last_answer_of_a_version_may_be_a_bad_one():
    assert last_answer(GOOD.answers[:5], "3", BROKEN) == 105.0
    assert last_answer(GOOD.answers, "2", BROKEN) == 140.5
    assert last_answer(GOOD.answers, "9", BROKEN) is None


def test_the_route_is_written_when_it_is_pinned_after_the_question():
    assert written(GOOD.routes, "2", 100.0) == 107.0
    assert written(GOOD.routes, "2", 110.0) is None


def test_a_story_as_promised_bears_out_every_claim():
    assert [claim.name for claim in claims(GOOD) if not claim.holds] == []


@pytest.mark.parametrize(
    ("told", "claim"),
    [
        (replace(GOOD, answers=(*GOOD.answers, answer(code=0))), "requests lost"),
        (replace(GOOD, answers=()), "requests lost"),
        (replace(GOOD, outcomes=GOOD.outcomes[1:2]), "v2 promoted"),
        (replace(GOOD, outcomes=(Outcome("2", "Aborted", "AbortedByUser", ""),)), "v2 promoted"),
        (replace(GOOD, outcomes=(Outcome("3", "Promoted", "AllChecksPassed", ""),)), "v3 taken back by itself"),
        (replace(GOOD, answers=GOOD.answers[:4]), "bad answers served by v3"),
        (
            replace(GOOD, answers=(*GOOD.answers, answer(150.0, version="2"))),
            "last answer by v2 after the route's write",
        ),
        (replace(GOOD, answers=(*GOOD.answers, answer(150.0, version="2"))), "rollback to v1 by one command"),
        (replace(GOOD, answers=GOOD.answers[:-1]), "rollback to v1 by one command"),
        (
            replace(GOOD, answers=(*GOOD.answers, answer(109.5, code=500, row=7))),
            "last answer by v3 after the route's write",
        ),
        (replace(GOOD, routes=GOOD.routes[:4]), "last answer by v3 after the route's write"),
        (replace(GOOD, answers=(*GOOD.answers, answer(version="2", right=False))), "v2 right more often than v1"),
    ],
    ids=[
        "a request without an answer",
        "no request at all",
        "v2 never ended",
        "v2 aborted",
        "v3 promoted",
        "v3 never failed",
        "v2 answers long after the rollback",
        "v2 answers after the rollback was done",
        "nobody answers after the rollback",
        "v3 answers on after it was taken back",
        "the route was never taken back",
        "v2 is no better",
    ],
)
def test_a_story_that_went_otherwise_fails_the_claim_it_breaks(told, claim):
    failed = [each.name for each in claims(told) if not each.holds]
    assert claim in failed


def test_the_table_names_each_loss():
    text = render(replace(GOOD, answers=(*GOOD.answers, answer(code=0, row=12))))
    assert "1 of 9" in text
    assert "code 0, fresh connection, row 12" in text
    assert lost(GOOD.answers, BROKEN) == []


def test_the_table_never_runs_backwards():
    text = render(replace(GOOD, moments=(Moment(50.0, "first"), Moment(52.6, "second"), Moment(52.0, "third"))))
    assert [line.split()[1] for line in text.splitlines()[1:4]] == ["0.0", "2.6", "2.6"]


def test_a_page_of_the_clients_reads_back():
    page = [[1.0, 1.5, 200, "2", "kept", 4, True, None]]
    assert parse(page) == [Answer(1.0, 1.5, 200, "2", "kept", 4, True, None)]
