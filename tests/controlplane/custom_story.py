"""More that pods may count: predictions, features, training, and the metrics of other servers than Millgate's."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist

from tests.controlplane.rollout_story import CANDIDATE, SCRAPE_SECONDS, STABLE, Story, Written

EDGES = ("-2.0", "-1.5", "-1.0", "-0.5", "0.0", "0.5", "1.0", "1.5", "2.0", "+Inf")
OLD_POD, NEW_POD = f"fraud-{STABLE}-7d4b9c-x2x4z", f"fraud-{CANDIDATE}-5f6b7c-q9w8e"

Rate = Callable[[float], float]
"""How much a counter grows a second, so many seconds after the anchor."""


@dataclass(frozen=True)
class Grows:
    """A counter of another server, with its own labels."""

    name: str
    rate: Rate
    labels: Mapping[str, str]


def counter(name: str, rate: float | Rate, **labels: str) -> Grows:
    return Grows(name, rate if callable(rate) else lambda _: rate, labels)


def scraped(
    story: Story, pod: str, *counters: Grows, from_second: float = -4000.0, until_second: float = 1000.0, **target: str
) -> Iterator[Written]:
    """What Prometheus has scraped of one pod."""
    for one in counters:
        total, second, samples = 0.0, from_second, []
        while second <= until_second:
            samples.append((story.anchor + second, float(int(total))))
            total += SCRAPE_SECONDS * one.rate(second)
            second += SCRAPE_SECONDS
        yield {"__name__": one.name, "namespace": story.namespace, "pod": pod, **one.labels, **target}, samples


def answers(
    revision: str, per_second: float, shift: float | Rate = 0.0, *, metric: str = "millgate_prediction", edges=EDGES
) -> list[Grows]:
    """A histogram of answers that are normal around `shift`, in units of their standard deviation."""
    moved: Rate = shift if callable(shift) else lambda _: shift
    label = "feature" if "feature" in metric else "output"
    return [
        Grows(
            f"{metric}_bucket",
            lambda second, le=le: per_second * NormalDist(moved(second)).cdf(float(le)),
            {"revision": revision, label: "score", "le": le},
        )
        for le in edges
    ]


def shipped(story: Story, revision: str, pod: str, mean: float = 0.0, rows: int = 50_000) -> Iterator[Written]:
    """The constant series of the distribution that a model was trained on."""
    for le in EDGES:
        labels = {"revision": revision, "output": "score", "le": le, "namespace": story.namespace, "pod": pod}
        value = float(round(rows * NormalDist(mean).cdf(float(le))))
        moments = range(-4000, 1001, SCRAPE_SECONDS)
        yield (
            {"__name__": "millgate_training_prediction_bucket", **labels},
            [(float(story.anchor + moment), value) for moment in moments],
        )


def served(code: str, rate: float, **labels: str) -> Grows:
    return counter("http_requests_total", rate, code=code, **labels)


RATE = {
    "statistic": "Rate",
    "numerator": 'http_requests_total{code=~"5.."}',
    "denominator": "http_requests_total",
}
