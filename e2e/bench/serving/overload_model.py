"""Two models for the overload: one whose call takes milliseconds and runs in a thread, one that runs on the loop."""

import json
from pathlib import Path

ROUNDS, FEW_ROUNDS = 8000, 1300
"""Of a loop in the graph: about 5 and 0.8 ms, and nothing but the processor decides how long."""
FOR_EVER = 10**12

_SIGNATURE = {
    "inputs": json.dumps([{"name": "rounds", "type": "long"}, {"name": "share", "type": "double"}]),
    "outputs": json.dumps([{"name": "shared", "type": "double"}]),
}


def body(rounds: int) -> bytes:
    return json.dumps({"rows": [{"rounds": rounds, "share": 0.5}]}).encode()


def save(folder: Path) -> Path:
    """As MLflow lays it out: how long a call takes stands in its first column."""
    from onnx import TensorProto, checker, helper, save_model  # noqa: PLC0415 - a second, only where it is needed

    def info(name: str, kind: int, shape: list[int | None] | None) -> object:
        return helper.make_tensor_value_info(name, kind, shape)

    inner = helper.make_graph(
        [helper.make_node("Identity", ["go_on"], ["goes_on"]), helper.make_node("Sin", ["x"], ["y"])],
        "round",
        [
            info("number", TensorProto.INT64, []),
            info("go_on", TensorProto.BOOL, []),
            info("x", TensorProto.DOUBLE, None),
        ],
        [info("goes_on", TensorProto.BOOL, []), info("y", TensorProto.DOUBLE, None)],
    )
    true = helper.make_tensor("true", TensorProto.BOOL, [], [True])
    nodes = [
        helper.make_node("ReduceMax", ["rounds"], ["trips"], keepdims=0),
        helper.make_node("Constant", [], ["true"], value=true),
        helper.make_node("Loop", ["trips", "true", "share"], ["shared"], body=inner),
    ]
    columns = [info("rounds", TensorProto.INT64, [None, 1]), info("share", TensorProto.DOUBLE, [None, 1])]
    graph = helper.make_graph(nodes, "rounds", columns, [info("shared", TensorProto.DOUBLE, [None, 1])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    folder.mkdir(parents=True)
    save_model(model, folder / "model.onnx")
    flavours = {"onnx": {"data": "model.onnx"}}
    (folder / "MLmodel").write_text(json.dumps({"flavors": flavours, "signature": _SIGNATURE}))
    return folder
