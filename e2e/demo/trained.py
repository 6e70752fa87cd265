"""The demo's models on disk: trained once for each version of the code that trains them."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from e2e.cluster.paths import REPO_ROOT, cache
from e2e.cluster.progress import phase, say
from e2e.demo.kubectl import CommandError

HERE = Path(__file__).parent
# What the models depend on: the code, and through the lock the data set and the libraries.
SOURCES = (HERE / "training.py", HERE / "models.py", REPO_ROOT / "uv.lock")


def models() -> Path:
    """The folder that holds them (`e2e.demo.models`), after seconds of training if need be. Raises CommandError."""
    digest = hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in SOURCES)).hexdigest()
    folder = cache() / "demo" / f"models-{digest[:12]}"
    if not folder.exists():
        with phase("train three models"):
            _train(folder)
    return folder


def _train(folder: Path) -> None:
    """In a process of its own, whose imports take as long as starting a cluster; all or nothing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
    done = subprocess.run(
        [sys.executable, "-m", "e2e.demo.training", str(unfinished)],
        cwd=REPO_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CommandError(f"training ended with {done.returncode}: {done.stderr[-2000:]}")
    for line in done.stdout.splitlines():
        say(line)
    try:
        unfinished.rename(folder)
    except OSError:  # another checkout was faster, with the same code
        shutil.rmtree(unfinished)
