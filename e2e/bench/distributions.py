"""What counting distributions costs a request of the serving image: `python -m e2e.bench.distributions`.

The ASGI application is asked in this process, with and without a profile in turn, and the processor's time of the best
of many blocks counts: on a busy machine that is steadier than requests a second over a socket.
"""

import json
import logging
import tempfile
import time
from collections.abc import MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from millgate_serving import profile
from millgate_serving.app import App
from millgate_serving.loading import Progress, load
from millgate_serving.measured import Measured
from millgate_serving.metrics import Metrics
from millgate_serving.settings import Settings, read

REQUESTS = 256
CASES = ((5, 1, 100), (20, 1, 100), (64, 1, 100), (20, 20, 20), (20, 100, 10))
"""Features, rows of a request, blocks."""
Message = MutableMapping[str, Any]


def saved(folder: Path, features: int) -> Path:
    """A logistic regression on so many columns, with its profile: what it costs is mostly what the server costs."""
    import mlflow  # noqa: PLC0415 - seconds
    from pandas import DataFrame  # type: ignore[import-untyped]  # noqa: PLC0415
    from skl2onnx import to_onnx  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    rows = np.random.default_rng(0).normal(size=(5000, features)).astype(np.float32)
    model = LogisticRegression().fit(rows, (rows[:, 0] > 0).astype(np.int64))
    frame = DataFrame(rows.astype(np.float64), columns=[f"f{number}" for number in range(features)])
    labels = model.predict(rows)
    mlflow.onnx.save_model(
        onnx_model=to_onnx(model, rows[:1], options={"zipmap": False}),
        path=folder,
        signature=mlflow.models.infer_signature(frame, labels),
        pip_requirements=[],
    )
    profile.write(folder, frame, labels, outputs={"probabilities": model.predict_proba(rows)})
    return folder


def application(settings: Settings, *, counting: bool) -> tuple[App, Metrics]:
    ready = load(settings, Progress())
    metrics = Metrics(settings)
    app = App(settings, metrics)
    app.serve(ready if counting else replace(ready, measured=Measured("none")), 0.0)
    return app, metrics


def bodies(features: int, rows: int) -> list[bytes]:
    values = np.random.default_rng(1).normal(size=(REQUESTS, rows, features)).round(4).tolist()
    named = ([{f"f{number}": value for number, value in enumerate(row)} for row in request] for request in values)
    return [json.dumps({"rows": request}).encode() for request in named]


async def block(app: App, requests: list[bytes]) -> float:
    """Microseconds of the processor a request."""

    async def send(_message: Message) -> None:
        """Nobody listens."""

    begun = time.thread_time()
    for body in requests:

        async def receive(body: bytes = body) -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        state = {"closes_at": float("inf"), "crowded": False}
        scope = {"path": "/predict", "method": "POST", "headers": headers, "state": state}
        await app(scope, receive, send)
    return (time.thread_time() - begun) / len(requests) * 1e6


async def compare(folder: Path, features: int, rows: int, blocks: int) -> str:
    settings = read({"MILLGATE_MODEL_NAME": "bench", "MILLGATE_MODEL_PATH": str(folder)})
    counting, metrics = application(settings, counting=True)
    plain, _ = application(settings, counting=False)
    requests = bodies(features, rows)
    with_it, without = [], []
    for _ in range(blocks):
        with_it.append(await block(counting, requests))
        without.append(await block(plain, requests))
    scrapes = []
    for _ in range(20):
        begun = time.thread_time()
        text = metrics.exposition()
        scrapes.append(time.thread_time() - begun)
    more = min(with_it) - min(without)
    return (
        f"| {features} | {rows} | {min(without):.1f} | {min(with_it):.1f} | {more:.1f} | {more / rows:.2f} "
        f"| {min(scrapes) * 1e3:.2f} | {len(text) / 1e3:.0f} |"
    )


def main() -> None:
    print(
        "| features | rows | µs without | µs with | more | a row | scrape ms | kB |\n|---|---|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder:
        for features, rows, blocks in CASES:
            model = Path(folder) / str(features)
            if not model.exists():
                saved(model, features)
            print(uvloop.run(compare(model, features, rows, blocks)))


if __name__ == "__main__":
    main()
