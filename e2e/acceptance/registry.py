"""MLflow's own HTTP interface, called from inside its pod, where its Host check lets `127.0.0.1` through."""

import json
from typing import Any

from e2e.demo import stack
from e2e.demo.kubectl import Kubectl
from e2e.demo.registry import MODEL

Json = dict[str, Any]

_CALL = """
import sys, urllib.request
method, path, body = sys.argv[1:]
asked = urllib.request.Request("http://127.0.0.1:5000" + path, body.encode() or None, method=method)
asked.add_header("Content-Type", "application/json")
print(urllib.request.urlopen(asked).read().decode())
"""
# Done twice it gives back the first content.
_FLIP_ONE_BIT = """
import sys, urllib.request
address = "http://127.0.0.1:5000/api/2.0/mlflow-artifacts/artifacts/" + sys.argv[1]
content = bytearray(urllib.request.urlopen(address).read())
content[len(content) // 2] ^= 1
asked = urllib.request.Request(address, bytes(content), method="PUT")
asked.add_header("Content-Type", "application/octet-stream")
urllib.request.urlopen(asked)
"""


class Registry:
    """What a person with access to the registry can do to it."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl

    def overwrite(self, version: str) -> None:
        """One bit of the model's file is changed in place; called again, it is as before."""
        where = self._call("GET", f"/api/2.0/mlflow/logged-models/{self._model_id(version)}")
        folder = where["model"]["info"]["artifact_uri"].removeprefix("mlflow-artifacts:/")
        self._run(_FLIP_ONE_BIT, f"{folder}/model.onnx")

    def next_version(self) -> str:
        """The number that the registry will give to the next version."""
        found = self._call("GET", f"/api/2.0/mlflow/model-versions/search?filter=name%3D%27{MODEL}%27")
        return str(max(int(version["version"]) for version in found["model_versions"]) + 1)

    def register_again(self, version: str) -> str:
        """The model of this version as a new version."""
        known = self._version(version)
        asked = {
            "name": MODEL,
            "source": known["source"],
            "run_id": known["run_id"],
            "model_id": self._model_id(version),
        }
        made = self._call("POST", "/api/2.0/mlflow/model-versions/create", asked)
        return str(made["model_version"]["version"])

    def _model_id(self, version: str) -> str:
        return str(self._version(version)["source"]).removeprefix("models:/")

    def _version(self, version: str) -> Json:
        found: Json = self._call("GET", f"/api/2.0/mlflow/model-versions/get?name={MODEL}&version={version}")
        known: Json = found["model_version"]
        return known

    def _call(self, method: str, path: str, body: Json | None = None) -> Json:
        answer: Json = json.loads(self._run(_CALL, method, path, json.dumps(body) if body else ""))
        return answer

    def _run(self, script: str, *words: str) -> str:
        place = ("-n", stack.PLATFORM_NAMESPACE, "deployment/mlflow")
        return self._kubectl.run("exec", *place, "--", "python", "-c", script, *words)
