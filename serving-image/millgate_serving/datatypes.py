"""The datatypes of the Open Inference Protocol: numpy's for each, the one of each type of a signature, what fits."""

from typing import Annotated, Any, Final

import msgspec
import numpy as np
from msgspec import Meta

DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "BOOL": np.dtype(np.bool_),
    **{f"{sign}INT{bits}": np.dtype(f"{sign.lower()}int{bits}") for sign in ("", "U") for bits in (8, 16, 32, 64)},
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
BYTES: Final = "BYTES"

_COLUMNS = {"boolean": "BOOL", "integer": "INT32", "long": "INT64", "float": "FP32", "double": "FP64"}
_BY_DTYPE = {dtype: name for name, dtype in DTYPES.items()}


def of_type(kind: str) -> str:
    """Of a type of MLflow's signature. Text, bytes and moments (RFC 3339) are BYTES."""
    return _COLUMNS.get(kind) or next((name for name, dtype in DTYPES.items() if dtype.name == kind), BYTES)


def of_dtype(dtype: np.dtype[Any]) -> str:
    return _BY_DTYPE.get(dtype, BYTES)


def accepted(datatype: str) -> tuple[str, ...]:
    """Those whose values fit without loss, itself first: numbers into wider ones, as numpy's safe casts allow."""
    if datatype in {BYTES, "BOOL"}:
        return (datatype,)
    wider = DTYPES[datatype]
    others = (name for name, dtype in DTYPES.items() if name not in {datatype, "BOOL"} and np.can_cast(dtype, wider))
    return (datatype, *others)


def element(datatype: str) -> Any:
    """The msgspec type of one number in JSON. FP16 has no form in JSON."""
    dtype = DTYPES[datatype]
    if dtype.kind == "b":
        return bool
    if dtype.kind == "f":
        largest = float(np.finfo(dtype).max)
        return Annotated[float, Meta(ge=-largest, le=largest)]
    bounds = np.iinfo(dtype)
    return Annotated[int, Meta(ge=int(bounds.min), le=min(int(bounds.max), 2**63 - 1))]  # msgspec compares as int64


def plain(values: Any) -> Any:
    """An output as JSON values; lists of maps (ZipMap) are such already."""
    return values.tolist() if isinstance(values, np.ndarray) else values


def _of_numpy(value: Any) -> Any:
    """For msgspec: scalars of numpy that a model has put into a list or an array of objects."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise NotImplementedError(type(value).__name__)


encode: Final = msgspec.json.Encoder(enc_hook=_of_numpy).encode


def text_of(value: Any) -> bytes:
    """One element of a BYTES output: texts as they are, anything else as JSON."""
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else encode(value)
