"""The metrics that gates read: plain integers on the event loop, written as Prometheus text when they are scraped.

One process serves one model, so there is nothing to merge and no lock: an increment costs what `+= 1` costs. Every
label value is known when the model is loaded, so the number of series is too.
"""

import math
import platform
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from millgate_serving import __version__
from millgate_serving.distribution_text import DistributionText, escaped, header
from millgate_serving.distributions import Distributions
from millgate_serving.exchange import Exchange
from millgate_serving.measured import Measured
from millgate_serving.process_metrics import process_lines
from millgate_serving.segments import NOT_READ
from millgate_serving.settings import Settings

LATENCY_BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_FINE_BUCKETS_SECONDS = (0.0001, 0.00025, 0.0005, *LATENCY_BUCKETS_SECONDS)
# Created at zero: a first error must be an increase, not a series that begins at one.
CODES = (200, 400, 401, 403, 405, 408, 413, 415, 429, 500, 503, 504)
REASONS: Final = {
    400: "Invalid",
    401: "Unauthenticated",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    408: "TooSlow",
    413: "TooLarge",
    415: "NotSupported",
    429: "RateLimited",
    503: "Overloaded",
    504: "DeadlineExceeded",
}
"""Where a refusal names none. Words are chosen by the code, never by a client."""
PROTOCOLS: Final = ("predict", "v2")
_MORE_REASONS = ("NotLoaded", "Stuck")
_REFUSED, _SERVER_ERROR, _MODEL_FAILED = 400, 500, 500

Part = Callable[[str], list[str]]
"""More lines of the exposition, given the labels that every series carries."""


