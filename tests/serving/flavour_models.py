"""Models of the flavours beside ONNX, saved by MLflow itself, with the traits that decide how they can be served."""

import warnings
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature, infer_signature
from mlflow.types.schema import ColSpec, Schema, TensorSpec
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

RANDOM = np.random.default_rng(11)
FRAME = pd.DataFrame(RANDOM.normal(size=(300, 4)), columns=list("abcd"))
LABELS = (FRAME["a"] + FRAME["b"] > 0).astype(int).to_numpy()
AMOUNTS = FRAME["a"].to_numpy() * 3 + FRAME["c"].to_numpy()
MIXED = pd.DataFrame(
    {
        "amount": RANDOM.normal(size=300) * 100,
        "items": RANDOM.integers(0, 9, 300),
        "country": RANDOM.choice(["DE", "FR"], 300),
    }
)


def _sklearn(model, frame, target, **further) -> dict:
    model.fit(frame, target)
    signature = infer_signature(frame, model.predict(frame))
    return {"sk_model": model, "signature": signature, "input_example": frame[:5]} | further


def forest() -> dict:
    return _sklearn(RandomForestClassifier(10, random_state=0), FRAME, LABELS)


def boosting() -> dict:
    """A regressor, of which skl2onnx forgets that its trees answer in float32."""
    return _sklearn(GradientBoostingRegressor(n_estimators=20, random_state=0), FRAME, AMOUNTS)


def scaled() -> dict:
    return _sklearn(make_pipeline(StandardScaler(), LogisticRegression()), FRAME, LABELS)


def scaled_moments() -> dict:
    """Seconds since 1970: float32 counts them in steps of 128."""
    frame = FRAME.assign(a=1.7e9 + FRAME["a"] * 100)
    return _sklearn(make_pipeline(StandardScaler(), LogisticRegression()), frame, LABELS)


def vectors_of_moments() -> dict:
    """Its only form in ONNX takes float32, in which these moments are not what they are."""
    frame = FRAME.assign(a=1.7e9 + FRAME["a"] * 100)
    return _sklearn(make_pipeline(StandardScaler(), SVC()), frame, LABELS)


def probabilities() -> dict:
    model = LogisticRegression().fit(FRAME, LABELS)
    signature = infer_signature(FRAME, model.predict_proba(FRAME))
    return {
        "sk_model": model,
        "signature": signature,
        "input_example": FRAME.head(5),
        "pyfunc_predict_fn": "predict_proba",
    }


def words() -> dict:
    """Its predictions are texts."""
    return _sklearn(LogisticRegression(), FRAME, np.where(LABELS, "fraud", "fine"))


def forgiving() -> dict:
    """A country that it does not know is none of those that it does."""
    encoder = make_column_transformer(
        (StandardScaler(), ["amount"]),
        (OneHotEncoder(handle_unknown="ignore"), ["country"]),
        ("passthrough", ["items"]),
    )
    return _sklearn(make_pipeline(encoder, LogisticRegression()), MIXED, LABELS)


def strict() -> dict:
    """It raises on a country that it does not know, where its ONNX form answers something."""
    encoder = make_column_transformer(
        (StandardScaler(), ["amount"]), (OneHotEncoder(handle_unknown="error"), ["country"]), ("passthrough", ["items"])
    )
    return _sklearn(make_pipeline(encoder, LogisticRegression()), MIXED, LABELS)


def histogram() -> dict:
    """skl2onnx has no form of it."""
    return _sklearn(HistGradientBoostingClassifier(max_iter=10), FRAME, LABELS)


def sklearn_tensor() -> dict:
    values = FRAME.to_numpy()
    return _sklearn(LogisticRegression(), values, LABELS)


def save_sklearn(arguments: dict, folder: Path) -> Path:
    with warnings.catch_warnings(action="ignore"):
        mlflow.sklearn.save_model(**arguments, path=folder, pip_requirements=[], serialization_format="cloudpickle")
    return folder


class Sleeping(LogisticRegression):
    """It is as slow to be loaded as nobody would wait for."""

    def __setstate__(self, state):
        import time  # noqa: PLC0415 - pickled by value

        time.sleep(600)


