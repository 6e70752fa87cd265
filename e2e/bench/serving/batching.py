"""Whether asking a model about several requests at once pays: the same load with batches and without.

`python -m e2e.bench.serving.batching` serves scikit-learn's own flavours, whose calls cost much and whose rows cost
little, and ONNX, whose calls cost next to nothing, with the server on core 0 and 32 clients on core 1.
"""

import argparse
import json
import sys
import tempfile
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from e2e.bench.serving import host, loadgen, subject
from e2e.bench.serving.overload import served
from e2e.bench.serving.process import ServerError
from e2e.cluster.progress import phase, say

CONNECTIONS = 32
BATCH_ROWS = 256
_TREES = 100
EPILOG = "exit code: 0 measured, 2 nothing could be measured"


@dataclass(frozen=True)
class Found:
    model: str
    batches: bool
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us_per_request: float
    not_ok: int


def save(folder: Path) -> dict[str, Path]:
    """Trained on what the other benchmarks ask about."""
    import mlflow  # noqa: PLC0415 - seconds
    import pandas as pd  # type: ignore[import-untyped]  # noqa: PLC0415
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier  # noqa: PLC0415

    asked = subject.made()
    frame = pd.DataFrame(asked.rows, columns=subject.NAMES)
    models: dict[str, Any] = {
        "RandomForestClassifier, 100 trees": RandomForestClassifier(_TREES, random_state=1),
        "HistGradientBoostingClassifier": HistGradientBoostingClassifier(random_state=1),
    }
    saved = {"LogisticRegression as ONNX": asked.onnx_columns}
    for name, model in models.items():
        model.fit(frame, asked.labels)
        signature = mlflow.models.infer_signature(frame, model.predict(frame))
        saved[name] = folder / name.partition(",")[0]
        with warnings.catch_warnings(action="ignore"):
            mlflow.sklearn.save_model(
                model,
                saved[name],
                serialization_format="cloudpickle",
                signature=signature,
                input_example=frame.head(3),
                pip_requirements=[],
            )
    return saved


def measured(name: str, model: Path, seconds: float, folder: Path, *, batches: bool) -> Found:
    """Raises ServerError or LoadError."""
    asked = subject.made()
    body = folder / "bodies.jsonl"
    documents = [{"rows": [dict(zip(subject.NAMES, row, strict=True))]} for row in asked.rows]
    body.write_text("\n".join(map(json.dumps, documents)) + "\n")
    variables = {
        "MILLGATE_ALLOW_CODE_EXECUTION": "true",
        "MILLGATE_CONVERSION_SECONDS": "0",
        "MILLGATE_MODEL_DIR": str(folder / "models"),
        "MILLGATE_MAX_BATCH_ROWS": str(BATCH_ROWS if batches else 0),
        "MILLGATE_CONCURRENCY": str(CONNECTIONS if batches else 1),
    }
    with served(model, folder / "server", **variables) as (pid, port):
        cpu = host.cpu_seconds(pid)
        flags = ["-connections", str(CONNECTIONS), "-duration", f"{seconds}s", "-body-lines", str(body)]
        found = loadgen.run(f"http://127.0.0.1:{port}/predict", *flags, core=1)
        cpu = host.cpu_seconds(pid) - cpu
    answered = found["answered"]
    return Found(
        model=name,
        batches=batches,
        requests_per_second=found["requestsPerSecond"],
        p50_ms=found["latency"]["p50Seconds"] * 1000,
        p99_ms=found["latency"]["p99Seconds"] * 1000,
        cpu_us_per_request=cpu / max(answered, 1) * 1e6,
        not_ok=answered - found["status"].get("200", 0),
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.bench.serving.batching", description=__doc__, epilog=EPILOG)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the figures there")
    arguments = parser.parse_args(argv)
    found: list[Found] = []
    try:
        with tempfile.TemporaryDirectory() as temporary:
            saved = save(Path(temporary))
            for name, model in saved.items():
                for batches in (False, True):
                    folder = Path(temporary) / f"run-{len(found)}"
                    folder.mkdir()
                    with phase(f"{name}, {'with' if batches else 'without'} batches"):
                        found.append(measured(name, model, arguments.seconds, folder, batches=batches))
    except (ServerError, loadgen.LoadError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(each) for each in found], indent=1))
    say("done")
    print("| model | batches | req/s | p50 ms | p99 ms | CPU us/request | not 200 |")
    print("|---|---|---|---|---|---|---|")
    for each in found:
        print(
            f"| {each.model} | {'yes' if each.batches else 'no'} | {each.requests_per_second:.0f} | {each.p50_ms:.1f} "
            f"| {each.p99_ms:.1f} | {each.cpu_us_per_request:.0f} | {each.not_ok} |"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
