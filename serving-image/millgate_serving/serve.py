"""The `serve` command: listen at once, load the model beside the event loop, and answer once it is ready."""

import gc
import os
import socket
import sys
import threading
import time
import warnings

from millgate_serving import report
from millgate_serving.app import App
from millgate_serving.failure import ExitCode, Reason, ServingError
from millgate_serving.loading import Progress, ReadyModel, load
from millgate_serving.logs import described, log
from millgate_serving.measured import Measured
from millgate_serving.metrics import Metrics
from millgate_serving.server import Server, listen
from millgate_serving.settings import Settings

_SWITCH_INTERVAL_SECONDS = 0.0005  # a tenth of Python's: the loop waits at most that long for the model's thread


class Serving:
    """One server and the loading of its model."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._progress = Progress()
        self._failure: ServingError | None = None
        self._app = App(settings, Metrics(settings))
        self._server = Server(self._app, settings)

    def run(self) -> ExitCode:
        sys.setswitchinterval(_SWITCH_INTERVAL_SECONDS)
        self._app.observer.start()
        try:
            return self._run()
        finally:
            self._app.observer.close()

    def _run(self) -> ExitCode:
        listener = self._listener()
        log("listening", port=listener.getsockname()[1])
        loading = threading.Thread(target=self._load, name="load", daemon=True)
        loading.start()
        self._server.run(sockets=[listener])
        if self._failure is not None:
            report.write(self._settings.termination_log, report.result(self._progress, self._failure))
            return self._failure.exit_code
        log("stopped")
        # Stopped while a model is loaded or asked: a native library must not see the interpreter go away.
        if loading.is_alive() or self._app.predicting.runner.running:
            self._app.observer.close()
            os._exit(ExitCode.PASS)
        return ExitCode.PASS

    def _listener(self) -> socket.socket:
        try:
            return listen(self._settings.port)
        except OSError as error:
            message = f"cannot listen on port {self._settings.port}: {error.strerror}"
            raise ServingError(Reason.INVALID_CONFIGURATION, message) from error

    def _load(self) -> None:
        started = time.monotonic()
        try:
            ready = load(self._settings, self._progress)
        except ServingError as error:
            self._failure = error
        except Exception as error:  # noqa: BLE001 - a thread that dies silently would leave a pod that is never ready
            log("loading failed", level="error", **described(error))
            self._failure = ServingError(Reason.INTERNAL_ERROR, f"loading raised {type(error).__name__}")
        else:
            self._start_answering(ready, time.monotonic() - started)
            return
        self._server.stop()

    def _start_answering(self, ready: ReadyModel, seconds: float) -> None:
        if not self._settings.digest:
            log("no digest was given, nothing was verified", level="warning", found=ready.digest)
        warnings.simplefilter("ignore")  # a library that warns at each request would fill the log
        gc.collect()
        gc.freeze()  # what is loaded stays: the collector need not look at it again
        self._app.serve(ready, seconds)
        _tell(ready.measured)
        log(
            "ready",
            seconds=round(seconds, 3),
            digest=ready.digest,
            flavour=ready.flavour,
            timings=self._progress.timings,
        )


def _tell(measured: Measured) -> None:
    """What /metrics will show of requests and answers, and what it will not."""
    log(
        "distributions",
        level="info" if measured.source == "training" else "warning",
        source=measured.source,
        features=len(measured.features),
        outputs=len(measured.outputs),
        featuresLeftOut=measured.features_left_out,
        outputsLeftOut=measured.outputs_left_out,
        leftOut=measured.left_out,
    )
