"""Virtual environments of peers and tools, one each, installed from the package registry and kept in the cache."""

import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from e2e.bench.serving.servers import Server, interpreter_version, uv
from e2e.cluster.paths import ClusterError, cache, locked
from e2e.cluster.progress import phase

INSTALL_SECONDS = 1800


def folder(requirements: Sequence[str]) -> Path:
    """The same requirements share one."""
    said = "\n".join([interpreter_version(), *requirements])
    return cache() / "bench" / "serving" / f"venv-{hashlib.sha256(said.encode()).hexdigest()[:12]}"


def installed(server: Server) -> Path:
    """The folder with a peer's programs. Raises ClusterError with the installer's own words."""
    return with_packages(server.requirements)


def with_packages(requirements: Sequence[str]) -> Path:
    """The folder with their programs. Raises ClusterError with the installer's own words."""
    home = folder(requirements)
    with locked(cache() / "lock" / f"bench-{home.name}"):
        if not (home / "installed").exists():
            with phase(f"install {', '.join(requirements)}"):
                shutil.rmtree(home, ignore_errors=True)
                _run([uv(), "venv", "--quiet", "--python", interpreter_version(), home])
                python = home / "bin/python"
                _run([uv(), "pip", "install", "--quiet", "--python", python, *requirements])
                (home / "installed").write_text(_run([uv(), "pip", "freeze", "--python", python]))
    return home / "bin"


def packages(server: Server) -> list[str]:
    """Everything that was installed, with its version."""
    return (folder(server.requirements) / "installed").read_text().split("\n") if server.requirements else []


def _run(words: list[Path | str]) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS)
    if done.returncode:
        raise ClusterError(f"{' '.join(map(str, words))} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout
