"""A small root tree made of the files of this machine's own installed Debian packages and all they depend on.

It stands in for the python:3.11-slim-bookworm image where no registry is reachable: nothing is downloaded but pip, no
maintainer script runs, and it takes seconds. Its Python is Debian's 3.11, at /usr/bin/python3.
"""

import hashlib
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DPKG_STATUS = Path("/var/lib/dpkg/status")
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
PACKAGES = (
    *("python3", "python3.11-venv", "libstdc++6", "ca-certificates", "bash", "coreutils", "findutils"),
    *("grep", "sed", "hostname", "tar", "gzip", "passwd"),
)
SKIPPED = re.compile(r"^/usr/share/(doc|man|locale|info|lintian|bug|i18n|gcc|gdb)/|^/usr/lib/x86_64-linux-gnu/gconv/")
# Needed by maintainer scripts only.
NOT_NEEDED = frozenset({"debconf", "perl-base", "dpkg", "libpam-runtime", "init-system-helpers"})
FOLDERS = ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "etc", "root", "proc", "sys", "dev", "var/tmp", "run", "home")
PASSWD = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
GROUP = "root:x:0:\nnogroup:x:65534:\n"


@dataclass(frozen=True)
class Installed:
    """The packages of this machine: their fields by name, and who provides a virtual one."""

    packages: Mapping[str, Mapping[str, str]]
    providers: Mapping[str, str]

    def resolve(self, name: str) -> str | None:
        return name if name in self.packages else self.providers.get(name)


def parse_status(text: str) -> Installed:
    """dpkg's status file → what is installed."""
    packages: dict[str, dict[str, str]] = {}
    providers: dict[str, str] = {}
    for paragraph in text.split("\n\n"):
        fields = dict(re.findall(r"^(\S+): (.*)$", paragraph, re.MULTILINE))
        if "installed" not in fields.get("Status", "").split()[-1:]:
            continue
        packages[fields["Package"]] = fields
        for provided in filter(None, (each.strip() for each in fields.get("Provides", "").split(","))):
            providers.setdefault(provided.split()[0], fields["Package"])
    return Installed(packages, providers)


def closure(installed: Installed, wanted: tuple[str, ...]) -> list[str]:
    """The wanted packages and all they depend on; of alternatives, the first that is installed."""
    waiting, found = list(wanted), []
    while waiting:
        name = installed.resolve(waiting.pop())
        if not name or name in found or name in NOT_NEEDED:
            continue
        found.append(name)
        for field in ("Depends", "Pre-Depends"):
            for group in installed.packages[name].get(field, "").split(","):
                names = [re.split(r"[\s:(]", each.strip())[0] for each in group.split("|")]
                waiting += [each for each in names if installed.resolve(each)][:1]
    return sorted(found)


def key(installed: Installed, names: list[str]) -> str:
    """A digest of what the tree is made of."""
    versions = [f"{name} {installed.packages[name].get('Version')}" for name in names]
    bundle = CA_BUNDLE.read_bytes() if CA_BUNDLE.exists() else b""
    return hashlib.sha256("\n".join(versions).encode() + bundle + Path(__file__).read_bytes()).hexdigest()[:12]


def copy_tree(target: Path, names: list[str]) -> None:
    """Fill the empty folder `target`."""
    for folder in FOLDERS:
        (target / folder).mkdir(parents=True)
    (target / "tmp").mkdir()
    (target / "tmp").chmod(0o1777)
    for folder in ("bin", "sbin", "lib", "lib64"):
        (target / folder).symlink_to(f"usr/{folder}")
    for name in names:
        listed = subprocess.run(["dpkg", "-L", name], capture_output=True, text=True, check=True)
        for path in map(Path, listed.stdout.splitlines()):
            if not SKIPPED.match(str(path)):
                _copy(path, target / str(path).lstrip("/"))
    _finish(target)


def _copy(source: Path, target: Path) -> None:
    if source.is_symlink():
        if not target.exists() and not target.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source.readlink())
    elif source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    elif source.exists() and not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)


def _finish(target: Path) -> None:
    """What packages make by scripts rather than by files."""
    for name, choices in {"sh": ("dash", "bash"), "awk": ("mawk",)}.items():
        made = target / "usr/bin" / name
        for choice in choices:
            if (target / "usr/bin" / choice).exists() and not made.is_symlink() and not made.exists():
                made.symlink_to(choice)
    (target / "etc/passwd").write_text(PASSWD)
    (target / "etc/group").write_text(GROUP)
    (target / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    if CA_BUNDLE.exists():
        (target / "etc/ssl/certs").mkdir(parents=True, exist_ok=True)
        shutil.copy(CA_BUNDLE, target / "etc/ssl/certs")
    (target / "usr/lib/python3.11/EXTERNALLY-MANAGED").unlink(missing_ok=True)
    local = target / "usr/local/bin"
    local.mkdir(parents=True, exist_ok=True)
    for name in ("python", "python3", "python3.11"):  # where the official image has them
        (local / name).symlink_to("/usr/bin/python3.11")


def add_pip(target: Path, unpacked_wheel: Path) -> None:
    packages = target / "usr/local/lib/python3.11/dist-packages"
    shutil.copytree(unpacked_wheel, packages, dirs_exist_ok=True)
    for name in ("pip", "pip3"):
        script = target / "usr/local/bin" / name
        script.write_text('#!/bin/sh\nexec /usr/local/bin/python -m pip "$@"\n')
        script.chmod(0o755)
