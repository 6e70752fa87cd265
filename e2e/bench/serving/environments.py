"""Virtual environments of the peers, one each, installed from the package registry and kept in the cache."""

import hashlib
import shutil
import subprocess
from pathlib import Path

from e2e.bench.serving.servers import Server, interpreter_version, uv
from e2e.cluster.paths import ClusterError, cache, locked
from e2e.cluster.progress import phase

INSTALL_SECONDS = 1800


def folder(server: Server) -> Path:
    """Servers with the same requirements share one."""
    said = "\n".join([interpreter_version(), *server.requirements])
    return cache() / "bench" / "serving" / f"venv-{hashlib.sha256(said.encode()).hexdigest()[:12]}"


def installed(server: Server) -> Path:
    """The folder with its programs. Raises ClusterError with the installer's own words."""
    home = folder(server)
    with locked(cache() / "lock" / f"bench-{home.name}"):
        if not (home / "installed").exists():
            with phase(f"install {', '.join(server.requirements)}"):
                shutil.rmtree(home, ignore_errors=True)
                _run([uv(), "venv", "--quiet", "--python", interpreter_version(), home])
                python = home / "bin/python"
                _run([uv(), "pip", "install", "--quiet", "--python", python, *server.requirements])
                (home / "installed").write_text(_run([uv(), "pip", "freeze", "--python", python]))
    return home / "bin"


def packages(server: Server) -> list[str]:
    """Everything that was installed, with its version."""
    return (folder(server) / "installed").read_text().split("\n") if server.requirements else []


def _run(words: list[Path | str]) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS)
    if done.returncode:
        raise ClusterError(f"{' '.join(map(str, words))} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout
