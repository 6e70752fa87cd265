"""A BentoML service as its documentation has it: numpy in, numpy out, one worker. MODEL names the joblib file."""

# mypy: ignore-errors
# Its libraries are those of another environment.

import os

import bentoml
import joblib
import numpy as np


@bentoml.service(workers=1)
class Served:
    def __init__(self) -> None:
        self.model = joblib.load(os.environ["MODEL"])

    @bentoml.api
    def predict(self, rows: np.ndarray) -> np.ndarray:
        return self.model.predict(rows)
