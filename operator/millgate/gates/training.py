"""`Training`: has the candidate moved away from the distribution that its model was shipped with, and stable not?

All models in production are asked other things than they were trained on; a candidate is blamed only for what its
distance exceeds stable's by, and only when the two are shown to differ (facts/gates.md 3.3).
"""

from dataclasses import dataclass, field, replace

from millgate.gates.drift import Counts, Drift, index_between


@dataclass(frozen=True)
class Training:
    """One process of the mixture. `shipped`: the counts of the training data, in the same buckets."""

    shipped: Counts
    drift: Drift = field(default_factory=Drift)

    def with_interval(self, candidate: Counts, stable: Counts) -> "Training":
        return replace(self, drift=self.drift.with_interval(candidate, stable))

    @property
    def log_e(self) -> float:
        """The evidence that candidate and stable differ at all."""
        return self.drift.log_e

    def candidate_distance(self, *, ordered: bool = True) -> float | None:
        """PSI_c between the candidate and its training; None with too few answers."""
        size = sum(self.shipped)
        answers = self.drift.samples / (self.drift.dispersion or 1.0)
        index = index_between(self.drift.candidate, self.shipped, answers, size, ordered=ordered)
        return None if index is None else index.value

    def stable_distance(self, *, ordered: bool = True) -> float | None:
        """PSI_c between stable at the same times and the same training; None with too few answers."""
        size = sum(self.shipped)
        answers = self.drift.effective / (self.drift.dispersion or 1.0)
        index = index_between(self.drift.expected, self.shipped, answers, size, ordered=ordered)
        return None if index is None else index.value

    def excess(self, *, ordered: bool = True) -> float | None:
        """By how much the candidate is farther from its training than stable is. Fail: log_e and this are large."""
        mine, theirs = self.candidate_distance(ordered=ordered), self.stable_distance(ordered=ordered)
        return None if mine is None or theirs is None else mine - max(0.0, theirs)
