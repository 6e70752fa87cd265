"""Knows where everything lies: the cache folder, a cluster's state folder, and the names clusters get by default."""

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.progress import say

REPO_ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(__file__).resolve().parent
NAME_PATTERN = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
# A unix socket's path may have 107 bytes; the longest below a state folder is "/containerd.sock.ttrpc".
SCRATCH_SECONDS = 24 * 3600
LONGEST_STATE_PATH = 107 - len("/containerd.sock.ttrpc")


class ClusterError(Exception):
    """Anything the person at the command line can read and act on; shown without a traceback."""


def cache() -> Path:
    """The one folder for all that is kept: MILLGATE_CACHE, or ~/.cache/millgate."""
    chosen = os.environ.get("MILLGATE_CACHE")
    return Path(chosen).absolute() if chosen else Path.home() / ".cache" / "millgate"


@contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder inside the cache; what a killed process left of an earlier day goes too."""
    home = cache() / "work"
    home.mkdir(parents=True, exist_ok=True)
    for old in home.iterdir():
        if time.time() - old.stat().st_mtime > SCRATCH_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=home) as folder:
        yield Path(folder)


def default_name(size: str, root: Path = REPO_ROOT) -> str:
    """Names differ between checkouts, so that two of them run side by side."""
    digest = hashlib.sha256(str(root).encode()).hexdigest()[:6]
    return f"mg-{digest}" if size == "node" else f"mg-{digest}-cp"


@dataclass(frozen=True)
class Layout:
    """The files of one cluster, all below `state`."""

    name: str
    state: Path

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def etc(self) -> Path:
        return self.state / "etc"

    @property
    def log(self) -> Path:
        return self.state / "log"

    @property
    def kubeconfig(self) -> Path:
        return self.etc / "admin.kubeconfig"

    @property
    def record(self) -> Path:
        """What `up` decided (provider, size, addresses), for the commands that come later."""
        return self.state / "cluster.json"

    @property
    def plan(self) -> Path:
        """What the supervisor is to start."""
        return self.state / "plan.json"

    @property
    def control(self) -> Path:
        """The supervisor's socket."""
        return self.state / "ctl.sock"

    @property
    def containerd_socket(self) -> Path:
        return self.state / "containerd.sock"

    @property
    def kubelet(self) -> Path:
        return self.state / "kubelet"


def layout(name: str, root: Path | None = None) -> Layout:
    """The state folder of the cluster `name`; ClusterError where name or path cannot work."""
    if not NAME_PATTERN.fullmatch(name):
        raise ClusterError(f"{name!r} is no cluster name: up to 32 of a-z, 0-9 and '-', not at the ends")
    state = (root or cache()) / "state" / name
    if len(str(state).encode()) > LONGEST_STATE_PATH:
        raise ClusterError(f"{state} is too long for unix sockets: set MILLGATE_CACHE to a shorter folder")
    return Layout(name, state)


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """Hold an exclusive lock on `path`; the kernel lets go of it however the process ends. Gives the descriptor."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process ({path.name}) …")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def write_if_changed(path: Path, text: str, mode: int = 0o600) -> None:
    """Write through a temporary file, so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.read_text() == text:
        return
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text)
    part.chmod(mode)
    part.replace(path)
