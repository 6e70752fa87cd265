"""A request of the Open Inference Protocol as it is written: its JSON, and the tensors that may follow in binary.

The binary tensor extension: `Inference-Header-Content-Length` gives the length of the JSON, the raw tensors follow in
the order of the inputs, each as long as its parameter `binary_data_size` says. What decides is that header, and not the
content type, which clients leave out.
"""

import re
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from millgate_serving.asgi import Headers
from millgate_serving.refusal import Refusal
from millgate_serving.wording import not_understood

HEADER_LENGTH: Final = b"inference-header-content-length"
_MAX_LENGTH = 2**31 - 1
_REQUEST_FIELDS = ("id", "model_name", "model_version", "parameters", "inputs", "outputs")
_INPUT_FIELDS = ("name", "shape", "datatype", "parameters", "data")
_OUTPUT_FIELDS = ("name", "parameters")

_Length = Annotated[int, Meta(ge=0, le=_MAX_LENGTH)]


class _InputParameters(Struct, gc=False):
    """Others are left to other servers; what names shared memory would silently be no data."""

    binary_data_size: _Length | UnsetType = UNSET
    shared_memory_region: Any = UNSET


class InputTensor(Struct, forbid_unknown_fields=True, gc=False):
    """`data` is JSON that is not read yet: what it may hold depends on the name."""

    name: str
    shape: Annotated[list[_Length], Meta(min_length=1, max_length=16)]
    datatype: str
    parameters: _InputParameters | None = None
    data: Raw | UnsetType = UNSET


class _OutputParameters(Struct, gc=False):
    binary_data: bool | UnsetType = UNSET
    classification: Any = UNSET
    shared_memory_region: Any = UNSET


class RequestedOutput(Struct, forbid_unknown_fields=True, gc=False):
    name: str
    parameters: _OutputParameters | None = None


class _Parameters(Struct, gc=False):
    binary_data_output: bool = False
    sequence_id: Any = UNSET


class Request(Struct, forbid_unknown_fields=True, gc=False):
    """KServe's client repeats the model's name, as the protocol's gRPC form has it."""

    inputs: Annotated[list[InputTensor], Meta(min_length=1)]
    outputs: list[RequestedOutput] | None = None
    id: str | UnsetType = UNSET
    model_name: str | None = None
    model_version: str | None = None
    parameters: _Parameters | None = None


_decode = msgspec.json.Decoder(Request).decode
_NO_BLOBS: Final[dict[int, memoryview]] = {}


def read(body: bytes, headers: Headers) -> tuple[Request, dict[int, memoryview]]:
    """The request, and the raw bytes of those inputs, by place, whose data is binary. Raises Refusal."""
    declared = headers.get(HEADER_LENGTH)
    length = len(body) if declared is None else _json_length(declared, len(body))
    try:
        request = _decode(body if declared is None else memoryview(body)[:length])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_understood(error, allowed=_fields_at) from None
    _check_parameters(request)
    blobs = _NO_BLOBS if declared is None else _blobs(request.inputs, memoryview(body)[length:])
    _check_data(request.inputs, blobs)
    return request, blobs


def _json_length(declared: bytes, available: int) -> int:
    if not declared.isdigit() or len(declared) > 12 or int(declared) > available:
        raise Refusal(400, "Inference-Header-Content-Length must be the number of bytes of JSON that begin the body")
    return int(declared)


def _fields_at(place: str) -> tuple[str, ...]:
    if re.fullmatch(r"inputs\[\d+\]", place):
        return _INPUT_FIELDS
    return _OUTPUT_FIELDS if place else _REQUEST_FIELDS


def _check_parameters(request: Request) -> None:
    """What would change the answer and is not known here must not be passed over in silence."""
    if request.parameters is not None and request.parameters.sequence_id is not UNSET:
        raise Refusal(400, "parameters.sequence_id: this server knows no sequences")
    for index, output in enumerate(request.outputs or ()):
        parameters = output.parameters
        if parameters is not None and parameters.classification is not UNSET:
            raise Refusal(400, f"outputs[{index}].parameters.classification: this server has no such extension")
        if parameters is not None and parameters.shared_memory_region is not UNSET:
            raise _no_shared_memory(f"outputs[{index}]")


def _no_shared_memory(place: str) -> Refusal:
    return Refusal(400, f"{place}.parameters.shared_memory_region: this server has no such extension")


def _blobs(inputs: list[InputTensor], rest: memoryview) -> dict[int, memoryview]:
    found, start = {}, 0
    for index, item in enumerate(inputs):
        size = UNSET if item.parameters is None else item.parameters.binary_data_size
        if size is UNSET:
            continue
        found[index] = rest[start : start + size]
        start += size
    if start != len(rest):
        raise Refusal(
            400, f"binary_data_size: the inputs' sizes sum to {start}, the body has {len(rest)} bytes of data"
        )
    return found


def _check_data(inputs: list[InputTensor], blobs: dict[int, memoryview]) -> None:
    for index, item in enumerate(inputs):
        if item.parameters is not None:
            if item.parameters.shared_memory_region is not UNSET:
                raise _no_shared_memory(f"inputs[{index}]")
            if item.parameters.binary_data_size is not UNSET and index not in blobs:
                place = f"inputs[{index}].parameters.binary_data_size"
                raise Refusal(400, f"{place}: binary data needs the header Inference-Header-Content-Length")
        if (item.data is UNSET) is (index not in blobs):
            what = "missing field 'data'" if item.data is UNSET else "either data or binary data, not both"
            raise Refusal(400, f"inputs[{index}]: {what}")
