"""The codec of /predict: named rows or columns in JSON, answered with one prediction a row."""

from typing import Final

from millgate_serving.asgi import JSON, Headers
from millgate_serving.datatypes import encode as _encode
from millgate_serving.datatypes import plain
from millgate_serving.engine import Outputs
from millgate_serving.predicting import Call
from millgate_serving.refusal import Header, Refusal
from millgate_serving.validation import Decode

_HEADERS: Final = (JSON,)


class PredictJson:
    protocol = "predict"

    def __init__(self, decode: Decode, model_name: str, model_version: str) -> None:
        self._decode = decode
        self._tail = b',"model":' + _encode(model_name) + b',"version":' + _encode(model_version) + b',"id":'

    def check(self, headers: Headers) -> None:
        check_is_json(headers)

    def decode(self, body: bytes, _headers: Headers) -> Call:
        arrays = self._decode(body)
        return Call(arrays, len(arrays[0]))

    def encode(self, outputs: Outputs, _call: Call, request_id: str) -> tuple[bytes, tuple[Header, ...]]:
        """The first output is the prediction; further ones follow by name. Built from parts that never change."""
        head = b'{"predictions":' + _encode(plain(outputs[0][1]))
        if len(outputs) > 1:
            head += b',"outputs":' + _encode({name: plain(values) for name, values in outputs[1:]})
        return head + self._tail + _encode(request_id) + b"}", _HEADERS


def check_is_json(headers: Headers) -> None:
    kind = headers.get(b"content-type", b"application/json")
    if kind != b"application/json" and not is_json(kind):
        raise Refusal(415, "content-type must be application/json in UTF-8")
    check_is_plain(headers)


def check_is_plain(headers: Headers) -> None:
    """Compressed bodies are refused: what they unfold to cannot be counted while it streams."""
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise Refusal(415, "content-encoding must be identity")


def is_json(content_type: bytes) -> bool:
    kind, _, parameters = content_type.lower().partition(b";")
    charset = parameters.strip().removeprefix(b"charset=").strip(b'"')
    return kind.strip() == b"application/json" and charset in {b"", b"utf-8", b"utf8", b"us-ascii"}
