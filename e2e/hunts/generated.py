"""Asks a server by a client that was generated from its /openapi.json, run by `e2e.hunts.client` with it on the path.

`python -m e2e.hunts.generated URL`; it prints one line of JSON with what came back.
"""

import importlib
import json
import sys
from typing import Any


def main(url: str) -> None:
    package: Any = importlib.import_module("generated_client")
    models: Any = importlib.import_module("generated_client.models")
    client = package.Client(base_url=url)

    def ask(operation: str, **arguments: Any) -> Any:
        module: Any = importlib.import_module(f"generated_client.api.default.{operation}")
        return module.sync_detailed(client=client, **arguments)

    row = models.Row(amount=0.5, items=3, country="DE")
    rows = ask("predict", body=models.RowsRequest(rows=[row, row]))
    columns = models.Columns(amount=[0.5, 0.5], items=[3, 3], country=["DE", "DE"])
    tensors = [
        _tensor(models, name, datatype, value)
        for name, datatype, value in [("amount", "FP64", 0.5), ("items", "INT64", 3), ("country", "BYTES", "DE")]
    ]
    inferred = ask("infer", body=models.InferRequest(inputs=tensors, id="7"))
    wrong = ask("predict", body=models.RowsRequest(rows=[models.Row(amount=0.5, items=2**70, country="DE")]))
    found = {
        "rows": rows.parsed.predictions,
        "columns": ask("predict", body=models.ColumnsRequest(columns=columns)).parsed.predictions,
        "model": [rows.parsed.model, rows.parsed.version],
        "inferred": inferred.parsed.outputs[0].data,
        "id": inferred.parsed.id,
        "refused": [int(wrong.status_code), wrong.parsed.error],
        "metadata": ask("model_metadata").parsed.name,
        "ready": int(ask("ready").status_code),
    }
    print(json.dumps(found))


def _tensor(models: Any, name: str, datatype: str, value: object) -> Any:
    kind, datatypes = (getattr(models, f"InferRequestInput{name.title()}{what}") for what in ("", "Datatype"))
    return kind(name=name, datatype=datatypes(datatype), shape=[2, 1], data=[value, value])


if __name__ == "__main__":
    main(sys.argv[1])
