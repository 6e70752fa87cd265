"""KServe's own REST client asks a server of the Open Inference Protocol. Arguments: its address, a JSON file of rows.

Prints as JSON what it was told: whether server and model are ready, and the labels of all rows by the way of asking.
"""

# mypy: ignore-errors
# Its libraries are those of another environment.

import asyncio
import json
import sys
from pathlib import Path

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

MODEL = "m"


async def main(address: str, rows: np.ndarray) -> dict[str, object]:
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        return {
            "live": await client.is_server_live(address),
            "ready": await client.is_server_ready(address),
            "model": await client.is_model_ready(address, MODEL),
            "other model": await client.is_model_ready(address, "other"),
            "refused": await refused(client, address),
            "labels": {
                "JSON": await labels(client, address, rows, binary_in=False, binary_out=False),
                "binary": await labels(client, address, rows, binary_in=True, binary_out=True),
                "binary asked in JSON": await labels(client, address, rows, binary_in=False, binary_out=True),
                "JSON asked in binary": await labels(client, address, rows, binary_in=True, binary_out=False),
            },
        }


async def labels(
    client: InferenceRESTClient, address: str, rows: np.ndarray, *, binary_in: bool, binary_out: bool
) -> list[int]:
    tensor = InferInput("input", list(rows.shape), "FP64")
    tensor.set_data_from_numpy(rows, binary_data=binary_in)
    wanted = [RequestedOutput("label", parameters={"binary_data": binary_out})]
    asked = InferRequest(model_name=MODEL, infer_inputs=[tensor], request_id="mine", request_outputs=wanted)
    answer = await client.infer(address, asked, model_name=MODEL)
    if (answer.id, answer.model_name) != ("mine", MODEL):
        raise ValueError(f"an answer to {answer.id} of {answer.model_name}")
    return answer.outputs[0].as_numpy().tolist()


async def refused(client: InferenceRESTClient, address: str) -> str:
    """What the client makes of a refusal."""
    tensor = InferInput("input", [1, 1], "FP64", data=[1.0])
    try:
        await client.infer(address, InferRequest(model_name=MODEL, infer_inputs=[tensor]), model_name=MODEL)
    except httpx.HTTPStatusError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], np.array(json.loads(Path(sys.argv[2]).read_text()))))))
