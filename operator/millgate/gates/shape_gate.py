"""Distributions: has what the model answers, or what it is asked, another shape than the reference's?

Fails only when a shift is both real and large, in one of the variables that are looked at: see `drift` and `training`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from millgate.api.conditions import Reason
from millgate.gates.before import drawn
from millgate.gates.compare import Figures, Terms
from millgate.gates.drift import Drift
from millgate.gates.eprocess import log_average
from millgate.gates.shapes import Bins, Shape, Shapes, common_bins
from millgate.gates.training import Training

MAX_VARIABLES = 100


@dataclass(frozen=True)
class Variable:
    """One variable since a step began: the buckets that both sides have, and the drift between them.

    `left`: what has not been drawn yet of stable's past hour, where that is the reference.
    """

    bins: Bins
    drift: Drift = field(default_factory=Drift)
    shipped: tuple[float, ...] | None = None
    left: tuple[float, ...] | None = None

    def with_interval(self, candidate: Shape, reference: Shape) -> "Variable":
        mine, left = self.bins.counts(candidate), self.left
        if mine is None:
            return self
        if left is None:
            theirs = self.bins.counts(reference)
            return self if theirs is None else replace(self, drift=self.drift.with_interval(mine, theirs))
        theirs = drawn(left, sum(mine))
        left = tuple(count - gone for count, gone in zip(left, theirs, strict=True))
        return replace(self, drift=self.drift.with_interval(mine, theirs, witness=mine), left=left)

    @property
    def size(self) -> float | None:
        """How large the shift is (PSI_c); for a shift from training, what stable has not. None with too few answers."""
        ordered = bool(self.bins.bounds)
        if self.shipped is not None:
            return Training(self.shipped, self.drift).excess(ordered=ordered)
        index = self.drift.index(ordered=ordered)
        return None if index is None else index.value


@dataclass(frozen=True)
class ShapeTally:
    """All variables since a step began. They are those of the first interval in which both sides answered."""

    variables: Mapping[str, Variable] | None = None
    answered: tuple[float, float] = (0.0, 0.0)

    @property
    def log_e(self) -> float:
        return log_average([variable.drift.log_e for variable in self.variables.values()]) if self.variables else 0.0

    @property
    def log_bound(self) -> float:
        return max((variable.drift.log_e for variable in (self.variables or {}).values()), default=0.0)

    @property
    def samples(self) -> tuple[float, float]:
        return self.answered

    def culprit(self, alpha: float) -> tuple[str, Variable] | None:
        """The variable that fails the gate, if one does: the largest shift of those that are certain."""
        if not self.variables:
            return None
        most = max(variable.drift.log_e for variable in self.variables.values())
        certain = min(most, math.log(len(self.variables) / alpha))
        named = [(name, one) for name, one in self.variables.items() if one.drift.log_e >= certain]
        return max(named, key=lambda item: -math.inf if item[1].size is None else item[1].size)


@dataclass(frozen=True)
class ShapeTest:
    """What a gate of a distribution asks. `noun`: 'predictions', 'features'.

    `past`: stable's hour before, which is the reference where it is `past_alone`, and where stable answers nothing.
    `shipped`: the training distribution, where that is the reference: then a shift is what the candidate is farther
    from it than stable.
    """

    terms: Terms
    min_effect: float
    noun: str = "values"
    past: Shapes | None = None
    shipped: Shapes | None = None
    past_alone: bool = False

    def begin(self) -> ShapeTally:
        return ShapeTally()

    def folded(
        self, processes: tuple[ShapeTally, ...], candidate: Shapes, reference: Shapes | None
    ) -> tuple[ShapeTally, ...]:
        live = {} if self.past_alone else reference or {}
        return tuple(self._with(one, candidate, live) for one in processes)

    def _with(self, tally: ShapeTally, candidate: Shapes, reference: Shapes) -> ShapeTally:
        variables = tally.variables if tally.variables is not None else self._variables(candidate, reference)
        answered = (tally.answered[0] + _most(candidate), tally.answered[1] + _most(reference or self.past or {}))
        if variables is None:
            return ShapeTally(None, answered)
        folded = {
            name: variable.with_interval(candidate.get(name, Shape()), reference.get(name, Shape()))
            for name, variable in variables.items()
        }
        return ShapeTally(folded, answered)

    def _variables(self, candidate: Shapes, live: Shapes) -> Mapping[str, Variable] | None:
        """None until both sides have answered something."""
        from_past = _most(live) <= 0 and self.past is not None
        reference = self.past if from_past and self.past is not None else live
        if _most(candidate) <= 0 or _most(reference) <= 0:
            return None
        found: dict[str, Variable] = {}
        for name in sorted(set(candidate) & set(reference))[:MAX_VARIABLES]:
            bins = common_bins(candidate[name], reference[name])
            shipped = None
            if self.shipped is not None:
                if name not in self.shipped:
                    continue
                bins = bins.shared_with(self.shipped[name])
                shipped = bins.counts(self.shipped[name])
            if len(bins) >= 2:
                left = bins.counts(reference[name]) if from_past else None
                found[name] = Variable(bins, shipped=shipped, left=left)
        return found

    def is_large(self, process: ShapeTally) -> bool:
        culprit = process.culprit(self.terms.alpha)
        return culprit is not None and (culprit[1].size or 0.0) >= self.min_effect

    def is_proven_good(self, process: ShapeTally) -> bool:
        del process  # a distribution has no passRatio
        return False

    def lacks(self, process: ShapeTally) -> str | None:
        if process.variables is not None and not process.variables:
            return f"the {self.noun} of the two are counted in buckets that have no bound in common"
        if process.variables is None or all(one.size is None for one in process.variables.values()):
            return f"{process.samples[0]:,.0f} {self.noun} of the candidate: too few to tell a shape"
        return None

    def figures(self, process: ShapeTally) -> Figures:
        sizes = [one.size for one in (process.variables or {}).values()]
        known = [size for size in sizes if size is not None]
        return Figures(value=f"{max(known):.4g}" if known else None, limit=f"{self.min_effect:g}")

    def worse(self, process: ShapeTally) -> tuple[Reason, str, str]:
        name, worst = process.culprit(self.terms.alpha) or ("", Variable(Bins((), ())))
        named = f" of {name}" if name else ""
        found = f"the {self.noun}{named} have moved by {worst.size or 0.0:.3g} (PSI), over {worst.drift.samples:,.0f}"
        return Reason.SHIFTED, found, f"another distribution than {self.terms.against}"

    def fine(self, process: ShapeTally) -> str:
        figures = self.figures(process)
        return (
            f"the {self.noun} have moved by {figures.value} (PSI) at most, over {process.samples[0]:,.0f}: "
            f"not shown to differ from {self.terms.against} by {self.min_effect:g}"
        )

    def seconds_to_see_double(self, process: ShapeTally, seconds: float) -> float | None:
        """A distribution has no double."""
        del process, seconds
        return None


def _most(shapes: Shapes) -> float:
    """How many answers the busiest variable tells of: each answer has all outputs."""
    return max((shape.total for shape in shapes.values()), default=0.0)
