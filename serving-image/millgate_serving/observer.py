"""Brings together what is told about requests: the sinks, what each of them drops, and how they end."""

from collections.abc import Callable

from millgate_serving import segments, tracing
from millgate_serving.access_log import AccessLog
from millgate_serving.distribution_text import header
from millgate_serving.feedback import Feedback
from millgate_serving.loading import ReadyModel
from millgate_serving.logs import dropped_lines, log, start_buffering, stop_buffering
from millgate_serving.measured import output_names, predictions_of
from millgate_serving.metrics import Metrics
from millgate_serving.named_values import Mask, NamedValues
from millgate_serving.predicting import Predicting
from millgate_serving.prediction_log import Identity, PredictionLog
from millgate_serving.profile import read as read_profile
from millgate_serving.quality import Qualities, kind_of
from millgate_serving.settings import Settings


class Observer:
    """One of a server. Sinks that need the model join when it is there."""

    def __init__(self, settings: Settings, metrics: Metrics, predicting: Predicting) -> None:
        self._settings = settings
        self._observing = settings.observing
        self._metrics = metrics
        self._predicting = predicting
        self._access_log: AccessLog | None = None
        self._prediction_log: PredictionLog | None = None
        self._tracing: tracing.Tracing | None = None
        self.feedback: Feedback | None = None
        metrics.add(self._dropped)

    def start(self) -> None:
        """Before the first request. Raises ServingError InvalidConfiguration."""
        observing, settings = self._observing, self._settings
        start_buffering()
        if observing.access_log != "none":
            self._access_log = AccessLog(observing.access_log, observing.access_log_lines_per_second)
            self._predicting.observed.join(self._access_log)
        if observing.traces:
            self._tracing = tracing.start(
                settings.model_name, settings.model_version, settings.revision, observing.trace_share
            )
            self._predicting.observed.join(self._tracing)

    def serve(self, ready: ReadyModel) -> None:
        """Before the first request that the model answers. Raises ServingError ProfileInvalid."""
        found = segments.of_model(
            ready.constraints, ready.model.signature, ready.engine.layout, read_profile(ready.model.directory)
        )
        if found is not None:
            self._predicting.segment_of = lambda call: found.of(call.arrays)
            log("segments", by=list(ready.constraints.segments), values=list(found.names))
        self._metrics.divide(found.names if found else ())
        if self._observing.feedback_rows:
            self.feedback = self._feedback(ready, self._observing.feedback_rows)
            self._predicting.observed.join(self.feedback)
        if self._observing.prediction_log is not None:
            settings, mask = self._settings, Mask(self._observing.mask)
            values = NamedValues(ready.model.signature, ready.engine, mask)
            if unknown := mask.without_effect((*values.inputs, *values.outputs)):
                log("masks that cover no field", level="warning", patterns=unknown)
            identity = Identity(settings.model_name, settings.model_version, settings.revision, ready.digest)
            self._prediction_log = PredictionLog(self._observing.prediction_log, identity, values)
            self._predicting.observed.join(self._prediction_log)
            if self.feedback is not None:
                self.feedback.keep = self._prediction_log.add

    def _feedback(self, ready: ReadyModel, rows: int) -> Feedback:
        measured, version = ready.measured, self._settings.model_version
        output_type = next((kind for _, kind in ready.model.signature.outputs), "")
        kind = kind_of(predictions_of(measured.outputs), output_type)
        qualities = Qualities(version, kind, confident=measured.confidence is not None)
        self._metrics.add(qualities.lines)
        names = tuple(output_names(ready.engine.outputs))
        return Feedback(rows, qualities, version, names, measured.confidence)

    def close(self) -> None:
        """What is buffered is written, if its sink takes it in time. After the event loop has ended."""
        self._predicting.observed.tell()
        if self._prediction_log is not None:
            self._prediction_log.close()
        if self._tracing is not None:
            self._tracing.close()
        stop_buffering()

    def _dropped(self, labels: str) -> list[str]:
        """All that is lost on purpose is counted."""
        counts: dict[str, Callable[[], int]] = {"log": dropped_lines}
        if self._access_log is not None:
            access_log = self._access_log
            counts["access_log"] = lambda: access_log.suppressed
        if self._prediction_log is not None:
            prediction_log = self._prediction_log
            counts["prediction_log"] = lambda: prediction_log.dropped
        name = "millgate_dropped_total"
        lines = header(name, "counter", "What was left out, because a buffer was full, a limit reached, a disk full.")
        return [*lines, *(f'{name}{{{labels},what="{what}"}} {count()}' for what, count in counts.items())]
