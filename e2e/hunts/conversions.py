"""Looks for scikit-learn models that pass the proof of their ONNX form and answer differently afterwards.

`python -m e2e.hunts.conversions [--rows 10000] [--seeds 3]`: many kinds of models are trained on random data, converted
as the serving image does it, and asked about rows that neither training nor the proof has seen. What was refused is
told with its reason; a converted model that differs beyond the tolerance of the proof is a finding, and ends the
program with 1.
"""

import argparse
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import msgspec
import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from mlflow.models import infer_signature
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import ElasticNet, LinearRegression, LogisticRegression, Ridge, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, PolynomialFeatures, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from millgate_serving import convert, mlmodel, onnx_engine, parity, sklearn_engine
from millgate_serving.parity import Asked, Different
from millgate_serving.probes import Probe

BATCH = 500
Make = Callable[[int], Any]
CLASSIFIERS: dict[str, Make] = {
    "logistic": lambda _: LogisticRegression(),
    "scaled logistic": lambda _: make_pipeline(StandardScaler(), LogisticRegression()),
    "polynomial": lambda _: make_pipeline(MinMaxScaler(), PolynomialFeatures(2), LogisticRegression(max_iter=500)),
    "forest": lambda seed: RandomForestClassifier(25, random_state=seed),
    "scaled forest": lambda seed: make_pipeline(StandardScaler(), RandomForestClassifier(25, random_state=seed)),
    "extra trees": lambda seed: ExtraTreesClassifier(25, random_state=seed),
    "boosting": lambda seed: GradientBoostingClassifier(n_estimators=30, random_state=seed),
    "ada": lambda seed: AdaBoostClassifier(n_estimators=20, random_state=seed),
    "bagging": lambda seed: BaggingClassifier(n_estimators=10, random_state=seed),
    "tree": lambda seed: DecisionTreeClassifier(random_state=seed),
    "neighbours": lambda _: KNeighborsClassifier(),
    "bayes": lambda _: GaussianNB(),
    "network": lambda seed: make_pipeline(StandardScaler(), MLPClassifier((16,), max_iter=300, random_state=seed)),
    "support vectors": lambda _: SVC(),
    "linear vectors": lambda _: LinearSVC(),
    "descent": lambda seed: SGDClassifier(random_state=seed),
}
REGRESSORS: dict[str, Make] = {
    "linear": lambda _: LinearRegression(),
    "ridge": lambda _: make_pipeline(StandardScaler(), Ridge()),
    "elastic": lambda _: ElasticNet(),
    "forest": lambda seed: RandomForestRegressor(25, random_state=seed),
    "boosting": lambda seed: GradientBoostingRegressor(n_estimators=30, random_state=seed),
    "histogram": lambda seed: HistGradientBoostingRegressor(max_iter=20, random_state=seed),
    "tree": lambda seed: DecisionTreeRegressor(random_state=seed),
}


def rows_of(kind: str, count: int, seed: int) -> pd.DataFrame:
    """Numbers of one size, of very different sizes (a moment in seconds among them), or beside texts and counts."""
    source = np.random.default_rng(seed)
    frame = pd.DataFrame(source.normal(size=(count, 4)), columns=list("abcd"))
    if kind == "sizes":
        frame["a"] = 1.7e9 + frame["a"] * 1e5
        frame["b"] = np.round(frame["b"], 1)
        frame["c"] *= 1e-6
    if kind == "mixed":
        frame = frame[["a", "b"]].assign(items=source.integers(0, 9, count), country=source.choice(["DE", "FR"], count))
    return frame


def models(seed: int) -> Iterator[tuple[str, str, Any, pd.DataFrame]]:
    for kind in ("plain", "sizes", "mixed"):
        frame = rows_of(kind, 600, seed)
        ranked = frame[["a", "b"]].rank(pct=True).sum(axis=1)
        noise = np.random.default_rng(seed).normal(size=len(frame)) / 10
        for what, makers, target in (
            ("classifier", CLASSIFIERS, (ranked + noise > 1).astype(int)),
            ("regressor", REGRESSORS, ranked * 1000 + noise),
        ):
            for name, make in makers.items():
                model = make(seed)
                if kind == "mixed":
                    texts = OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["country"]
                    model = make_pipeline(make_column_transformer(texts, remainder="passthrough"), model)
                yield f"{name} {what}", kind, model.fit(frame, target), frame


def judged(model: mlmodel.MlModel, fresh: list[Any]) -> str:
    """'' where the converted model is the same on fresh rows too; raises Different where it was refused."""
    what, content, proof = convert.converted(model)
    method = getattr(sklearn_engine.estimator(model), "predict")  # noqa: B009 - what `sklearn_engine` calls too
    original = Asked(sklearn_engine.SklearnEngine(method, model.signature), model.signature)
    served = Asked(onnx_engine.of(content, model.signature), model.signature)
    probes = [Probe(fresh[at : at + BATCH]) for at in range(0, len(fresh), BATCH)]
    try:
        parity.compare(original, served, probes)
    except Different as found:
        return f"{what}, {proof.rows} rows alike, then {found}"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.hunts.conversions", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    same, refused, findings = 0, 0, 0
    for seed in range(asked.seeds):
        for name, kind, trained, frame in models(seed):
            place = f"seed {seed}, {kind} numbers, {name}"
            with tempfile.TemporaryDirectory() as folder:
                signature = infer_signature(frame, trained.predict(frame))
                saved = Path(folder) / "model"
                mlflow.sklearn.save_model(
                    trained,
                    saved,
                    signature=signature,
                    input_example=frame.head(5),
                    pip_requirements=[],
                    serialization_format="cloudpickle",
                )
                fresh = msgspec.json.decode(
                    rows_of(kind, asked.rows, 1000 + seed).to_json(orient="records", double_precision=15)
                )
                try:
                    finding = judged(mlmodel.read(saved), fresh)
                except Different as reason:
                    refused += 1
                    print(f"{place}: refused: {reason}", flush=True)
                    continue
            same += not finding
            findings += bool(finding)
            if finding:
                print(f"{place}: FOUND: {finding}", flush=True)
    print(f"{same} converted and the same on {asked.rows} fresh rows, {refused} refused, {findings} found different")
    return int(findings > 0)


if __name__ == "__main__":
    sys.exit(main())
