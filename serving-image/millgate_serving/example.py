"""The model's own input example, turned into the request that a client would send."""

from typing import Any

import msgspec

from millgate_serving.failure import Reason, ServingError

_ROWS = 100  # an example is a sample; a whole training set logged by mistake would only slow the start


def request_body(example: dict[str, Any]) -> bytes:
    """The body for /predict from MLflow's `serving_input_example.json`."""
    split, inputs = example.get("dataframe_split"), example.get("inputs", example.get("instances"))
    if isinstance(split, dict) and isinstance(split.get("columns"), list):
        names = [str(name) for name in split["columns"]]
        rows = [dict(zip(names, row, strict=True)) for row in split["data"][:_ROWS]]
        return msgspec.json.encode({"rows": rows})
    if isinstance(inputs, list):
        return msgspec.json.encode({"rows": inputs[:_ROWS]})
    if isinstance(inputs, dict):
        return msgspec.json.encode({"columns": {name: values[:_ROWS] for name, values in inputs.items()}})
    raise ServingError(
        Reason.INPUT_EXAMPLE_FAILED,
        "the input example has none of the forms dataframe_split and inputs",
    )


def rows(example: dict[str, Any]) -> list[Any]:
    """The same, as one entry a row."""
    body = msgspec.json.decode(request_body(example))
    if "rows" in body:
        found: list[Any] = body["rows"]
        return found
    columns = body["columns"]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
