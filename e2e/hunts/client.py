"""A client generated from /openapi.json asks the server that the document is of.

`python -m e2e.hunts.client`; exit code 1 when an answer is not what the server says by itself.
"""

import json
import os
import subprocess
import tempfile
from http.client import HTTPConnection
from pathlib import Path

from e2e.bench.serving.environments import with_packages
from e2e.cluster.paths import REPO_ROOT
from e2e.hunts.target import HuntError, Target, serving

GENERATOR = "openapi-python-client==0.29.1"


def main() -> int:
    programs = with_packages((GENERATOR,))
    with tempfile.TemporaryDirectory() as name, serving(Path(name), "mixed") as target:
        folder = Path(name)
        _generate(programs, target, folder)
        found = _asked(programs, target, folder)
        print(json.dumps(found, indent=1))
        _compare(found, _answered(target))
    return 0


def _generate(programs: Path, target: Target, folder: Path) -> None:
    settings = folder / "generator.yaml"
    settings.write_text("post_hooks: []\n")
    where: list[str | Path] = [
        "--url",
        f"{target.url}/openapi.json",
        "--output-path",
        folder / "generated_client",
        "--meta",
        "none",
    ]
    words: list[str | Path] = [programs / "openapi-python-client", "generate", *where, "--config", settings]
    done = subprocess.run([*words, "--fail-on-warning"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise HuntError(f"the generator says: {done.stdout}{done.stderr}")


def _asked(programs: Path, target: Target, folder: Path) -> dict[str, object]:
    paths = os.pathsep.join([str(folder), str(REPO_ROOT)])
    words: list[str | Path] = [programs / "python", "-m", "e2e.hunts.generated", target.url]
    done = subprocess.run(words, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HuntError(f"the generated client failed: {done.stderr}")
    found: dict[str, object] = json.loads(done.stdout)
    return found


def _answered(target: Target) -> list[object]:
    """The same rows without any client."""
    connection = HTTPConnection("127.0.0.1", target.port, timeout=20)
    rows = [{"amount": 0.5, "items": 3, "country": "DE"}] * 2
    connection.request("POST", "/predict", json.dumps({"rows": rows}), {"content-type": "application/json"})
    predictions: list[object] = json.loads(connection.getresponse().read())["predictions"]
    connection.close()
    return predictions


def _compare(found: dict[str, object], predictions: list[object]) -> None:
    expected = {
        "rows": predictions,
        "columns": predictions,
        "model": ["fraud", "8"],
        "inferred": predictions,
        "id": "7",
        "refused": [400, "rows[0].items: expected 'integer' <= 9223372036854775807"],
        "metadata": "fraud",
        "ready": 200,
    }
    for field, value in expected.items():
        if found[field] != value:
            raise HuntError(f"{field}: {found[field]}, expected {value}")


if __name__ == "__main__":
    raise SystemExit(main())
