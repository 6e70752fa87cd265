"""Figures with the uncertainty that their rows leave, and the formulas of it, each with its source."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, median

_STEPS = 60  # of a bisection over at most two units: the error is far below a float's


@dataclass(frozen=True, slots=True)
class Interval:
    """A measured value and the ends between which the true one lies; each end errs with its own one-sided `alpha`."""

    value: float
    low: float
    high: float

    def scaled(self, factor: float) -> "Interval":
        ends = sorted((self.low * factor, self.high * factor))
        return Interval(self.value * factor, *ends)


@dataclass(frozen=True, slots=True)
class Alphas:
    """One-sided errors: of saying that a figure is good (`low` is too high), and that it is bad (`high` is too low).

    To pass, every one of several comparisons has to be good, so none of them needs a correction (intersection-union
    test: Berger 1982, Technometrics 24:295); to fail, one is enough, so each gets its share of `alpha` (Bonferroni).
    """

    good: float
    bad: float

    @classmethod
    def of(cls, alpha: float, comparisons: int = 1) -> "Alphas":
        return cls(alpha, alpha / comparisons)


def _z(alpha: float) -> float:
    return NormalDist().inv_cdf(1 - alpha)


def share(hits: int, rows: int, alphas: Alphas) -> Interval:
    """Wilson's score interval of a share (Wilson 1927, JASA 22:209). `rows` > 0."""
    return Interval(hits / rows, _wilson(hits, rows, -_z(alphas.good)), _wilson(hits, rows, _z(alphas.bad)))


def _wilson(hits: int, rows: int, z: float) -> float:
    p, square = hits / rows, z * z / rows
    spread = z * math.sqrt(p * (1 - p) / rows + square / (4 * rows))
    return min(1.0, max(0.0, (p + square / 2 + spread) / (1 + square)))


def paired_difference(gained: int, lost: int, rows: int, alphas: Alphas) -> Interval:
    """Of two shares on the same rows: `gained` rows only the first one has, `lost` only the second. `rows` > 0.

    The score interval for paired shares (Tango 1998, Statistics in Medicine 17:891), which is McNemar's test turned
    round. Unlike the one from the discordant share's standard error it stays honest when few or no rows differ.
    """
    value = (gained - lost) / rows

    def statistic(difference: float) -> float:
        return _tango(gained, lost, rows, difference)

    low = _solve(statistic, _z(alphas.good), -1.0, value)
    high = _solve(statistic, -_z(alphas.bad), value, 1.0)
    return Interval(value, low, high)


def _tango(gained: int, lost: int, rows: int, difference: float) -> float:
    """How many standard errors the counts lie above a true `difference`; it falls as `difference` grows."""
    margin = -difference
    linear = -gained - lost - (2 * rows - gained + lost) * margin
    constant = lost * margin * (margin + 1)
    root = math.sqrt(max(0.0, linear * linear - 8 * rows * constant))
    only_second = (root - linear) / (4 * rows)  # the likeliest share of `lost` rows if `difference` were true
    variance = rows * (2 * only_second - margin * (margin + 1))
    above = gained - lost + rows * margin
    if variance <= 0:
        return 0.0 if above == 0 else math.copysign(math.inf, above)
    return above / math.sqrt(variance)


def _solve(falling: Callable[[float], float], wanted: float, low: float, high: float) -> float:
    """Where a falling function has the value `wanted`, between `low` and `high`."""
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if falling(middle) > wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def ratio_of_means(first: Sequence[float], second: Sequence[float], alphas: Alphas) -> Interval:
    """Of two means over the same rows, of numbers that are not negative: Fieller's interval (1954, JRSS B 16:175).

    It holds the ratios r for which the mean of first - r * second is not clearly other than 0. Where the second mean is
    not clearly above 0 there is no upper end. By the central limit theorem, so for 30 rows and more.
    """
    rows = len(first)
    top, bottom = fmean(first), fmean(second)
    if bottom == 0:
        return Interval(1.0, 1.0, 1.0) if top == 0 else Interval(math.inf, math.inf, math.inf)
    scale = 1 / ((rows - 1) * rows)
    top_variance = scale * math.fsum((x - top) ** 2 for x in first)
    bottom_variance = scale * math.fsum((y - bottom) ** 2 for y in second)
    covariance = scale * math.fsum((x - top) * (y - bottom) for x, y in zip(first, second, strict=True))

    def ends(z: float) -> tuple[float, float]:
        a = bottom**2 - z * z * bottom_variance
        b = top * bottom - z * z * covariance
        c = top**2 - z * z * top_variance
        if a <= 0:
            return 0.0, math.inf
        root = math.sqrt(max(0.0, b * b - a * c))
        return max(0.0, (b - root) / a), (b + root) / a

    # Large is bad here: the upper end is the one that says "good", the lower one says "bad".
    return Interval(top / bottom, ends(_z(alphas.bad))[0], ends(_z(alphas.good))[1])


def mean(values: Sequence[float], alphas: Alphas) -> Interval:
    """Of numbers of which large is bad, by the central limit theorem, so for 30 rows and more."""
    middle = fmean(values)
    deviation = math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (len(values) - 1) / len(values))
    return Interval(middle, middle - _z(alphas.bad) * deviation, middle + _z(alphas.good) * deviation)


def median_of(values: Sequence[float], alpha: float) -> Interval:
    """Free of any distribution: order statistics as ends (Thompson 1936, Annals of Math. Statistics 7:122).

    With fewer than log2(1/alpha) values there are no ends.
    """
    ordered = sorted(values)
    rank = _outer_rank(len(ordered), 0.5, alpha)
    if rank is None:
        return Interval(median(ordered), -math.inf, math.inf)
    return Interval(median(ordered), ordered[rank], ordered[-1 - rank])


def quantile_of(values: Sequence[float], quantile: float, alpha: float) -> Interval:
    """Free of any distribution, by ranks as `median_of`. The upper end of p99 needs 299 values, for alpha 0.05."""
    ordered = sorted(values)
    lower, upper = _outer_rank(len(ordered), quantile, alpha), _outer_rank(len(ordered), 1 - quantile, alpha)
    return Interval(
        nearest_rank(ordered, quantile),
        -math.inf if lower is None else ordered[lower],
        math.inf if upper is None else ordered[-1 - upper],
    )


def nearest_rank(ordered: Sequence[float], quantile: float) -> float:
    return ordered[min(len(ordered) - 1, max(0, math.ceil(quantile * len(ordered)) - 1))]


def _outer_rank(count: int, chance: float, alpha: float) -> int | None:
    """The largest rank (from 0) that the quantile lies below with at most `alpha`: P(Binomial ≤ rank) ≤ alpha."""
    total, rank = 0.0, None
    for hits in range(count + 1):
        total += math.exp(
            math.lgamma(count + 1)
            - math.lgamma(hits + 1)
            - math.lgamma(count - hits + 1)
            + hits * math.log(chance)
            + (count - hits) * math.log1p(-chance)
        )
        if total > alpha:
            break
        rank = hits
    return rank


def rates_differ(low: tuple[int, int], high: tuple[int, int], alpha: float) -> bool:
    """Is the first rate clearly the smaller one? Each is (hits, rows). The pooled two-sample z test, one-sided."""
    (low_hits, low_rows), (high_hits, high_rows) = low, high
    pooled = (low_hits + high_hits) / (low_rows + high_rows)
    variance = pooled * (1 - pooled) * (1 / low_rows + 1 / high_rows)
    if variance == 0:
        return False
    return (high_hits / high_rows - low_hits / low_rows) / math.sqrt(variance) > _z(alpha)
