"""Spans for OpenTelemetry, made of what is known once a request was answered, and only of those that are sampled.

`traceparent` is read here: a span that is not sampled costs 6 µs in the library, and nothing here.
"""

import os
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from millgate_serving import __version__
from millgate_serving.background import in_background
from millgate_serving.exchange import Exchange
from millgate_serving.failure import Reason, ServingError

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED = 0x01
_SERVER_ERROR = 500
_NANOSECONDS = 1_000_000_000
_LAST_MILLISECONDS: Final = 2000
_EXPORT_MILLISECONDS: Final = 500


@dataclass(frozen=True, slots=True)
class Parent:
    """The caller's span. https://www.w3.org/TR/trace-context/, section 3.2."""

    trace_id: int
    span_id: int
    sampled: bool


def parent_of(traceparent: str) -> Parent | None:
    """None for one that is absent or not valid: then a trace begins here, as the standard says."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in found.groups())
    return Parent(trace_id, span_id, bool(flags & _SAMPLED)) if trace_id and span_id else None


class Tracing:
    """A sink. A caller that has decided is followed; of all other requests `share` is sampled."""

    def __init__(self, tracer: Any, provider: Any, share: float) -> None:
        from opentelemetry import trace  # noqa: PLC0415 - 20 MiB, only for those who want traces

        self._trace = trace
        self._tracer = tracer
        self._provider = provider
        self._share = share

    def __call__(self, exchanges: Sequence[Exchange]) -> None:
        for exchange in exchanges:
            parent = parent_of(exchange.traceparent) if exchange.traceparent else None
            sampled = random.random() < self._share if parent is None else parent.sampled  # noqa: S311 - no secret
            if sampled:
                self._export(exchange, parent)

    def _export(self, exchange: Exchange, parent: Parent | None) -> None:
        trace, ended = self._trace, int(exchange.moment * _NANOSECONDS)
        context = None
        if parent is not None:
            flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
            remote = trace.SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=flags)
            context = trace.set_span_in_context(trace.NonRecordingSpan(remote))
        span = self._tracer.start_span(
            f"POST {exchange.protocol}",
            context,
            trace.SpanKind.SERVER,
            _attributes(exchange),
            start_time=ended - int(exchange.seconds * _NANOSECONDS),
        )
        if exchange.status >= _SERVER_ERROR:
            span.set_status(trace.Status(trace.StatusCode.ERROR))
        span.end(ended)

    def close(self) -> None:
        """Send what is left, if the collector takes it in time."""
        self._provider.force_flush(_LAST_MILLISECONDS)


def _attributes(exchange: Exchange) -> dict[str, str | int | float]:
    """Without the texts that are empty: nobody can look for them, and each costs what a number costs."""
    texts = {
        "millgate.client": exchange.client,
        "millgate.segment": exchange.segment,
        "millgate.reason": exchange.reason,
    }
    return {
        "http.request.method": "POST",
        "http.response.status_code": exchange.status,
        "http.request.body.size": exchange.request_bytes,
        "http.response.body.size": exchange.answer_bytes,
        "millgate.request_id": exchange.request_id,
        "millgate.rows": exchange.rows,
        "millgate.queue_seconds": exchange.queue_seconds,
        "millgate.model_seconds": exchange.model_seconds,
        **{name: text for name, text in texts.items() if text},
    }


def configured(environment: Mapping[str, str]) -> bool:
    """By OpenTelemetry's own variables: without an endpoint nothing is imported."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    return bool(environment.get("OTEL_EXPORTER_OTLP_ENDPOINT") or environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))


def start(model: str, version: str, revision: str, share: float) -> Tracing:
    """OTLP over HTTP, in batches, on the library's own thread, with its bounded queue.

    Raises ServingError InvalidConfiguration when an endpoint is configured and the image lacks the library.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider, sampling  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        message = "OTEL_EXPORTER_OTLP_ENDPOINT is set, but this image has no OpenTelemetry: use the full image"
        raise ServingError(Reason.INVALID_CONFIGURATION, message) from error
    resource = Resource.create(
        {
            "service.version": version,
            "millgate.model": model,
            "millgate.revision": revision,
            "millgate.serving": __version__,
        }
    )
    # What reaches the library is sampled already.
    provider = TracerProvider(sampling.ALWAYS_ON, resource=resource)
    # Every five seconds, as the library does it, hundreds of spans would hold up requests for tens of milliseconds.
    delay = None if "OTEL_BSP_SCHEDULE_DELAY" in os.environ else _EXPORT_MILLISECONDS
    exporter = OTLPSpanExporter()
    provider.add_span_processor(in_background(lambda: BatchSpanProcessor(exporter, schedule_delay_millis=delay)))
    return Tracing(provider.get_tracer("millgate_serving", __version__), provider, share)
