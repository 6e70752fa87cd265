"""The metrics that gates read: plain integers on the event loop, written as Prometheus text when they are scraped.

One process serves one model, so there is nothing to merge and no lock: an increment costs what `+= 1` costs.
"""

import platform
from bisect import bisect_left

from millgate_serving import __version__
from millgate_serving.distribution_text import DistributionText, escaped, header
from millgate_serving.distributions import Distributions
from millgate_serving.measured import Measured
from millgate_serving.settings import Settings

LATENCY_BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# Created at zero: a first error must be an increase, not a series that begins at one.
CODES = (200, 400, 405, 413, 415, 500, 503)
_SERVER_ERROR = 500


class Metrics:
    """Counts of one process. Only /predict counts as a request."""

    def __init__(self, settings: Settings) -> None:
        labels = {
            "model": settings.model_name,
            "version": settings.model_version,
            "revision": settings.revision,
        }
        self._labels = ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items())
        self._requests = dict.fromkeys(CODES, 0)
        self._errors = 0
        self._buckets = [0] * (len(LATENCY_BUCKETS_SECONDS) + 1)
        self._seconds = 0.0
        self.inflight = 0
        self.load_seconds: float | None = None
        self._distributions: DistributionText | None = None

    def measure(self, measured: Measured) -> Distributions:
        """The distributions to count, which are part of the exposition from now on."""
        distributions = Distributions(measured)
        self._distributions = DistributionText(distributions, self._labels)
        return distributions

    def answered(self, code: int, seconds: float) -> None:
        self._requests[code] = self._requests.get(code, 0) + 1
        if code >= _SERVER_ERROR:
            self._errors += 1
        self._buckets[bisect_left(LATENCY_BUCKETS_SECONDS, seconds)] += 1
        self._seconds += seconds

    def exposition(self) -> bytes:
        """Prometheus text format 0.0.4."""
        labels = self._labels
        lines = header("millgate_requests_total", "counter", "Answers of /predict by status code.")
        lines += [f'millgate_requests_total{{{labels},code="{code}"}} {n}' for code, n in self._requests.items()]
        lines += header("millgate_request_errors_total", "counter", "Answers of /predict with a 5xx code.")
        lines.append(f"millgate_request_errors_total{{{labels}}} {self._errors}")
        lines += self._latency()
        lines += header("millgate_inflight_requests", "gauge", "Requests to /predict that are being answered.")
        lines.append(f"millgate_inflight_requests{{{labels}}} {self.inflight}")
        if self.load_seconds is not None:
            lines += header("millgate_model_load_seconds", "gauge", "Time to fetch, verify, load and warm the model.")
            lines.append(f"millgate_model_load_seconds{{{labels}}} {self.load_seconds:.6f}")
        lines += header("millgate_build_info", "gauge", "What serves the model.")
        build = f'serving="{__version__}",python="{platform.python_version()}"'
        lines.append(f"millgate_build_info{{{labels},{build}}} 1")
        if self._distributions is not None:
            lines += self._distributions.lines()
        return ("\n".join(lines) + "\n").encode()

    def _latency(self) -> list[str]:
        name = "millgate_request_duration_seconds"
        lines = header(name, "histogram", "Time from the start of a request to /predict to its last byte.")
        total = 0
        for bound, count in zip((*LATENCY_BUCKETS_SECONDS, "+Inf"), self._buckets, strict=True):
            total += count
            lines.append(f'{name}_bucket{{{self._labels},le="{bound}"}} {total}')
        return [
            *lines,
            f"{name}_sum{{{self._labels}}} {self._seconds!r}",
            f"{name}_count{{{self._labels}}} {total}",
        ]
