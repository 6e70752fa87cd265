"""KServe's own REST client, unchanged, asks our server: `python -m e2e.bench.serving.clients`.

It is installed from the package registry into an environment of its own, because it wants half of a data centre;
tritonclient is part of the tests. Ends with 1 when the client is told anything but what scikit-learn says.
"""

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from e2e.bench.serving import environments, ours, subject
from e2e.bench.serving.cases import v2_binary, v2_json
from e2e.bench.serving.process import free_ports, running
from e2e.bench.serving.servers import PEERS, SERVERS, Server, Setting, Start

CLIENT_SECONDS = 120
_INFER = "/v2/models/m/infer"
_READY = {"live": True, "ready": True, "model": True, "other model": False}


def main() -> int:
    asked = subject.made()
    bin_folder = environments.installed(_named("kserve"))
    with tempfile.TemporaryDirectory(prefix="millgate-clients-") as name:
        folder = Path(name)
        rows = folder / "rows.json"
        rows.write_bytes(msgspec.json.encode(asked.rows))
        setting = Setting(Path(sys.executable).parent, folder, free_ports(), asked)
        with running(_server(), setting, 0) as server:
            told = _ask(bin_folder, f"http://127.0.0.1:{server.port}", rows)
    faults = _faults(told, asked.labels)
    for fault in faults:
        print(fault, file=sys.stderr)
    if not faults:
        print(f"{', '.join(told['labels'])}: {len(asked.labels)} rows each, all labels those of scikit-learn")
        print(f"a refusal is told as: {told['refused']}")
    return 1 if faults else 0


def _named(name: str) -> Server:
    return next(server for server in SERVERS if server.name == name)


def _server() -> Server:
    """As delivered, with the model that takes one tensor."""

    def start(setting: Setting) -> Start:
        variables = ours.variables(setting.folder, setting.port, setting.subject.onnx_tensor, everything=False)
        return Start([str(Path(sys.executable).with_name("millgate-serving"))], variables)

    forms = (v2_json(_INFER, "input"), v2_binary(_INFER, "input"))
    return replace(_named("millgate-v2"), forms=forms, start=start)


def _ask(bin_folder: Path, address: str, rows: Path) -> dict[str, Any]:
    words = [str(bin_folder / "python"), str(PEERS / "kserve_client.py"), address, str(rows)]
    done = subprocess.run(words, stdout=subprocess.PIPE, check=True, timeout=CLIENT_SECONDS)
    return msgspec.json.decode(done.stdout, type=dict[str, Any])


def _faults(told: dict[str, Any], labels: list[int]) -> list[str]:
    found = [f"{what}: {told[what]}" for what, right in _READY.items() if told[what] != right]
    found += [f"{way}: other labels than scikit-learn's" for way, got in told["labels"].items() if got != labels]
    if "inputs[0].shape: must be [-1, 20]" not in str(told["refused"]):
        found.append(f"a refusal is told as: {told['refused']}")
    return found


if __name__ == "__main__":
    raise SystemExit(main())
