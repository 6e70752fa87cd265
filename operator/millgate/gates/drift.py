"""`Distribution`: has the shape of what the candidate answers (or is asked) shifted against stable's at the same time?

Two questions, and only both together fail: is the difference real (a prequential multinomial e-process, valid at every
look), and is it large (the population stability index without its bias from small samples)? facts/gates.md 3.3.

An interval multiplies the evidence by prod p1(candidate's) * prod p2(stable's) / prod p0(both's), p0 = w p1 + (1-w) p2
with the observed share w. Its expectation is at most 1 for any p1 and p2 that were fixed before, whatever distribution
both have in common (Turner, Ly and Grünwald, "Generic E-variables for exact sequential k-sample tests that allow for
optional stopping", 2021).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from millgate.gates.eprocess import log_average

Counts = tuple[float, ...]
"""How many answers fell into each bucket or category, not cumulated."""

PRIOR_STRENGTHS = (20.0, 200.0, 2000.0)
"""For how many answers stable's shares count when the candidate's next ones are foretold: for large, middling and
small differences."""
MIN_PER_BUCKET = 50.0
"""On the smaller side. Buckets with fewer are merged with their neighbours before the index is taken."""
_NO_EVIDENCE = (0.0,) * len(PRIOR_STRENGTHS)
_KNOWN_FROM = 4.0
"""So many degrees of freedom tell how much answers scatter; before, the candidate is only watched."""


@dataclass(frozen=True)
class Index:
    """How far apart two distributions are: the population stability index less its expectation for equal ones."""

    value: float
    buckets: int


@dataclass(frozen=True)
class Drift:
    """One process of the mixture: since a step began, for one output or feature.

    `expected` is what stable's answers of each interval would have been, had they been as many as the candidate's:
    so a change in the world while weights change is none between the two. `effective` is how many independent
    answers it rests on. `last` are the witness's counts of the interval before; `scatter` over `freedom` is how much
    more they differ from interval to interval than independent answers would.
    """

    candidate: Counts = ()
    expected: Counts = ()
    noise: float = 0.0
    logs: tuple[float, ...] = _NO_EVIDENCE
    last: Counts = ()
    scatter: float = 0.0
    freedom: float = 0.0

    def with_interval(self, candidate: Counts, stable: Counts, witness: Counts | None = None) -> "Drift":
        """Counts by bucket of one interval. One in which either had none says nothing and is left out.

        `witness`: by whom it is told how much answers scatter; stable, unless its counts are no true interval's.
        """
        mine, theirs = sum(candidate), sum(stable)
        if mine <= 0 or theirs <= 0:
            return self
        before = self.candidate or (0.0,) * len(candidate)
        expected = self.expected or (0.0,) * len(candidate)
        bets = _bets(before, expected)
        share = mine / (mine + theirs)
        dispersion = self.dispersion
        logs = self.logs
        if dispersion is not None:
            logs = tuple(
                log + _log_factor(bet, candidate, stable, share) / dispersion
                for log, bet in zip(logs, bets, strict=True)
            )
        heard = stable if witness is None else witness
        scatter, freedom = _chi_square(self.last, heard) if self.last else (0.0, 0)
        return Drift(
            candidate=tuple(a + b for a, b in zip(before, candidate, strict=True)),
            expected=tuple(a + b * mine / theirs for a, b in zip(expected, stable, strict=True)),
            noise=self.noise + mine * mine / theirs,
            logs=logs,
            last=heard,
            scatter=self.scatter + scatter,
            freedom=self.freedom + freedom,
        )

    @property
    def dispersion(self) -> float | None:
        """How many answers count as one: a request with many rows brings many that are alike. None while not known.

        From neighbouring intervals, so that a world which changes slowly is no scatter; and from those
        before, so that it is fixed when the next one is judged.
        """
        return max(1.0, self.scatter / self.freedom) if self.freedom >= _KNOWN_FROM else None

    @property
    def log_e(self) -> float:
        return log_average(self.logs)

    @property
    def samples(self) -> float:
        """The candidate's answers."""
        return sum(self.candidate)

    @property
    def effective(self) -> float:
        return sum(self.expected) ** 2 / self.noise if self.noise > 0 else 0.0

    def index(self, *, ordered: bool = True) -> Index | None:
        """How large the difference is. None where answers are too few for two buckets. `ordered`: numbers."""
        alike = self.dispersion or 1.0
        return index_between(
            self.candidate, self.expected, self.samples / alike, self.effective / alike, ordered=ordered
        )


def index_between(
    found: Counts, reference: Counts, found_size: float, reference_size: float, *, ordered: bool = True
) -> Index | None:
    """PSI_c between two distributions. The sizes are numbers of independent answers, for the bias; they may differ
    from the sums of the counts.
    """
    groups = _groups(found, reference, min(found_size, reference_size), ordered=ordered)
    count = len(groups)
    if count < 2:
        return None
    mine = _shares([sum(found[b] for b in group) for group in groups], found_size)
    theirs = _shares([sum(reference[b] for b in group) for group in groups], reference_size)
    raw = sum((p - q) * math.log(p / q) for p, q in zip(mine, theirs, strict=True))
    return Index(raw - (count - 1) * (1 / found_size + 1 / reference_size), count)


def _bets(candidate: Counts, expected: Counts) -> list[list[float]]:
    """For each prior strength and bucket: the foretold share of the candidate over stable's, from the past alone."""
    total, size = sum(candidate), len(candidate)
    seen = sum(expected)
    shares = [(count + 0.5) / (seen + 0.5 * size) for count in expected]
    return [
        [
            (count + strength * share) / (total + strength) / share
            for count, share in zip(candidate, shares, strict=True)
        ]
        for strength in PRIOR_STRENGTHS
    ]


def _log_factor(bet: Sequence[float], candidate: Counts, stable: Counts, share: float) -> float:
    return math.fsum(
        mine * math.log(ratio) - (mine + theirs) * math.log1p(share * (ratio - 1))
        for ratio, mine, theirs in zip(bet, candidate, stable, strict=True)
        if mine or theirs
    )


def _chi_square(one: Counts, other: Counts) -> tuple[float, int]:
    """How much two intervals differ, and the degrees of freedom: as much is expected of independent answers."""
    tilt = math.sqrt(sum(other) / sum(one))
    filled = [(a, b) for a, b in zip(one, other, strict=True) if a + b > 0]
    return math.fsum((a * tilt - b / tilt) ** 2 / (a + b) for a, b in filled), len(filled) - 1


def _groups(found: Counts, reference: Counts, smaller: float, *, ordered: bool) -> list[list[int]]:
    """Buckets put together until each is expected to hold MIN_PER_BUCKET of the smaller side."""
    whole, other = sum(reference), sum(found)
    if whole <= 0 or other <= 0 or smaller <= 0:
        return []
    pooled = [(a / other + b / whole) / 2 * smaller for a, b in zip(found, reference, strict=True)]
    order = range(len(pooled)) if ordered else sorted(range(len(pooled)), key=lambda b: (-pooled[b], b))
    groups: list[list[int]] = []
    open_group: list[int] = []
    for bucket in order:
        open_group.append(bucket)
        if sum(pooled[b] for b in open_group) >= MIN_PER_BUCKET:
            groups.append(open_group)
            open_group = []
    if open_group and groups:
        groups[-1] += open_group
    return groups


def _shares(counts: Sequence[float], size: float) -> list[float]:
    """With half a count added to each, at the given number of independent answers."""
    total = sum(counts)
    return [(count / total * size + 0.5) / (size + 0.5 * len(counts)) for count in counts]
