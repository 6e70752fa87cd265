"""Images in a bare node's containerd, through `ctr`."""

import re
import time
from collections import Counter
from pathlib import Path

from e2e.cluster import tarimage
from e2e.cluster.paths import ClusterError, Layout
from e2e.cluster.processes import Result, Runner
from e2e.cluster.progress import phase

START_SECONDS = 30.0
KEPT_OF_EACH = 2


class Images:
    """containerd's store outlives the cluster, so an image is imported once; a mark beside it says which bytes.

    The store is asked all the same: a kubelet short of disk deletes the images of no running pod, the pause image too.
    """

    def __init__(self, layout: Layout, runner: Runner) -> None:
        self._layout = layout
        self._runner = runner

    def _ctr(self, *argv: str | Path, check: bool = True) -> Result:
        base = ["ctr", "-a", str(self._layout.containerd_socket), "-n", "k8s.io"]
        return self._runner.run([*base, *argv], check=check)

    def wait(self) -> None:
        until = time.monotonic() + START_SECONDS
        while not self._layout.containerd_socket.exists() or self._ctr("version", check=False).code:
            if time.monotonic() > until:
                raise ClusterError(f"containerd does not answer; see {self._layout.log}/containerd.log")
            time.sleep(0.05)

    def load(self, tar: Path) -> None:
        try:
            wanted = tarimage.contents(tar)
        except (OSError, ValueError) as reason:
            raise ClusterError(str(reason)) from reason
        marks = {self._mark(reference): f"{wanted.digest} {reference}" for reference in wanted.references}
        marked = marks and all(mark.exists() and mark.read_text() == text for mark, text in marks.items())
        if marked and self._held().issuperset(wanted.references):
            return
        with phase(f"import {' '.join(wanted.references) or tar}"):
            self._ctr("image", "import", tar)
        for mark, text in marks.items():
            mark.parent.mkdir(exist_ok=True)
            mark.write_text(text)

    def _held(self) -> set[str]:
        return set(self._ctr("image", "ls", "-q").out.split())

    def tidy(self) -> None:
        """Forget old builds, keeping the newest of each name; for a new cluster, where no pod needs them yet."""
        kept: Counter[str] = Counter()
        marks = sorted((self._layout.state / "loaded").glob("*"), key=lambda mark: mark.stat().st_mtime, reverse=True)
        for mark in marks:
            reference = mark.read_text().partition(" ")[2]
            name = reference.rpartition(":")[0]
            kept[name] += 1
            if kept[name] > KEPT_OF_EACH:
                mark.unlink()
                self._ctr("image", "rm", reference, check=False)

    def _mark(self, reference: str) -> Path:
        return self._layout.state / "loaded" / re.sub(r"[^A-Za-z0-9._-]", "_", reference)
