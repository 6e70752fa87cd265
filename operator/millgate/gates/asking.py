"""From what `compare` of a gate says to the test that answers it."""

from dataclasses import dataclass
from typing import Any

from millgate.api.defaults import max_ratio_of, min_effect_of
from millgate.api.spec import Compare, Reference, Statistic
from millgate.gates.before_gate import BeforeTest
from millgate.gates.compare import Terms, Test
from millgate.gates.counters import NOTHING, Arm
from millgate.gates.latency import Bound
from millgate.gates.mean_gate import WHOLE_GATE, MeanTest
from millgate.gates.presets import described, noun_of, statistic_of
from millgate.gates.segments import REST
from millgate.gates.shape_gate import ShapeTest
from millgate.gates.shapes import Shapes
from millgate.gates.share_gate import SegmentTest, ShareTest

_AGAINST = {
    Reference.STABLE: ("stable", "stable revision"),
    Reference.BASELINE: ("the baseline", "baseline pods"),
    Reference.BEFORE: ("stable's last hour", "stable revision in its last hour"),
    Reference.TRAINING: ("its training", "stable revision"),
}


@dataclass(frozen=True)
class Past:
    """Stable's last hour: how its events scatter, what it did, and the segments that it had."""

    dispersion: float = 1.0
    arm: Arm | None = None
    shapes: Shapes | None = None
    segments: tuple[str, ...] = (REST,)


NO_PAST = Past()


@dataclass(frozen=True)
class Asked:
    """A Compare gate, and what it has to know before it can judge. `shipped`: the training distribution."""

    name: str
    compare: Compare
    alpha: float
    bound: Bound | None = None
    past: Past = NO_PAST
    shipped: Shapes | None = None


def terms_of(name: str, compare: Compare, alpha: float) -> Terms:
    against, label = _AGAINST[compare.reference]
    return Terms(
        name=name,
        alpha=alpha,
        min_samples=compare.min_samples,
        against=against,
        against_label=label,
        # Against training stable is the witness; where it has no traffic, its past hour is.
        needs_reference=compare.reference in {Reference.STABLE, Reference.BASELINE},
        checks_traffic=compare.reference is Reference.STABLE and statistic_of(compare) is not Statistic.MEAN,
    )


def test_of(asked: Asked) -> Test[Any, Any]:
    """The test that answers the gate's question."""
    compare, past, bound = asked.compare, asked.past, asked.bound
    terms = terms_of(asked.name, compare, asked.alpha)
    pass_ratio = None if compare.pass_ratio is None else float(compare.pass_ratio)
    match statistic_of(compare):
        case Statistic.DISTRIBUTION:
            past_alone = compare.is_before
            return ShapeTest(
                terms, min_effect_of(compare), noun_of(compare), past.shapes, asked.shipped, past_alone=past_alone
            )
        case Statistic.MEAN:
            return MeanTest(
                terms,
                max_ratio_of(compare),
                pass_ratio,
                min_effect_of(compare),
                compare.segment_by,
                past.segments if compare.segment_by else WHOLE_GATE,
                past.arm or NOTHING if compare.is_before else None,
            )
        case _ if compare.is_before:
            return BeforeTest(
                terms,
                max_ratio_of(compare),
                described(compare, bound),
                past.arm or NOTHING,
                past.dispersion,
                min_effect_of(compare),
            )
        case _:
            share = ShareTest(
                terms,
                max_ratio_of(compare),
                described(compare, bound),
                past.dispersion,
                pass_ratio,
                min_effect_of(compare),
                past.arm or NOTHING,
            )
            return share if compare.segment_by is None else SegmentTest(share, compare.segment_by, past.segments)
