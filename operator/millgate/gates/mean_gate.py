"""Means: what the candidate needs per request (tokens, seconds, bytes), whole or by segment. See `mean`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from millgate.api.conditions import Reason
from millgate.gates.compare import Figures, Terms
from millgate.gates.counters import NOTHING, Arm
from millgate.gates.detection import DOUBLE
from millgate.gates.eprocess import log_average
from millgate.gates.mean import MIN_INTERVALS, Mean
from millgate.gates.measures import Arms
from millgate.gates.segments import REST

WHOLE_GATE = ("",)


@dataclass(frozen=True)
class MeanTally:
    """One mean for each segment; a gate without segments has one, ''. `good` asks the mirror question of all."""

    segments: Mapping[str, Mean]
    good: Mean
    candidate: Arm = NOTHING
    reference: Arm = NOTHING

    @property
    def log_e(self) -> float:
        return log_average([mean.log_e for mean in self.segments.values()])

    @property
    def log_bound(self) -> float:
        return max(mean.log_e for mean in self.segments.values())

    @property
    def samples(self) -> tuple[float, float]:
        return self.candidate.requests, self.reference.requests

    @property
    def worst(self) -> tuple[str, Mean]:
        return max(self.segments.items(), key=lambda item: (item[1].log_e, item[1].intervals))


@dataclass(frozen=True)
class MeanTest:
    """What a gate of a mean asks. `past`, where given, is what the candidate is held against at every interval."""

    terms: Terms
    max_ratio: float
    pass_ratio: float | None = None
    min_effect: float = 0.0
    segment_by: str | None = None
    names: tuple[str, ...] = WHOLE_GATE
    past: Arm | None = None

    def begin(self) -> MeanTally:
        return MeanTally({name: Mean() for name in self.names}, Mean())

    def folded(
        self, processes: tuple[MeanTally, ...], candidate: Arm | Arms, reference: Arm | Arms | None
    ) -> tuple[MeanTally, ...]:
        mine, theirs = self._by_name(candidate), self._by_name(NOTHING if reference is None else reference)
        if self.past is not None:
            theirs = dict.fromkeys(mine, self.past)
        whole, held = sum(mine.values(), NOTHING), sum(theirs.values(), NOTHING)
        return tuple(self._with(one, mine, theirs, whole, held) for one in processes)

    def _with(
        self, tally: MeanTally, mine: Mapping[str, Arm], theirs: Mapping[str, Arm], whole: Arm, held: Arm
    ) -> MeanTally:
        segments = {
            name: mean.with_interval(mine.get(name, NOTHING), theirs.get(name, NOTHING), self.max_ratio)
            for name, mean in tally.segments.items()
        }
        # The mirror question is the same with the roles exchanged: is stable's mean above 1/passRatio of mine?
        good = tally.good if self.pass_ratio is None else tally.good.with_interval(held, whole, 1 / self.pass_ratio)
        return MeanTally(segments, good, tally.candidate + whole, tally.reference + held)

    def _by_name(self, arms: Arm | Arms) -> Mapping[str, Arm]:
        if isinstance(arms, Arm):
            return {"": arms}
        found: dict[str, Arm] = {}
        for value, arm in sorted(arms.items()):
            name = value if value in self.names else REST
            found[name] = found.get(name, NOTHING) + arm
        return found

    def is_large(self, process: MeanTally) -> bool:
        worst = process.worst[1]
        return (worst.candidate.share or 0.0) - (worst.stable.share or 0.0) >= self.min_effect

    def is_proven_good(self, process: MeanTally) -> bool:
        return self.pass_ratio is not None and process.good.log_e >= -math.log(self.terms.alpha)

    def lacks(self, process: MeanTally) -> str | None:
        intervals = process.worst[1].intervals
        if intervals >= MIN_INTERVALS:
            return None
        return f"{intervals} of {MIN_INTERVALS} intervals with requests: how much a mean scatters is not known yet"

    def figures(self, process: MeanTally) -> Figures:
        value, reference = process.candidate.share, process.reference.share
        return Figures(
            value=None if value is None else f"{value:.4g}",
            reference=None if reference is None else f"{reference:.4g}",
            limit=None if reference is None else f"{self.max_ratio * reference:.4g}",
        )

    def worse(self, process: MeanTally) -> tuple[Reason, str, str]:
        name, worst = process.worst
        where = f'{self.segment_by}="{name}": ' if self.segment_by else ""
        shown = f"more than {self.max_ratio:g} times {self.terms.against}"
        return Reason.WORSE_THAN_STABLE, f"{where}{self._found(worst.candidate, worst.stable)}", shown

    def fine(self, process: MeanTally) -> str:
        found = self._found(process.candidate, process.reference)
        if self.is_proven_good(process):
            return f"{found}: shown to be less than {self.pass_ratio:g} times {self.terms.against}"
        return f"{found}: not shown to be more than {self.max_ratio:g} times {self.terms.against}"

    def _found(self, candidate: Arm, reference: Arm) -> str:
        return f"{_mean(candidate)} on average, {_mean(reference)} on {self.terms.against}"

    def seconds_to_see_double(self, process: MeanTally, seconds: float) -> float | None:
        """Not known before it is known how much the mean scatters."""
        mean = process.worst[1]
        intervals = mean.intervals_to_see(DOUBLE, alpha=self.terms.alpha, rho=self.max_ratio)
        return None if intervals is None else intervals * seconds / mean.intervals


def _mean(arm: Arm) -> str:
    return "nothing" if arm.share is None else f"{arm.share:.4g}"
