"""XGBoost models in XGBoost's own formats, JSON and UBJSON: they are data, and no code of the model is executed."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from millgate_serving.engine import Outputs, not_installed
from millgate_serving.failure import Reason, ServingError
from millgate_serving.mlmodel import MlModel
from millgate_serving.numeric_layout import layout, mismatch
from millgate_serving.signature import Signature
from millgate_serving.validation import Arrays

_BOOSTER: Final = "xgboost.core.Booster"
# A name in MLmodel would otherwise be imported and called, whatever it is.
_CLASSES: Final = frozenset(
    {_BOOSTER}
    | {f"xgboost.sklearn.XGB{kind}" for kind in ("Classifier", "Regressor", "RFClassifier", "RFRegressor", "Ranker")}
)
_LINEAR: Final = "gblinear"

Matrix = npt.NDArray[np.float32]


class XgboostEngine:
    """Features in the order of the model, which the signature may not share. A missing value is NaN, as in training."""

    def __init__(self, booster: Any, predict: Callable[[Matrix], Any], signature: Signature) -> None:
        self.outputs = ("predictions",)
        self.layout = layout(signature, booster.num_features(), np.dtype(np.float32))  # what XGBoost counts with
        self._predict = predict
        self._order = _order(booster.feature_names, signature)

    def run(self, arrays: Arrays) -> Outputs:
        matrix = arrays[0] if self._order is None else arrays[0][:, self._order]
        return [(self.outputs[0], np.asarray(self._predict(matrix)))]


def load(model: MlModel, threads: int) -> XgboostEngine:
    """Raises FlavourNotInstalled, FlavourNotSupported, ModelUnreadable, LoadFailed or SignatureMismatch."""
    try:
        import xgboost  # noqa: PLC0415 - only in the full image
    except ImportError as error:
        raise not_installed("XGBoost", error) from error
    flavour = model.flavours["xgboost"]
    name = str(flavour.get("model_class", _BOOSTER))
    if name not in _CLASSES:
        known = ", ".join(sorted(_CLASSES))
        raise ServingError(Reason.FLAVOUR_NOT_SUPPORTED, f"the model's class is {name[:100]}; supported: {known}")
    loaded = getattr(xgboost, name.rpartition(".")[2])()
    try:
        loaded.load_model(model.file(flavour.get("data")))
    except (xgboost.core.XGBoostError, ValueError) as error:  # ValueError: of a message that repeats bytes of the file
        raise ServingError(Reason.LOAD_FAILED, "XGBoost cannot load the model: not its JSON or UBJSON") from error
    booster = loaded if name == _BOOSTER else loaded.get_booster()
    booster.set_param({"nthread": threads})
    predict = _booster_predict(xgboost, booster) if name == _BOOSTER else _estimator_predict(loaded, threads)
    return XgboostEngine(booster, predict, model.signature)


def _booster_predict(xgboost: Any, booster: Any) -> Callable[[Matrix], Any]:
    if f'"name":"{_LINEAR}"' in booster.save_config():
        return lambda matrix: booster.predict(xgboost.DMatrix(matrix), validate_features=False)
    return lambda matrix: booster.inplace_predict(matrix, validate_features=False)


def _estimator_predict(estimator: Any, threads: int) -> Callable[[Matrix], Any]:
    estimator.set_params(n_jobs=threads)
    return lambda matrix: estimator.predict(matrix, validate_features=False)


def _order(names: list[str] | None, signature: Signature) -> list[int] | None:
    """Where each feature stands in a request; None where that is the same."""
    given = [column.name for column in signature.columns]
    if not names or not given or names == given:
        return None
    if set(names) != set(given):
        missing = next(iter(sorted(set(names) - set(given))), "")
        raise mismatch(f"the model's feature '{missing[:64]}' is none of its columns")
    return [given.index(name) for name in names]
