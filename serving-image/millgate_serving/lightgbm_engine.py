"""LightGBM models in LightGBM's own text format: it is data, and no code of the model is executed."""

import logging
from typing import Any, Final

import numpy as np

from millgate_serving.engine import Outputs, not_installed
from millgate_serving.failure import Reason, ServingError
from millgate_serving.mlmodel import MlModel
from millgate_serving.numeric_layout import layout, mismatch
from millgate_serving.signature import Signature
from millgate_serving.validation import Arrays

_BOOSTER: Final = "lightgbm.basic.Booster"


class LightgbmEngine:
    """Features in the order of the signature, as LightGBM itself counts columns and does not look at their names."""

    def __init__(self, booster: Any, signature: Signature, threads: int) -> None:
        self.outputs = ("predictions",)
        self.layout = layout(signature, booster.num_feature(), np.dtype(np.float64))
        self._booster = booster
        self._threads = threads

    def run(self, arrays: Arrays) -> Outputs:
        return [(self.outputs[0], np.asarray(self._booster.predict(arrays[0], num_threads=self._threads)))]


def is_data(model: MlModel) -> bool:
    """Boosters are saved as text; MLflow pickles the estimators of LightGBM's scikit-learn interface."""
    return str(model.flavours["lightgbm"].get("model_class", _BOOSTER)) == _BOOSTER


def load(model: MlModel, threads: int) -> LightgbmEngine:
    """Raises FlavourNotInstalled, ModelUnreadable, LoadFailed or SignatureMismatch."""
    try:
        import lightgbm  # noqa: PLC0415 - only in the full image
    except ImportError as error:
        raise not_installed("LightGBM", error) from error
    lightgbm.register_logger(logging.getLogger("lightgbm"))  # it writes to standard output, where our lines stand
    try:
        booster = lightgbm.Booster(model_file=model.file(model.flavours["lightgbm"].get("data")))
    except lightgbm.basic.LightGBMError as error:
        raise ServingError(Reason.LOAD_FAILED, "LightGBM cannot load the model: not its text format") from error
    if booster.pandas_categorical:
        raise mismatch("it was trained with categorical columns of pandas, whose codes no request can give")
    return LightgbmEngine(booster, model.signature, threads)
