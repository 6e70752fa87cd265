"""A course read tick by tick, in pieces, or all at once by a fresh process comes to the same figures."""

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millgate.api.spec import Compare, ComparePreset
from millgate.gates.asking import NO_PAST, Past
from millgate.gates.compare import TrafficStep
from millgate.gates.counters import Arm
from millgate.gates.course import Course
from millgate.gates.gate_course import CompareCourse
from millgate.gates.grid import Grid
from millgate.gates.latency import Bound
from millgate.gates.presets import Wanted

NOON = 1_700_000_000
GRID = Grid(NOON, 10)
STEPS = (TrafficStep("canary-10", NOON - 0.5), TrafficStep("half", NOON + 103.0), TrafficStep("most", NOON + 200.0))
ERRORS = CompareCourse("errors", Compare(preset=ComparePreset.ERRORS), 0.005)
LATENCY = CompareCourse("latency", Compare(preset=ComparePreset.LATENCY, max_ratio="1.5"), 0.005)
POINTS = GRID.points(NOON, NOON + 400)
AT = datetime.fromtimestamp(NOON + 401, UTC)


@dataclass(frozen=True)
class Read:
    labels: dict[str, str]
    samples: tuple[tuple[float, float], ...]

    def within(self, points: range) -> "Read":
        return Read(self.labels, tuple(sample for sample in self.samples if sample[0] in points))


def course(*gates: CompareCourse, steps: tuple[TrafficStep, ...] = STEPS) -> Course:
    return Course("fraud-2-rnew", "rnew", "rold", GRID, steps, gates or (ERRORS, LATENCY))


def scraped(seed: int, points: range = POINTS) -> list[Read]:
    """Pods of both revisions that count, restart and vanish from sight at random."""
    dice = random.Random(seed)
    series = []
    for pod in range(4):
        revision = "rnew" if pod % 2 else "rold"
        totals = dict.fromkeys(("requests", "errors", "count", "bucket"), 0.0)
        samples: dict[str, list[tuple[float, float]]] = {name: [] for name in totals}
        for point in points:
            if dice.random() < 0.05:
                totals = dict.fromkeys(totals, 0.0)
            answered, failed, slow = dice.randrange(40), dice.randrange(3), dice.randrange(3)
            totals["requests"] += answered
            totals["count"] += answered
            totals["errors"] += min(failed, answered)
            totals["bucket"] += answered - min(slow, answered)
            if dice.random() < 0.9:
                for name, value in totals.items():
                    samples[name].append((float(point), value))
        own = {"revision": revision, "pod": str(pod), "namespace": "ns"}
        series += [
            Read({**own, "__name__": "millgate_requests_total"}, tuple(samples["requests"])),
            Read({**own, "__name__": "millgate_request_errors_total"}, tuple(samples["errors"])),
            Read({**own, "__name__": "millgate_request_duration_seconds_count"}, tuple(samples["count"])),
            Read(
                {**own, "__name__": "millgate_request_duration_seconds_bucket", "le": "0.5"}, tuple(samples["bucket"])
            ),
        ]
    return series


def with_bound(gate: CompareCourse) -> CompareCourse:
    return replace(gate, bound=Bound("0.5", NOON), past=NO_PAST)


@settings(max_examples=40, deadline=None)
@given(st.integers(min_value=0, max_value=2**32), st.lists(st.integers(min_value=1, max_value=12), min_size=1))
def test_reading_in_pieces_gives_the_same_figures_as_reading_all_at_once(seed: int, pieces: list[int]) -> None:
    series = scraped(seed)
    whole = course(ERRORS, with_bound(LATENCY)).folded(series, POINTS)
    piecewise, position, turn = course(ERRORS, with_bound(LATENCY)), NOON, 0
    while position < POINTS[-1]:
        points = GRID.points(position, POINTS[-1])[: pieces[turn % len(pieces)] + 1]
        piecewise = piecewise.folded([one.within(points) for one in series], points)
        position, turn = points[-1], turn + 1
    assert piecewise == whole


