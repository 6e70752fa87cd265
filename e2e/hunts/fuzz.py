"""Ten minutes of coverage-guided fuzzing of the decoders of bodies, by atheris (libFuzzer).

`python -m e2e.hunts.fuzz [--seconds 600]`; exit code 1 when an input made a decoder fail, or memory grow. The input is
left in the working directory as `crash-…`. The C of msgspec and numpy is run, but not instrumented.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from e2e.bench.serving.environments import with_packages
from e2e.bench.serving.host import memory
from e2e.cluster.paths import REPO_ROOT

PACKAGES = ("atheris==3.0.0", "httptools==0.8.0", "msgspec==0.22.0", "numpy", "pyyaml==6.0.3", "uvicorn==0.54.0")
WARM_SECONDS = 60.0  # what libFuzzer keeps of a corpus grows at first
GROWTH_MIB = 30.0  # and a little later on, a megabyte for some hundred inputs
_LOOK_SECONDS = 5.0
_WORDS = ("rows", "columns", "inputs", "name", "shape", "datatype", "data", "parameters", "binary_data_size")
_TYPES = (
    "FP64",
    "FP32",
    "INT32",
    "INT64",
    "UINT64",
    "BOOL",
    "BYTES",
    "null",
    "true",
    "1e400",
    "-1",
    "[",
    "]",
    "{",
    "}",
)

_TENSOR = {"name": "a", "datatype": "FP64", "shape": [2], "data": [1, None]}
_BINARY = {"name": "a", "datatype": "INT64", "shape": [1, 2], "parameters": {"binary_data_size": 16}}
_SEEDS: tuple[tuple[object, bytes], ...] = (
    ({"rows": [{"a": 1.5, "b": 2, "c": "x", "d": True, "e": "2026-01-02T03:04:05Z", "f": "aGk="}]}, b""),
    ({"columns": {"a": [1, None], "b": [1, 2], "c": ["x", "yy"], "d": [True, False]}}, b""),
    ({"rows": [[[1, 2], [3, 4]]]}, b""),
    ({"rows": [{"a": [1, 2], "b": [3, 4, 5], "c": "é"}]}, b""),
    ({"id": "1", "inputs": [_TENSOR, _TENSOR | {"name": "b"}], "outputs": [{"name": "out0"}]}, b""),
    ({"inputs": [_BINARY], "parameters": {"binary_data_output": True}}, bytes(16)),
    ({"inputs": [_BINARY | {"name": "c", "datatype": "BYTES", "shape": [1]}]}, b"\x01\x00\x00\x00x" + bytes(11)),
)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=int, default=600)
    seconds = arguments.parse_args().seconds
    python = with_packages(PACKAGES) / "python"
    with tempfile.TemporaryDirectory() as folder:
        corpus, words = Path(folder) / "corpus", Path(folder) / "words"
        _write_seeds(corpus)
        words.write_text("".join(f'"{json.dumps(word)[1:-1]}"\n' for word in (*_WORDS, *_TYPES)))
        limits = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=10", "-rss_limit_mb=1024"]
        command: list[str | Path] = [
            python,
            "-m",
            "e2e.hunts.bodies",
            f"-dict={words}",
            *limits,
            "-print_final_stats=1",
            corpus,
        ]
        paths = os.pathsep.join([str(REPO_ROOT / "serving-image"), str(REPO_ROOT)])
        process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": paths})
        return _watched(process, seconds)


def _write_seeds(corpus: Path) -> None:
    """A valid request of each form for each codec: one byte says which, two how much of it is JSON."""
    corpus.mkdir()
    for number, (document, rest) in enumerate(_SEEDS):
        text = json.dumps(document).encode()
        length = len(text) if rest else 0
        for codec in range(10):
            (corpus / f"{number}-{codec}").write_bytes(bytes([codec]) + length.to_bytes(2, "little") + text + rest)


def _watched(process: subprocess.Popen[bytes], seconds: int) -> int:
    sizes: list[float] = []
    warm = time.monotonic() + min(WARM_SECONDS, seconds / 2)
    while process.poll() is None:
        try:
            process.wait(_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            if time.monotonic() >= warm:
                sizes.append(memory(process.pid).rss_mib)
    grown = max(sizes) - sizes[0] if sizes else 0.0
    told = f"{sizes[0]:.0f} -> {sizes[-1]:.0f} MiB, at most {max(sizes):.0f}" if sizes else "not measured"
    print(f"exit code {process.returncode}; memory after the first minute: {told}")
    return 1 if process.returncode or grown > GROWTH_MIB else 0


if __name__ == "__main__":
    sys.exit(main())
