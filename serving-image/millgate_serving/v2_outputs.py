"""Answers of the Open Inference Protocol: which outputs are asked for, and their tensors in JSON or in binary."""

from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from millgate_serving import datatypes
from millgate_serving.asgi import JSON
from millgate_serving.datatypes import BYTES, DTYPES, text_of
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
    array = _array(values)
    return Tensor(name, datatypes.of_dtype(array.dtype), (-1, *array.shape[1:]))


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
    array = _array(values)
    datatype, data = datatypes.of_dtype(array.dtype), array.ravel().tolist()
    if datatype == "FP16":  # has no form in JSON
        datatype = "FP32"
    if datatype == BYTES:
        data = [value if isinstance(value, str) else text_of(value).decode(errors="replace") for value in data]
    return _described(head, datatype, array.shape) + b',"data":' + _encode(data) + b"}"


def _binary(head: bytes, values: Any) -> tuple[bytes, bytes]:
    array = _array(values)
    datatype = datatypes.of_dtype(array.dtype)
    if datatype == BYTES:
        texts = map(text_of, array.ravel().tolist())
        blob = b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    else:
        blob = np.ascontiguousarray(array, DTYPES[datatype]).tobytes()
    parameters = b',"parameters":{"binary_data_size":%d}}' % len(blob)
    return _described(head, datatype, array.shape) + parameters, blob


def _array(values: Any) -> npt.NDArray[Any]:
    """Moments as texts, lists as arrays, all else as it is."""
    array: npt.NDArray[Any] = values if isinstance(values, np.ndarray) else _of_list(values)
    return np.datetime_as_string(array).astype(object) if array.dtype.kind == "M" else array


def _of_list(values: list[Any]) -> npt.NDArray[Any]:
    """An array of numbers or texts where it is one, else (ZipMap's maps) one object a row."""
    try:
        array = np.asarray(values)
    except ValueError:  # lists of different lengths
        array = np.empty(0, object)
    if array.dtype.kind in "biufUM":
        return array
    objects = np.empty(len(values), object)
    for row, value in enumerate(values):
        objects[row] = value
    return objects


def _described(head: bytes, datatype: str, shape: tuple[int, ...]) -> bytes:
    return b'%b,"datatype":"%b","shape":%b' % (head, datatype.encode(), _encode(shape))