OWN = {"numerator": "tokens", "denominator": "hits"}
EVERYTHING = (
    CompareCourse("cold", Compare(preset=ComparePreset.ERRORS, warmup_seconds=45, pass_ratio="2"), 0.005),
    CompareCourse(
        "later", Compare(preset=ComparePreset.ERRORS, reference="Before", max_ratio="2"), 0.005, first_step=1
    ),
    CompareCourse("shape", Compare(preset=ComparePreset.PREDICTIONS), 0.005),
    CompareCourse("mean", Compare(statistic="Mean", **OWN), 0.005),
    CompareCourse("parts", Compare(statistic="Rate", **OWN, segment_by="tenant"), 0.005),
    CompareCourse("baseline", Compare(preset=ComparePreset.ERRORS, reference="Baseline"), 0.005),
)
KNOWN = Past(dispersion=1.5, arm=Arm(9000, 300), segments=("a", "__rest__"))


def more_scraped(seed: int) -> list[Read]:
    """Predictions and another server's counters of pods that come late, vanish from sight and count at random."""
    dice = random.Random(seed)
    series = []
    for pod in range(6):
        revision = ("rnew", "rold", "rold-baseline")[pod % 3]
        own = {"revision": revision, "pod": f"fraud-{revision}-5d8f7-x2x4{pod}", "namespace": "ns"}
        born = dice.randrange(20)
        seen = [point for index, point in enumerate(POINTS) if index >= born and dice.random() < 0.9]

        def counter(name: str, rate: int, own: dict[str, str] = own, seen: list[int] = seen, **labels: str) -> Read:
            total, samples = 0, []
            for point in seen:
                total = 0 if dice.random() < 0.03 else total + dice.randrange(rate)
                samples.append((float(point), float(total)))
            return Read({**own, "__name__": name, **labels}, tuple(samples))

        series += [counter("millgate_requests_total", 60), counter("millgate_request_errors_total", 4)]
        series += [counter("millgate_prediction_category_total", 30, output="y", category=c) for c in ("a", "b", "c")]
        for selector, rate in (("hits", 60), ("tokens", 40)):
            tag = Wanted(selector).tag
            series += [counter(selector, rate, tenant=one, millgate_counter=tag) for one in ("a", "b")]
    return series


@settings(max_examples=25, deadline=None)
@given(st.integers(min_value=0, max_value=2**32), st.lists(st.integers(min_value=1, max_value=12), min_size=1))
def test_every_kind_of_gate_read_in_pieces_gives_the_same_figures(seed: int, pieces: list[int]) -> None:
    series = more_scraped(seed)
    begun = replace(course(*(replace(gate, past=KNOWN) for gate in EVERYTHING)), name="fraud")
    whole = begun.folded(series, POINTS)
    piecewise, position, turn = begun, NOON, 0
    while position < POINTS[-1]:
        points = GRID.points(position, POINTS[-1])[: pieces[turn % len(pieces)] + 1]
        piecewise = piecewise.folded([one.within(points) for one in series], points)
        position, turn = points[-1], turn + 1
    assert piecewise == whole
    assert piecewise.verdicts(AT) == whole.verdicts(AT)


def test_every_kind_of_gate_counts_something_in_what_is_read() -> None:
    begun = replace(course(*(replace(gate, past=KNOWN) for gate in EVERYTHING)), name="fraud")
    for gate in begun.folded(more_scraped(7), POINTS).gates:
        assert gate.evidence.tallies, gate.name
        assert min(gate.evidence.tallies[0].samples) > 100, gate.name


def test_a_gate_of_a_later_step_knows_nothing_of_what_came_before() -> None:
    begun = replace(course(replace(EVERYTHING[1], past=KNOWN)), name="fraud")
    later = begun.folded(more_scraped(7), POINTS)
    from_then = begun.folded([one.within(GRID.points(NOON + 110, NOON + 400)) for one in more_scraped(7)], POINTS)
    assert later == from_then
    assert len(later.gates[0].evidence.tallies) == len(STEPS) - 1


def test_reading_a_point_again_counts_nothing_twice() -> None:
    series = scraped(1)
    once = course(ERRORS).folded(series, POINTS)
    assert once.folded(series, POINTS) == once
    assert once.gates[0].evidence.tallies[0].candidate.requests > 0


