"""A scikit-learn model's ONNX form: found in the volume, or made by a process of its own and read back as bytes."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from millgate_serving import cgroup, conversion
from millgate_serving.conversion import Conversion
from millgate_serving.logs import log

FOLDER: Final = "converted"
# The libraries, measured (306 MiB with all of MLflow), and some times the model. A process that passed the pod's limit
# would take the server with it: the kubelet lets the kernel end a container as a whole.
_LIBRARIES_BYTES: Final = 352 << 20
_COPIES: Final = 8


@dataclass(frozen=True, slots=True)
class Converter:
    """Where conversions are kept beside the artefact of `digest` (nowhere when None), and how long one may take."""

    digest: str
    folder: Path | None
    seconds: float

    def convert(self, artefact: Path) -> tuple[Conversion, bytes]:
        """The ONNX file's bytes, which are those that the manifest names; empty where `refused` says why not.

        Never raises: what cannot be converted is served by its own flavour.
        """
        if not conversion.makers():
            return Conversion(self.digest, "", refused="this image holds no converter"), b""
        if self.seconds == 0:
            return Conversion(self.digest, "", refused="it is switched off (MILLGATE_CONVERSION_SECONDS=0)"), b""
        try:
            with self._kept_in() as folder:
                found = conversion.read(folder, self.digest)
                if found is None:
                    failure = _lacks_memory(artefact) or _run(artefact, self.digest, folder, self.seconds)
                    found = conversion.read(folder, self.digest)
                    if found is None:
                        found = Conversion(self.digest, conversion.makers(), refused=failure), b""
        except OSError as error:
            found = Conversion(self.digest, "", refused=f"its folder cannot be written: {error.strerror}"), b""
        return found

    @contextmanager
    def _kept_in(self) -> Iterator[Path]:
        if self.folder is not None:
            yield self.folder
            return
        with tempfile.TemporaryDirectory(prefix="millgate-") as folder:
            yield Path(folder)


def _lacks_memory(artefact: Path) -> str:
    limit = cgroup.memory_bytes()
    if limit is None:
        return ""
    own = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    needed = (
        own + _LIBRARIES_BYTES + _COPIES * sum(file.stat().st_size for file in artefact.rglob("*") if file.is_file())
    )
    return "" if needed <= limit else f"it takes a memory limit of about {needed >> 20} MiB, there are {limit >> 20}"


def _run(artefact: Path, digest: str, folder: Path, seconds: float) -> str:
    """Why there is no result, if there is none."""
    started = time.monotonic()
    # -P: a file in the working directory must not pass for a module.
    command = [sys.executable, "-P", "-m", "millgate_serving.convert", str(artefact), digest, str(folder)]
    # Standard output belongs to our own log lines, and what a model prints is nobody's business. The pipe ends the
    # process with this one.
    process = subprocess.Popen(  # noqa: S603 - a module of ours, no shell
        command,
        env=os.environ | {"PYTHONHASHSEED": "0"},  # the converter walks over sets: their order shows in the file
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return f"it took longer than {seconds:g} s (MILLGATE_CONVERSION_SECONDS)"
    finally:
        if process.stdin:
            process.stdin.close()
    log("converted", exitCode=code, seconds=round(time.monotonic() - started, 3))
    return f"the converter ended with code {code}"
