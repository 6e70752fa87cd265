"""The Open Inference Protocol v2 for the one model of this process: its codec, and the documents that describe it."""

from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct

from millgate_serving import __version__
from millgate_serving.asgi import Headers
from millgate_serving.engine import Outputs
from millgate_serving.loading import ReadyModel
from millgate_serving.predict_json import check_is_plain, is_json
from millgate_serving.predicting import Call
from millgate_serving.refusal import Header, Refusal
from millgate_serving.v2_inputs import Inputs
from millgate_serving.v2_outputs import Chosen, OutputWriter, tensors
from millgate_serving.v2_request import read
from millgate_serving.v2_tensors import Tensor

_TYPES: Final = frozenset({b"", b"application/json", b"application/octet-stream"})
_PLATFORMS = {"onnx": "onnx_onnxv1"}

_encode = msgspec.json.Encoder().encode

SERVER: Final = _encode({"name": "millgate-serving", "version": __version__, "extensions": ["binary_tensor_data"]})


class _Wants(Struct, frozen=True, gc=False):
    chosen: Chosen
    id: str | None


class V2:
    """A Codec; prepared when the model is loaded."""

    protocol = "v2"

    def __init__(self, ready: ReadyModel, model_name: str, model_version: str) -> None:
        self._name, self._version = model_name, model_version
        signature, engine = ready.model.signature, ready.engine
        self._inputs = Inputs(
            ready.fields,
            columns=bool(signature.columns),
            matrix=engine.layout.matrix,
            ignore_extra=ready.constraints.extra_fields == "ignore",
        )
        self._outputs = OutputWriter(engine.outputs, model_name, model_version)
        answered = None if ready.answered is None else ready.answered.outputs
        described = tensors(engine.outputs, answered, signature)
        document: dict[str, Any] = {
            "name": model_name,
            "versions": [model_version] if model_version else [],
            "platform": _PLATFORMS.get(ready.flavour, f"{ready.flavour}_mlflow"),
            "inputs": [_described(tensor) for tensor in self._inputs.tensors],
            "outputs": [_described(tensor) for tensor in described],
        }
        self.metadata = _encode(document)

    def check(self, headers: Headers) -> None:
        """What a body is, the header of the binary extension tells; clients send either content type, or none."""
        kind = headers.get(b"content-type", b"")
        if kind not in _TYPES and not is_json(kind):
            raise Refusal(415, "content-type must be application/json in UTF-8, or application/octet-stream")
        check_is_plain(headers)

    def decode(self, body: bytes, headers: Headers) -> Call:
        request, blobs = read(body, headers)
        if request.model_name is not None and request.model_name != self._name:
            raise Refusal(400, f"model_name: must be {self._name}, or left out")
        if request.model_version is not None and request.model_version != self._version:
            raise Refusal(400, f"model_version: must be {self._version}, or left out")
        chosen = self._outputs.chosen(request)
        arrays, rows = self._inputs.read(request.inputs, blobs)
        return Call(arrays, rows, _Wants(chosen, None if request.id is UNSET else request.id))

    def encode(self, outputs: Outputs, call: Call, _request_id: str) -> tuple[bytes, tuple[Header, ...]]:
        return self._outputs.write(outputs, call.wants.chosen, call.wants.id)


def _described(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
