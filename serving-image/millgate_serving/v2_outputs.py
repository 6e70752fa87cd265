"""Answers of the Open Inference Protocol: which outputs are asked for, and their tensors in JSON or in binary."""

from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from millgate_serving import datatypes
from millgate_serving.asgi import JSON
from millgate_serving.datatypes import BYTES, DTYPES
from millgate_serving.engine import Outputs
from millgate_serving.refusal import Header, Refusal
from millgate_serving.signature import Signature
from millgate_serving.v2_request import HEADER_LENGTH, Request
from millgate_serving.v2_tensors import Tensor
from millgate_serving.wording import listed, one_of

_BINARY: Final = (b"content-type", b"application/octet-stream")
_JSON_HEADERS: Final = (JSON,)

Chosen = tuple[tuple[int, bool], ...]
"""Outputs by place in the model's answer, and whether each is wanted in binary."""

_encode = msgspec.json.Encoder().encode


def tensors(names: tuple[str, ...], answered: Outputs | None, signature: Signature) -> list[Tensor]:
    """For the metadata: as the model answered its own example, else as its signature says, else nothing is known."""
    if answered is not None:
        return [_shown(name, values) for name, values in answered]
    if len(signature.outputs) != len(names):
        return []
    return [Tensor(name, *_declared(kind)) for name, (_, kind) in zip(names, signature.outputs, strict=True)]


def _shown(name: str, values: Any) -> Tensor:
    if not isinstance(values, np.ndarray):
        return Tensor(name, BYTES, (-1,))
    return Tensor(name, datatypes.of_dtype(values.dtype), (-1, *values.shape[1:]))


def _declared(kind: str) -> tuple[str, tuple[int, ...]]:
    """Of `double`, or of a tensor's short form: `float32[-1,2]`."""
    name, _, lengths = kind.removesuffix("]").partition("[")
    shape = tuple(int(length) for length in lengths.split(",")) if lengths else (-1,)
    return datatypes.of_type(name), (-1, *shape[1:])


class OutputWriter:
    """What never changes in an answer is written once."""

    def __init__(self, names: tuple[str, ...], model_name: str, model_version: str) -> None:
        self._places = {name: place for place, name in enumerate(names)}
        self._heads = [b'{"name":' + _encode(name) for name in names]
        version = b',"model_version":' + _encode(model_version) if model_version else b""
        self._head = b'{"model_name":' + _encode(model_name) + version
        self._all = {binary: tuple((place, binary) for place in range(len(names))) for binary in (False, True)}

    def chosen(self, request: Request) -> Chosen:
        """All outputs unless the request names some. Raises Refusal."""
        binary = request.parameters is not None and request.parameters.binary_data_output
        if not request.outputs:
            return self._all[binary]
        found: dict[int, bool] = {}
        for index, item in enumerate(request.outputs):
            place = self._places.get(item.name)
            if place is None:
                raise Refusal(400, f"outputs[{index}].name: {one_of([listed(self._places)])}")
            if place in found:
                raise Refusal(400, f"outputs[{index}].name: each output may be asked for once")
            wanted = None if item.parameters is None else item.parameters.binary_data
            found[place] = wanted if isinstance(wanted, bool) else binary
        return tuple(found.items())

    def write(self, outputs: Outputs, chosen: Chosen, request_id: str | None) -> tuple[bytes, tuple[Header, ...]]:
        """`request_id` is the one in the request's body, which comes back only if it was there."""
        documents, blobs = [], []
        for place, binary in chosen:
            head, values = self._heads[place], outputs[place][1]
            if binary:
                document, blob = _binary(head, values)
                blobs.append(blob)
            else:
                document = _json(head, values)
            documents.append(document)
        echo = b"" if request_id is None else b',"id":' + _encode(request_id)
        body = self._head + echo + b',"outputs":[' + b",".join(documents) + b"]}"
        if not blobs:
            return body, _JSON_HEADERS
        return b"".join((body, *blobs)), (_BINARY, (HEADER_LENGTH, b"%d" % len(body)))


def _json(head: bytes, values: Any) -> bytes:
    """Flat and row-major, which every client understands; NaN is null."""
    if not isinstance(values, np.ndarray):
        texts = [_encode(value).decode() for value in values]
        return b'%b,"datatype":"BYTES","shape":[%d],"data":%b}' % (head, len(texts), _encode(texts))
    datatype = datatypes.of_dtype(values.dtype)
    if datatype == "FP16":  # has no form in JSON
        datatype = "FP32"
    return _described(head, datatype, values.shape) + b',"data":' + _encode(_flat(values, datatype)) + b"}"


def _flat(values: npt.NDArray[Any], datatype: str) -> list[Any]:
    found: list[Any] = values.ravel().tolist()
    if datatype != BYTES:
        return found
    return [value if isinstance(value, str) else datatypes.text_of(value).decode(errors="replace") for value in found]


def _binary(head: bytes, values: Any) -> tuple[bytes, bytes]:
    if isinstance(values, np.ndarray):
        datatype, shape = datatypes.of_dtype(values.dtype), values.shape
    else:
        datatype, shape = BYTES, (len(values),)
    if datatype == BYTES:
        blob = b"".join(
            _element(value)
            for value in (values.ravel().tolist() if len(shape) > 0 and isinstance(values, np.ndarray) else values)
        )
    else:
        blob = np.ascontiguousarray(values, DTYPES[datatype]).tobytes()
    document = _described(head, datatype, shape) + b',"parameters":{"binary_data_size":%d}}' % len(blob)
    return document, blob


def _element(value: Any) -> bytes:
    text = datatypes.text_of(value)
    return len(text).to_bytes(4, "little") + text


def _described(head: bytes, datatype: str, shape: tuple[int, ...]) -> bytes:
    return b'%b,"datatype":"%b","shape":%b' % (head, datatype.encode(), _encode(shape))
