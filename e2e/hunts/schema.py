"""Ten thousand requests that Schemathesis makes from /openapi.json, with all of its checks.

`python -m e2e.hunts.schema [--cases 10000] [--model every_type]`; exit code 1 when there is a 5xx, an answer that the
document does not know, a valid request that is refused or an invalid one that is accepted.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from e2e.hunts.target import TESTS, Target, serving

_PREDICTIONS = 3  # operations that take a body of the model's own: /predict and two of the protocol v2


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--cases", type=int, default=10_000)
    arguments.add_argument("--model", default="every_type", help="a model of tests/serving/serving_models.py")
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), asked.model) as target:
        return _hunt(target, asked.cases, Path(folder))


def _hunt(target: Target, cases: int, folder: Path) -> int:
    before = target.memory_mib()
    command: list[str | Path] = [Path(sys.executable).with_name("schemathesis")]
    command += ["--config-file", TESTS / "schemathesis.toml", "run", f"{target.url}/openapi.json", "--checks", "all"]
    command += ["--max-examples", str(cases // _PREDICTIONS), "--no-color"]
    variables = os.environ | {"SCHEMATHESIS_HOOKS": str(TESTS / "schema_hooks.py")}
    done = subprocess.run(command, cwd=folder, env=variables, check=False)
    answers = target.answers()
    print(f"predictions by status: {answers}; memory {before:.1f} -> {target.memory_mib():.1f} MiB")
    return 1 if done.returncode or any(code.startswith("5") for code in answers) else 0


if __name__ == "__main__":
    raise SystemExit(main())
