"""ONNX models on ONNX Runtime: no code of the model is executed, and one row costs microseconds."""

from threading import get_ident
from typing import Any

import numpy as np
import onnxruntime as ort

from millgate_serving.engine import Outputs
from millgate_serving.failure import Reason, ServingError
from millgate_serving.mlmodel import MlModel
from millgate_serving.signature import Column, Signature, Tensor
from millgate_serving.stopping import CallStopped
from millgate_serving.validation import Arrays, Layout

_DTYPES: dict[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(double)": np.dtype(np.float64),
    "tensor(bool)": np.dtype(np.bool_),
    "tensor(string)": np.dtype(object),
    **{f"tensor({sign}int{bits})": np.dtype(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
_SILENT = 4
_NUMBERS = ("float32", "float64")
# MLflow's column types and the tensor types that may hold them; it casts double to float in its own ONNX flavour too.
_HOLDERS: dict[str, tuple[str, ...]] = {
    "boolean": ("bool",),
    "integer": ("int32", "int64", *_NUMBERS),
    "long": ("int64", *_NUMBERS),
    "float": _NUMBERS,
    "double": _NUMBERS,
    "string": ("object",),
}


class OnnxEngine:
    """Feeds are built once: names, and for columns the shape that each input wants."""

    def __init__(self, session: ort.InferenceSession, signature: Signature) -> None:
        # The method around it compares the names of the feeds with those of the inputs once more: 2 us a call.
        self._run = session._sess.run  # noqa: SLF001
        self._inputs = _assigned(session.get_inputs(), signature)
        self.layout = _layout(self._inputs, signature)
        self._names = [node.name for node in self._inputs]
        columns_apart = bool(signature.columns) and not self.layout.matrix
        shapes = [(-1, 1) if columns_apart and len(node.shape) == 2 else None for node in self._inputs]
        self._shapes = shapes if any(shapes) else None
        self._calls: dict[int, ort.RunOptions] = {}
        outputs = session.get_outputs()
        self.outputs = tuple(node.name for node in outputs)
        # A declared [rows, 1] is one value a row, as scikit-learn answers; lists of maps (ZipMap) have no shape.
        single = [len(node.shape) == 2 and node.shape[1] == 1 for node in outputs]
        self._single = single if any(single) else None

    def run(self, arrays: Arrays) -> Outputs:
        if self._shapes is not None:
            shaped = zip(arrays, self._shapes, strict=True)
            arrays = [array if shape is None else array.reshape(shape) for array, shape in shaped]
        feeds = dict(zip(self._names, arrays, strict=True))
        options = self._calls.get(get_ident()) or self._first_call()
        options.terminate = False
        try:
            results = self._run(self.outputs, feeds, options)
        except Exception as error:
            if options.terminate:
                raise CallStopped from error
            raise
        if self._single is not None:
            declared = zip(results, self._single, strict=True)
            results = [result.ravel() if single else result for result, single in declared]
        return list(zip(self.outputs, results, strict=True))

    def stop(self, thread: int) -> None:
        """Takes effect between two operators of the graph, also inside of a loop of the graph."""
        if options := self._calls.get(thread):
            options.terminate = True

    def _first_call(self) -> ort.RunOptions:
        """Of this thread: the options of a call are what ends it, so no two calls may share them."""
        options = self._calls[get_ident()] = ort.RunOptions()
        options.log_severity_level = _SILENT
        return options


def load(model: MlModel, threads: int = 1) -> OnnxEngine:
    """Raises ModelUnreadable, LoadFailed or SignatureMismatch."""
    return of(str(model.file(model.flavours["onnx"].get("data", "model.onnx"))), model.signature, threads)


def of(model: str | bytes, signature: Signature, threads: int = 1) -> OnnxEngine:
    """From a file, or from its content. Raises LoadFailed or SignatureMismatch."""
    options = ort.SessionOptions()
    # By default ONNX Runtime counts the node's cores, not the pod's, and its idle threads spin (onnxruntime #29510).
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = _SILENT
    try:
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ServingError(Reason.LOAD_FAILED, f"ONNX Runtime cannot load the model: {_first_line(error)}") from error
    return OnnxEngine(session, signature)


def _assigned(nodes: list[Any], signature: Signature) -> list[Any]:
    """The model's inputs in the order in which the decoder will give the arrays."""
    by_name = {node.name: node for node in nodes}
    names = [item.name for item in signature.inputs]
    if set(names) == set(by_name):
        return [by_name[name] for name in names]
    if len(nodes) == 1 and (signature.columns or not signature.tensors[0].name):
        return nodes
    raise _mismatch(f"it names {', '.join(names)}, the model has the inputs {', '.join(by_name)}")


def _layout(nodes: list[Any], signature: Signature) -> Layout:
    for node in nodes:
        if node.type not in _DTYPES:
            raise _mismatch(f"the model's input '{node.name}' is a {node.type}, which no request can give")
    dtypes = [_DTYPES[node.type] for node in nodes]
    if signature.tensors:
        for tensor, node, dtype in zip(signature.tensors, nodes, dtypes, strict=True):
            _check_tensor(tensor, node, dtype)
        return Layout(tuple(dtypes))
    apart = all(len(node.shape) == 1 or node.shape[1:] == [1] for node in nodes) and len(nodes) == len(signature.inputs)
    if not apart:
        _check_matrix(nodes[0], len(signature.inputs))
        dtypes = dtypes * len(signature.inputs)
    for column, dtype in zip(signature.columns, dtypes, strict=True):
        _check_column(column, dtype)
    return Layout(tuple(dtypes), matrix=not apart)


def _check_tensor(tensor: Tensor, node: Any, dtype: np.dtype[Any]) -> None:
    kind = {"str": "object"}.get(tensor.type, tensor.type)
    if kind != dtype.name and (kind, dtype.name) != ("float64", "float32"):
        raise _mismatch(f"tensor '{tensor.name}' is {tensor.type}, the model's input '{node.name}' is {dtype.name}")
    fits = len(node.shape) == len(tensor.shape) and all(
        not isinstance(theirs, int) or ours in {theirs, -1}
        for ours, theirs in zip(tensor.shape, node.shape, strict=True)
    )
    if not fits:
        raise _mismatch(f"tensor '{tensor.name}' is {tensor.short}, the model's input has the shape {node.shape}")


def _check_matrix(node: Any, columns: int) -> None:
    if len(node.shape) != 2 or (isinstance(node.shape[1], int) and node.shape[1] != columns):
        raise _mismatch(f"{columns} columns do not fit the model's input of shape {node.shape}")


def _check_column(column: Column, dtype: np.dtype[Any]) -> None:
    allowed = _HOLDERS.get(column.type, ())
    if dtype.name not in allowed:
        raise _mismatch(f"column '{column.name}' is {column.type}, the model's input for it is {dtype.name}")


def _mismatch(message: str) -> ServingError:
    return ServingError(Reason.SIGNATURE_MISMATCH, f"the signature does not fit the model: {message}")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