@settings(max_examples=20, deadline=None)
@given(st.integers(min_value=0, max_value=2**32))
def test_steps_that_begin_while_it_is_read_change_nothing(seed: int) -> None:
    """Live, a step is not known before it begins; the fresh process that reads it again knows them all."""
    series, live = scraped(seed), course(ERRORS, steps=STEPS[:1])
    for point in POINTS[1:]:
        begun = tuple(step for step in STEPS if step.start_seconds <= point)
        live = live.continued(course(ERRORS, steps=begun))
        points = GRID.points(point - 10, point)
        live = live.folded([one.within(points) for one in series], points)
    fresh = course(ERRORS).folded(series, POINTS)
    assert live == fresh
    assert live.verdicts(AT) == fresh.verdicts(AT)


@pytest.mark.parametrize(
    "other",
    [
        replace(course(ERRORS), rollout_id="fraud-3-rnew"),
        replace(course(ERRORS), candidate="rother"),
        replace(course(ERRORS), stable="rother"),
        replace(course(ERRORS), grid=Grid(NOON, 15)),
        replace(course(ERRORS), grid=Grid(NOON + 1, 10)),
        course(replace(ERRORS, alpha=0.01)),
        course(replace(ERRORS, compare=Compare(preset=ComparePreset.ERRORS, max_ratio="2"))),
        course(ERRORS, LATENCY),
        course(ERRORS, steps=STEPS[:2]),
        course(ERRORS, steps=(*STEPS, TrafficStep("late", NOON + 390.0))),
    ],
    ids=[
        "another rollout",
        "another candidate",
        "another stable",
        "another interval",
        "another anchor",
        "another alpha",
        "another margin",
        "another gate",
        "a step less",
        "a step that began in what was read already",
    ],
)
def test_evidence_of_something_else_is_not_carried_over(other: Course) -> None:
    known = course(ERRORS).folded(scraped(2), POINTS)
    assert known.continued(other) == other


def test_evidence_is_carried_over_when_nothing_or_only_the_next_step_is_new() -> None:
    known = course(ERRORS).folded(scraped(2), POINTS)
    assert known.continued(course(ERRORS)) == known
    following = TrafficStep("next", NOON + 401.0)
    assert known.continued(course(ERRORS, steps=(*STEPS, following))) == replace(known, steps=(*STEPS, following))


def test_a_latency_gate_judges_only_what_came_after_its_bound_was_known() -> None:
    late = replace(LATENCY, bound=Bound("0.5", NOON + 200), past=NO_PAST)
    judged = course(late).folded(scraped(3), POINTS).gates[0].evidence
    again = course(late).folded([one.within(GRID.points(NOON + 200, NOON + 400)) for one in scraped(3)], POINTS)
    assert judged == again.gates[0].evidence


def test_without_enough_requests_of_stable_a_latency_gate_says_what_it_lacks() -> None:
    thin = [Read({"le": le}, ((float(NOON), count),)) for le, count in (("0.5", 9.0), ("+Inf", 10.0))]
    status = course(LATENCY).with_bounds(thin, NOON).verdicts(AT)[0]
    assert (status.verdict.value, status.reason) == ("Inconclusive", "NoData")
    assert "0.99 quantile" in status.message


def test_clustered_errors_of_stable_before_the_rollout_damp_the_evidence() -> None:
    gate = course(ERRORS)
    hour = gate.past_of(gate.gates[0])
    own = {"revision": "rold", "pod": "1"}
    clusters = Read(
        {**own, "__name__": "millgate_request_errors_total"},
        tuple((float(t), 10.0 * (i // 10)) for i, t in enumerate(hour)),
    )
    requests = Read(
        {**own, "__name__": "millgate_requests_total"}, tuple((float(t), 100.0 * i) for i, t in enumerate(hour))
    )
    calm, damped = (gate.with_past(told).gates[0].past for told in ([requests], [requests, clusters]))
    assert calm is not None
    assert damped is not None
    assert calm.dispersion == 1.0
    assert damped.dispersion > 5
    assert len(hour) == 361
    assert hour[-1] == NOON
