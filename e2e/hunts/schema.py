"""Ten thousand requests that Schemathesis makes from /openapi.json, with all of its checks.

`python -m e2e.hunts.schema [--cases 10000] [--model every_type] [--seed N]`, about ten minutes; exit code 1 when there
is a 5xx, an answer that the document does not know, a valid request that is refused or an invalid one that is accepted,
and when fewer cases were made than were asked for.
"""

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from e2e.hunts.target import TESTS, HuntError, Target, serving

# Which phases run together, and which part of the cases each operation may make in them. Four operations take a body: a
# third leaves room for what is made twice and sent once. A scenario of the stateful phase is up to six cases.
_RUNS = (("examples,coverage,fuzzing", 3), ("stateful", 20))
_TELL_SECONDS = 30.0


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--cases", type=int, default=10_000)
    arguments.add_argument("--model", default="every_type", help="a model of tests/serving/serving_models.py")
    arguments.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="to make the same cases again")
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), asked.model) as target:
        return _hunt(target, asked.cases, asked.seed, Path(folder))


def _hunt(target: Target, cases: int, seed: int, folder: Path) -> int:
    before, began, made, failed = target.memory_mib(), time.monotonic(), 0, False
    for phases, part in _RUNS:
        report = _run(target, phases, max(1, cases // part), seed, folder)
        counted, operations = report["test_cases"], report["operations"]
        made += counted["generated"]
        failed |= report["exit_code"] != 0 or not report["complete"] or counted["without_checks"] != 0
        print(f"{phases}: {operations['tested']} operations, {counted}, {report['running_time']:.0f} s, ", end="")
        print(f"exit code {report['exit_code']}; {made} of {cases} cases", flush=True)
    answers = target.answers()
    print(f"{made} cases in {time.monotonic() - began:.0f} s, seed {seed}; predictions by status: {answers}")
    print(f"memory of the server: {before:.1f} -> {target.memory_mib():.1f} MiB")
    if made < cases:
        print(f"only {made} of {cases} cases were made", file=sys.stderr)
    return 1 if failed or made < cases or any(code.startswith("5") for code in answers) else 0


def _run(target: Target, phases: str, examples: int, seed: int, folder: Path) -> dict[str, Any]:
    """What Schemathesis reports of one run, in which a case that is made twice is sent once."""
    told = folder / "report.json"
    told.unlink(missing_ok=True)
    command: list[str | Path] = [Path(sys.executable).with_name("schemathesis")]
    command += ["--config-file", TESTS / "schemathesis.toml", "run", f"{target.url}/openapi.json", "--checks", "all"]
    command += ["--phases", phases, "--max-examples", str(examples), "--seed", str(seed), "--generation-unique-inputs"]
    command += ["--report", "json", "--report-json-path", told]
    variables = os.environ | {"SCHEMATHESIS_HOOKS": str(TESTS / "schema_hooks.py")}
    with subprocess.Popen(command, cwd=folder, env=variables) as process:
        _wait(process, target)
    if not told.exists():
        raise HuntError(f"Schemathesis left no report of {phases}")
    report: dict[str, Any] = json.loads(told.read_text())
    return report


def _wait(process: subprocess.Popen[bytes], target: Target) -> None:
    """On a terminal Schemathesis tells of its progress itself; in a log it is silent until a phase is over."""
    began = time.monotonic()
    while process.poll() is None:
        try:
            process.wait(_TELL_SECONDS)
        except subprocess.TimeoutExpired:
            if not sys.stdout.isatty():
                predictions = sum(target.answers().values())
                print(f"{time.monotonic() - began:.0f} s: {predictions} predictions so far", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
