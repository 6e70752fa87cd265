"""KServe's Python server with a model as its own sklearnserver has it, or with ONNX Runtime in its place.

Arguments: the joblib file, or an ONNX file; the HTTP port.
"""

# mypy: ignore-errors
# Its libraries are those of another environment.

import sys
from typing import Any

from kserve import Model, ModelServer
from kserve.utils.utils import get_predict_input, get_predict_response


class Served(Model):
    def load(self) -> bool:
        import joblib  # noqa: PLC0415 - one of the two engines

        self.predict_labels = joblib.load(sys.argv[1]).predict
        self.ready = True
        return True

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:  # noqa: ARG002 - KServe gives them
        return get_predict_response(payload, self.predict_labels(get_predict_input(payload)), self.name)


class ServedByOnnxRuntime(Served):
    def load(self) -> bool:
        import numpy as np  # noqa: PLC0415
        import onnxruntime  # noqa: PLC0415

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(sys.argv[1], options)
        self.predict_labels = lambda rows: session.run(["label"], {"X": np.asarray(rows, np.float32)})[0]
        self.ready = True
        return True


if __name__ == "__main__":
    served = (ServedByOnnxRuntime if sys.argv[1].endswith(".onnx") else Served)("m")
    served.load()
    ModelServer(http_port=int(sys.argv[2]), enable_grpc=False, workers=1).start([served])
