"""Builds the cluster's programs from Go modules, each kept under a name that says what went into it."""

import hashlib
import os
import re
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.paths import PACKAGE, cache, locked
from e2e.cluster.processes import Runner
from e2e.cluster.progress import phase
from e2e.cluster.wheels import go_home

KUBERNETES = "1.34.4"


def _kubernetes_version_flags() -> str:
    """The version that the API server reports; Kubernetes' own build sets it in the same way."""
    major, minor, _ = KUBERNETES.split(".")
    values = {
        "gitVersion": f"v{KUBERNETES}",
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "gitCommit": "bare",
        "buildDate": "1970-01-01T00:00:00Z",
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return " ".join(f"-X {package}.{key}={value}" for package in packages for key, value in values.items())


@dataclass(frozen=True)
class Program:
    """A main package, and the folder whose go.mod and go.sum pin all it is made of."""

    name: str
    package: str
    ldflags: str = "-s -w"
    tags: str = ""
    home: Path | None = None  # where the folder of its name lies, if not beside the cluster's own

    @property
    def sources(self) -> Path:
        return (self.home or PACKAGE / "go") / self.name

    @property
    def flags(self) -> list[str]:
        tags = ["-tags", self.tags] if self.tags else []
        return ["-trimpath", "-ldflags", self.ldflags, *tags]


HK = Program("hk", ".", ldflags=f"-s -w {_kubernetes_version_flags()}")
KWOK = Program("kwok", "sigs.k8s.io/kwok/cmd/kwok")
PROMETHEUS = Program(
    "prometheus",
    "github.com/prometheus/prometheus/cmd/prometheus",
    tags="remove_all_sd,enable_kubernetes_sd",  # every other discovery brings a cloud's client library
)
PAUSE = Program("pause", ".")
PROGRAMS = (HK, KWOK, PROMETHEUS, PAUSE)


def required_version(programs: tuple[Program, ...] = PROGRAMS) -> tuple[int, int]:
    """The newest Go release that a go.mod asks for."""
    texts = [(program.sources / "go.mod").read_text() for program in programs]
    found = [re.search(r"^go (\d+)\.(\d+)", text, re.MULTILINE) for text in texts]
    return max((int(match[1]), int(match[2])) for match in found if match)


def parse_version(text: str) -> tuple[int, int] | None:
    """For example "go version go1.26.8 linux/amd64" → (1, 26)."""
    match = re.search(r"\bgo(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None


@dataclass(frozen=True)
class Toolchain:
    """A Go that is new enough."""

    binary: Path
    version: str


def toolchain(runner: Runner) -> Toolchain:
    """The machine's own Go where it is new enough, else the one of a wheel in the cache."""
    own = shutil.which("go")
    if own:
        said = runner.run([own, "version"], check=False, env={"GOTOOLCHAIN": "local"}).out
        version = parse_version(said)
        if version and version >= required_version():
            return Toolchain(Path(own), said.split()[2])
    binary = go_home(runner) / "bin/go"
    return Toolchain(binary, runner.run([binary, "version"], env=_environment(binary)).out.split()[2])


def _environment(go: Path) -> dict[str, str]:
    wheel = go.is_relative_to(cache())
    return {
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly -buildvcs=false",  # a commit is no part of the program
        "GOTOOLCHAIN": "local",  # a build never fetches another compiler behind our back
        **({"GOROOT": str(go.parents[1])} if wheel else {}),
    }


def key(program: Program, go_version: str) -> str:
    """A digest of everything that goes into the program."""
    digest = hashlib.sha256()
    for source in sorted(program.sources.iterdir()):
        if source.suffix in {".go", ".mod", ".sum"}:
            digest.update(f"{source.name}\0".encode() + source.read_bytes() + b"\0")
    digest.update("\0".join([program.package, go_version, *program.flags]).encode())
    return digest.hexdigest()[:16]


class Builder:
    """Builds programs on demand. One build at a time on this machine: linking Kubernetes takes over 2 GiB of memory."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._toolchain: Toolchain | None = None
        self._lock = threading.Lock()

    def _go(self) -> Toolchain:
        with self._lock:
            self._toolchain = self._toolchain or toolchain(self._runner)
            return self._toolchain

    def path(self, program: Program) -> Path:
        return cache() / "bin" / f"{program.name}-{key(program, self._go().version)}" / program.name

    def build(self, program: Program) -> Path:
        """The program's path; built where the cache does not have it."""
        target = self.path(program)
        if target.exists():
            return target
        self._fetch_modules(program)  # while another program may be compiling
        with locked(cache() / "lock" / "go-build"):
            if not target.exists():
                with phase(f"build {program.name} ({self._go().version})"):
                    self._compile(program, target)
        return target

    def _compile(self, program: Program, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.{os.getpid()}.part")
        go = self._go().binary
        command: list[str | Path] = [go, "build", *program.flags, "-o", part, program.package]
        try:
            self._runner.run(command, cwd=program.sources, env=_environment(go))
            part.rename(target)
        finally:
            part.unlink(missing_ok=True)

    def _fetch_modules(self, program: Program) -> None:
        """Listing what a build needs downloads just that; `go mod download` would fetch what only tests need, too."""
        go = self._go().binary
        tags = ["-tags", program.tags] if program.tags else []
        with phase(f"fetch the Go modules of {program.name}"):
            self._runner.run([go, "list", "-deps", *tags, program.package], cwd=program.sources, env=_environment(go))