def save_sleeping_estimator(folder: Path) -> Path:
    import cloudpickle  # noqa: PLC0415
    import flavour_models  # noqa: PLC0415 - this module, by value

    cloudpickle.register_pickle_by_value(flavour_models)
    return save_sklearn(_sklearn(Sleeping(), FRAME, LABELS) | {"input_example": None}, folder)


# Boosted trees


def save_xgboost(kind: str, folder: Path) -> Path:
    import xgboost  # noqa: PLC0415

    if kind == "booster":
        model = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(FRAME, LABELS), 10)
        answer = model.predict(xgboost.DMatrix(FRAME))
    elif kind == "linear":
        model = xgboost.train({"objective": "reg:squarederror", "booster": "gblinear"}, xgboost.DMatrix(FRAME, AMOUNTS))
        answer = model.predict(xgboost.DMatrix(FRAME))
    elif kind == "regressor":
        model = xgboost.XGBRegressor(n_estimators=10).fit(FRAME, AMOUNTS)
        answer = model.predict(FRAME)
    else:
        model = xgboost.XGBClassifier(n_estimators=10).fit(FRAME, LABELS + (FRAME["c"] > 0))
        answer = model.predict(FRAME)
    # The columns of a request may stand in another order than those of training.
    order = FRAME[list("dcba")] if kind == "booster" else FRAME
    signature = infer_signature(order, answer)
    with warnings.catch_warnings(action="ignore"):
        mlflow.xgboost.save_model(model, folder, signature=signature, pip_requirements=[])
    return folder


def xgboost_answer(model, frame):
    """What XGBoost itself answers, asked with names."""
    import xgboost  # noqa: PLC0415

    return model.predict(xgboost.DMatrix(frame) if isinstance(model, xgboost.Booster) else frame)


def save_lightgbm(kind: str, folder: Path) -> Path:
    import lightgbm  # noqa: PLC0415

    quiet = {"verbosity": -1, "min_data_in_leaf": 5}
    if kind == "booster":
        model = lightgbm.train(quiet | {"objective": "binary"}, lightgbm.Dataset(FRAME, LABELS), 10)
    else:
        model = lightgbm.LGBMClassifier(n_estimators=10, verbosity=-1).fit(FRAME, LABELS)
    signature = infer_signature(FRAME, model.predict(FRAME))
    with warnings.catch_warnings(action="ignore"):
        mlflow.lightgbm.save_model(
            model, folder, signature=signature, pip_requirements=[], serialization_format="cloudpickle"
        )
    return folder


# Python code


class Doubled(mlflow.pyfunc.PythonModel):
    """Two outputs of a table, as teams write them by hand."""

    def predict(self, context, model_input, params=None):  # noqa: ARG002
        values = model_input["a"]
        return pd.DataFrame({"doubled": values * 2, "word": ["x"] * len(values)})


class Mapped(mlflow.pyfunc.PythonModel):
    """Two tensors in, one out."""

    def predict(self, context, model_input, params=None):  # noqa: ARG002
        return {"sum": model_input["left"].sum(axis=1) + model_input["right"].sum(axis=1)}


def save_pyfunc(kind: str, folder: Path) -> Path:
    import cloudpickle  # noqa: PLC0415
    import flavour_models  # noqa: PLC0415 - this module, by value

    cloudpickle.register_pickle_by_value(flavour_models)
    if kind == "table":
        inputs = Schema([ColSpec("double", "a"), ColSpec("string", "b", required=False)])
        outputs = Schema([ColSpec("double", "doubled"), ColSpec("string", "word")])
        model = Doubled()
    else:
        inputs = Schema([TensorSpec(np.dtype(np.float64), (-1, 2), name) for name in ("left", "right")])
        outputs = Schema([TensorSpec(np.dtype(np.float64), (-1,), "sum")])
        model = Mapped()
    with warnings.catch_warnings(action="ignore"):
        mlflow.pyfunc.save_model(
            folder, python_model=model, signature=ModelSignature(inputs, outputs), pip_requirements=[]
        )
    return folder
