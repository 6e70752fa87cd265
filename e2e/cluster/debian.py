"""The Debian packages that a bare node and image builds need: says which are missing, installs them where it may."""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from e2e.cluster.paths import ClusterError, cache, locked
from e2e.cluster.processes import Runner
from e2e.cluster.progress import phase, say

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# program (or file) → package
NODE = {
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "mount": "mount",
}
BUILD = {"buildah": "buildah", "runc": "runc"}


def present(program: str) -> bool:
    return Path(program).exists() if program.startswith("/") else shutil.which(program, path=SYSTEM_PATH) is not None


def missing(wanted: Mapping[str, str], have: Callable[[str], bool] = present) -> list[str]:
    return sorted({package for program, package in wanted.items() if not have(program)})


def ensure(wanted: Mapping[str, str], runner: Runner) -> None:
    """Install what is missing; ClusterError, in one line, where that is not possible here."""
    lacks = missing(wanted)
    if not lacks:
        return
    say(f"missing on this machine (Debian packages): {' '.join(lacks)}")
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise ClusterError(f"install these first, as root: apt-get install {' '.join(lacks)}")
    with locked(cache() / "lock" / "apt"):
        lacks = missing(wanted)
        if lacks:
            _install(lacks, runner)
    if still := missing(wanted):
        raise ClusterError(f"installed, but still not there: {' '.join(still)}")


def ensure_packages(wanted: Iterable[str], runner: Runner) -> None:
    """Likewise by the packages' own names, where their files matter and not a program."""
    asked = list(wanted)
    known = runner.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *asked], check=False).out
    there = {line.split()[0] for line in known.splitlines() if line.endswith(" installed")}
    if lacks := [package for package in asked if package not in there]:
        say(f"missing on this machine (Debian packages): {' '.join(lacks)}")
        with locked(cache() / "lock" / "apt"):
            _install(lacks, runner)


def _install(packages: list[str], runner: Runner) -> None:
    environment = {"DEBIAN_FRONTEND": "noninteractive", "PATH": SYSTEM_PATH}
    apt = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "-q"]
    install = [*apt, "install", "-y", "--no-install-recommends", *packages]
    with phase(f"apt-get install {' '.join(packages)}"):
        if runner.run(install, env=environment, check=False).code:  # lists that are empty or out of date
            runner.run([*apt, "update"], env=environment)
            runner.run(install, env=environment)
