"""KServe's Python server with a model as its own sklearnserver has it. Arguments: the joblib file, the HTTP port."""

# mypy: ignore-errors
# Its libraries are those of another environment.

import sys
from typing import Any

import joblib
from kserve import Model, ModelServer
from kserve.utils.utils import get_predict_input, get_predict_response


class Served(Model):
    def load(self) -> bool:
        self.model = joblib.load(sys.argv[1])
        self.ready = True
        return True

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:  # noqa: ARG002 - KServe gives them
        return get_predict_response(payload, self.model.predict(get_predict_input(payload)), self.name)


if __name__ == "__main__":
    served = Served("m")
    served.load()
    ModelServer(http_port=int(sys.argv[2]), enable_grpc=False, workers=1).start([served])
