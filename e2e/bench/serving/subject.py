"""The model that all servers serve: logistic regression on twenty floats, in every form that one of them wants.

Run as a program it trains and saves into the folder that it is given; `made()` is that folder, made once.
"""

import hashlib
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import msgspec

from e2e.cluster.paths import REPO_ROOT, cache, locked
from e2e.cluster.progress import phase

FEATURES = 20
NAMES = [f"f{number}" for number in range(FEATURES)]
ASKED = 1600
"""Held-out rows; a request has 1 or 100 of them."""
RULES = {
    "inputs": {name: {"minimum": -1000.0, "maximum": 1000.0} for name in NAMES},
    "outputs": {"probabilities": {"minimum": 0.0, "maximum": 1.0, "sumsTo": 1.0, "tolerance": 0.001}},
}


class Subject(msgspec.Struct, frozen=True):
    """Rows to ask about and the labels that scikit-learn gives them; `folder` holds the model."""

    folder: Path
    rows: list[list[float]]
    labels: list[int]

    @property
    def joblib(self) -> Path:
        return self.folder / "model.joblib"

    @property
    def sklearn(self) -> Path:
        return self.folder / "sklearn"

    @property
    def onnx_columns(self) -> Path:
        """Twenty columns of type double."""
        return self.folder / "onnx-columns"

    @property
    def onnx_tensor(self) -> Path:
        """One tensor, float64[-1, 20]."""
        return self.folder / "onnx-tensor"


def made() -> Subject:
    """Trained where the cache does not have it for this code and these libraries."""
    sources = (Path(__file__), REPO_ROOT / "uv.lock")
    digest = hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in sources)).hexdigest()
    folder = cache() / "bench" / "serving" / f"model-{digest[:12]}"
    with locked(cache() / "lock" / "bench-serving-model"):
        if not (folder / "asked.json").exists():
            with phase("train and save the model"):
                subprocess.run([sys.executable, "-m", "e2e.bench.serving.subject", str(folder)], check=True)
    rows, labels = msgspec.json.decode((folder / "asked.json").read_bytes())
    return Subject(folder, rows, labels)


def _save(folder: Path) -> None:
    import joblib  # type: ignore[import-untyped]  # noqa: PLC0415 - these take seconds, which reading a finished folder need not pay
    import mlflow  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415
    import pandas as pd  # type: ignore[import-untyped]  # noqa: PLC0415
    from mlflow.models import infer_signature  # noqa: PLC0415
    from skl2onnx import to_onnx  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(20)
    known, asked = random.normal(size=(5000, FEATURES)), random.normal(size=(ASKED, FEATURES)).round(6)
    model = LogisticRegression().fit(known, (known @ random.normal(size=FEATURES) > 0).astype(int))
    frame = pd.DataFrame(known, columns=NAMES)
    joblib.dump(model, folder / "model.joblib")
    graph = to_onnx(model, known.astype(np.float32)[:1], options={"zipmap": False})
    labels = model.predict(asked)
    columns: dict[str, Any] = {"signature": infer_signature(frame, labels), "input_example": frame.head(3)}
    tensor: dict[str, Any] = {"signature": infer_signature(known, labels), "input_example": known[:3]}
    with warnings.catch_warnings(action="ignore"):
        mlflow.sklearn.save_model(model, folder / "sklearn", pip_requirements=[], **columns)
        mlflow.onnx.save_model(graph, folder / "onnx-columns", pip_requirements=[], **columns)
        mlflow.onnx.save_model(graph, folder / "onnx-tensor", pip_requirements=[], **tensor)
    _describe(folder, frame, known, model)
    (folder / "asked.json").write_bytes(msgspec.json.encode([asked.tolist(), labels.tolist()]))


def _describe(folder: Path, frame: Any, known: Any, model: Any) -> None:
    """What a model may ship for Millgate: how its training data was distributed, and rules for inputs and outputs."""
    from millgate_serving import profile  # noqa: PLC0415

    answers = model.predict(known)
    profile.write(folder / "onnx-columns", frame, answers)
    profile.write(folder / "onnx-tensor", known, answers)
    (folder / "onnx-columns" / "millgate" / "constraints.json").write_bytes(msgspec.json.encode(RULES))


if __name__ == "__main__":
    _save(Path(sys.argv[1]))