class Histogram:
    """Of seconds, with fixed bounds."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def lines(self, name: str, labels: str) -> list[str]:
        lines, total = [], 0
        for bound, count in zip((*self._bounds, "+Inf"), self._counts, strict=True):
            total += count
            lines.append(f'{name}_bucket{{{labels},le="{bound}"}} {total}')
        return [*lines, f"{name}_sum{{{labels}}} {self._sum!r}", f"{name}_count{{{labels}}} {total}"]


class _Counts:
    """Of one segment, or of all requests where a model declares none."""

    def __init__(self) -> None:
        self.by_code = dict.fromkeys(CODES, 0)
        self.errors = 0
        self.seconds = Histogram(LATENCY_BUCKETS_SECONDS)
        self.queue_seconds = Histogram(_FINE_BUCKETS_SECONDS)
        self.model_seconds = Histogram(_FINE_BUCKETS_SECONDS)

    def add(self, exchange: Exchange) -> None:
        status = exchange.status
        self.by_code[status] = self.by_code.get(status, 0) + 1
        if status >= _SERVER_ERROR:
            self.errors += 1
        self.seconds.add(exchange.seconds)
        if exchange.arrays is not None:  # else it has neither waited for the model nor asked it
            self.queue_seconds.add(exchange.queue_seconds)
            self.model_seconds.add(exchange.model_seconds)


class Metrics:
    """Counts of one process. Predictions count as requests, whatever protocol asks for them, and nothing else does."""

    def __init__(self, settings: Settings) -> None:
        labels = {
            "model": settings.model_name,
            "version": settings.model_version,
            "revision": settings.revision,
        }
        self.labels = ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items())
        self._counted_rows_per_second = settings.observing.counted_rows_per_second
        self._all = _Counts()
        self._by_segment: dict[str, _Counts] = {}
        self._rejected = dict.fromkeys((*REASONS.values(), *_MORE_REASONS), 0)
        self._protocols = dict.fromkeys(PROTOCOLS, 0)
        self._rows = 0
        self._request_bytes = 0
        self._answer_bytes = 0
        self.inflight = 0
        self.load_seconds: float | None = None
        self._parts: list[Part] = []

    def measure(self, measured: Measured) -> Distributions:
        """The distributions to count, which are part of the exposition from now on."""
        distributions = Distributions(measured, self._counted_rows_per_second or math.inf)
        text = DistributionText(distributions, self.labels)
        self.add(lambda _labels: text.lines())
        return distributions

    def add(self, part: Part) -> None:
        """One more part of the exposition, from now on."""
        self._parts.append(part)

    def divide(self, segments: Iterable[str]) -> None:
        """From now on by segment; what was counted before the model was there is of none."""
        self._by_segment = {name: _Counts() for name in segments}
        if self._by_segment:
            self._by_segment[NOT_READ] = self._all

    def __call__(self, exchanges: Sequence[Exchange]) -> None:
        """A sink."""
        for exchange in exchanges:
            self._add(exchange)

    def _add(self, exchange: Exchange) -> None:
        counts = self._by_segment.get(exchange.segment or NOT_READ) if self._by_segment else None
        (counts or self._all).add(exchange)
        self._rows += exchange.rows
        self._request_bytes += exchange.request_bytes
        self._answer_bytes += exchange.answer_bytes
        protocol, status = exchange.protocol, exchange.status
        if protocol:  # none before the model is there
            self._protocols[protocol] = self._protocols.get(protocol, 0) + 1
        if status >= _REFUSED and status != _MODEL_FAILED:
            reason = exchange.reason or REASONS.get(status, "Other")
            self._rejected[reason] = self._rejected.get(reason, 0) + 1

    def exposition(self) -> bytes:
        """Prometheus text format 0.0.4."""
        labels, name = self.labels, "millgate_inflight_requests"
        lines = [*self._requests(), *self._totals(), *header(name, "gauge", "Requests that are being answered.")]
        lines.append(f"{name}{{{labels}}} {self.inflight}")
        if self.load_seconds is not None:
            lines += header("millgate_model_load_seconds", "gauge", "Time to fetch, verify, load and warm the model.")
            lines.append(f"millgate_model_load_seconds{{{labels}}} {self.load_seconds:.6f}")
        lines += header("millgate_build_info", "gauge", "What serves the model.")
        build = f'serving="{__version__}",python="{platform.python_version()}"'
        lines.append(f"millgate_build_info{{{labels},{build}}} 1")
        lines += process_lines(labels)
        for part in self._parts:
            lines += part(labels)
        return ("\n".join(lines) + "\n").encode()

    def _requests(self) -> list[str]:
        """What is counted by segment, where there are any."""
        labels = self.labels
        divided = {f'{labels},segment="{escaped(name)}"': counts for name, counts in self._by_segment.items()}
        counted = divided or {labels: self._all}
        name = "millgate_requests_total"
        lines = header(name, "counter", "Answers to requests for predictions by status code.")
        for own, counts in counted.items():
            lines += [f'{name}{{{own},code="{code}"}} {n}' for code, n in counts.by_code.items()]
        name = "millgate_request_errors_total"
        lines += header(name, "counter", "Answers to requests for predictions with a 5xx code.")
        lines += [f"{name}{{{own}}} {counts.errors}" for own, counts in counted.items()]
        name = "millgate_request_duration_seconds"
        lines += header(name, "histogram", "Time from the start of a request for predictions to its last byte.")
        for own, counts in counted.items():
            lines += counts.seconds.lines(name, own)
        name = "millgate_request_queue_seconds"
        lines += header(
            name, "histogram", "Time from the start of a request until it was its turn, its body's included."
        )
        for own, counts in counted.items():
            lines += counts.queue_seconds.lines(name, own)
        name = "millgate_model_seconds"
        lines += header(name, "histogram", "Time in the model.")
        for own, counts in counted.items():
            lines += counts.model_seconds.lines(name, own)
        return lines

    def _totals(self) -> list[str]:
        labels, name = self.labels, "millgate_requests_rejected_total"
        lines = header(name, "counter", "Requests that were not given to the model, by reason.")
        lines += [f'{name}{{{labels},reason="{reason}"}} {n}' for reason, n in self._rejected.items()]
        name = "millgate_protocol_requests_total"
        lines += header(name, "counter", "Requests for predictions by protocol.")
        lines += [f'{name}{{{labels},protocol="{protocol}"}} {n}' for protocol, n in self._protocols.items()]
        for name, text, value in (
            ("millgate_rows_total", "Rows of the requests that were understood.", self._rows),
            ("millgate_request_bytes_total", "Bytes of request bodies.", self._request_bytes),
            ("millgate_answer_bytes_total", "Bytes of answers' bodies.", self._answer_bytes),
        ):
            lines += [*header(name, "counter", text), f"{name}{{{labels}}} {value}"]
        return lines
