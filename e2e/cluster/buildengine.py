"""Two tools that turn a Containerfile into an image's tar: buildah on a machine without Docker, or docker."""

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from e2e.cluster import debian, hostbase, tarimage, wheels
from e2e.cluster.paths import ClusterError, cache, locked, scratch
from e2e.cluster.processes import Result, Runner
from e2e.cluster.progress import phase

PYTHON_BASE = "docker.io/library/python:3.11-slim-bookworm"
# A mount and a pid namespace of its own: whatever kills it, no mount and no process of the build stays.
ALONE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private", "--")


@dataclass(frozen=True)
class Job:
    """One build: the Containerfile, the folder it copies from, and what the image is to be called."""

    containerfile: Path
    context: Path
    reference: str
    build_args: Mapping[str, str]


class Engine(Protocol):
    """What makes images."""

    name: str

    def base_key(self) -> str:
        """Changes whenever the base image does, as far as this side can know."""
        ...

    def build(self, job: Job, tar: Path) -> None:
        """Build and leave the image in `tar`."""
        ...


def _arguments(job: Job) -> list[str]:
    pairs = [["--build-arg", f"{name}={value}"] for name, value in sorted(job.build_args.items())]
    return [word for pair in pairs for word in pair]


class Docker:
    """A Docker engine; it pulls the base image from the registry."""

    name = "docker"

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def base_key(self) -> str:
        return "registry"

    def build(self, job: Job, tar: Path) -> None:
        self._runner.run(
            ["docker", "build", *_arguments(job), "-f", job.containerfile, "-t", job.reference, job.context]
        )
        self._runner.run(["docker", "save", "-o", tar, job.reference])


class Buildah:
    """buildah as root, without a daemon. Its base image is the stand-in made of this machine's own packages."""

    name = "buildah"

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._home = cache() / "buildah"
        self._installed: hostbase.Installed | None = None

    def _packages(self) -> list[str]:
        debian.ensure_packages(hostbase.PACKAGES, self._runner)
        self._installed = hostbase.parse_status(hostbase.DPKG_STATUS.read_text())
        return hostbase.closure(self._installed, hostbase.PACKAGES)

    def base_key(self) -> str:
        if not is_debian_12():
            return "registry"
        names = self._packages()
        if self._installed is None:
            raise AssertionError
        return hostbase.key(self._installed, names)

    def build(self, job: Job, tar: Path) -> None:
        if os.geteuid() != 0:
            raise ClusterError("building images without Docker needs root")
        debian.ensure(debian.BUILD, self._runner)
        with locked(cache() / "lock" / "buildah"), scratch() as run:
            # A fresh run folder each time is what a restart of the machine gives: no count of mounts that are gone.
            self._base(run)
            volumes = (
                ["--volume", f"{hostbase.CA_BUNDLE}:{hostbase.CA_BUNDLE}:ro"] if hostbase.CA_BUNDLE.exists() else []
            )
            pull = ["--pull-never"] if is_debian_12() else []
            options: list[str | Path] = ["--isolation", "chroot", "--layers", *pull, *volumes, *_arguments(job)]
            self._buildah(run, ["bud", *options, "-f", job.containerfile, "-t", job.reference, job.context])
            self._tidy(run, job.reference)
            self._buildah(run, ["push", "-D", "-q", job.reference, f"docker-archive:{tar}:{job.reference}"])

    def _tidy(self, run: Path, reference: str) -> None:
        """Containers that a killed build left (nobody else builds now), and this image's older builds but for one."""
        self._buildah(run, ["rm", "--all"])
        name = reference.rpartition(":")[0]
        listed = self._buildah(run, ["images", "--format", "{{.Name}}:{{.Tag}}"])  # newest first
        same = [line for line in listed.out.splitlines() if line.rpartition(":")[0] == name and line != reference]
        if same[1:]:
            self._buildah(run, ["rmi", *same[1:]])

    def _buildah(self, run: Path, argv: Sequence[str | Path]) -> Result:
        storage: list[str | Path] = ["--storage-driver", "overlay", "--root", self._home / "root", "--runroot", run]
        environment = {"PATH": debian.SYSTEM_PATH, "TMPDIR": str(run)}
        return self._runner.run([*ALONE, "buildah", *storage, *argv], env=environment)

    def _base(self, run: Path) -> None:
        """Put the stand-in into buildah's store, once for each set of packages."""
        if not is_debian_12():
            return
        mark = self._home / "base"
        wanted = self.base_key()
        if mark.exists() and mark.read_text() == wanted:
            return
        with phase(f"make {PYTHON_BASE} from this machine's packages"):
            tar = run / "base.tar"
            self._write_base(tar, run / "tree")
            self._buildah(run, ["pull", "-q", f"docker-archive:{tar}"])
            mark.write_text(wanted)

    def _write_base(self, tar: Path, tree: Path) -> None:
        tree.mkdir()
        hostbase.copy_tree(tree, self._packages())
        hostbase.add_pip(tree, wheels.pip_package(self._runner))
        config = tarimage.Config(command=("python3",))
        tarimage.write(tar, PYTHON_BASE, [tarimage.layer_of_tree(tree)], config)
        shutil.rmtree(tree)


def is_debian_12(release: Path = Path("/etc/os-release")) -> bool:
    """Only there do the machine's own packages make the base image that the Containerfiles name."""
    try:
        lines = release.read_text().splitlines()
    except OSError:
        return False
    return "ID=debian" in lines and 'VERSION_ID="12"' in lines


def digest_of(folder: Path) -> str:
    """Of the names, modes and bytes below a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            digest.update(f"{path.relative_to(folder)}\0{path.readlink()}\0".encode())
        elif path.is_file():
            digest.update(f"{path.relative_to(folder)}\0{path.stat().st_mode & 0o111}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
