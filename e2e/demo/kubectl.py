"""Runs commands where the cluster's addresses are reachable; kubectl above all."""

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

from e2e.cluster.provider import inside
from e2e.cluster.status import Status

Json = dict[str, Any]
FIELD_MANAGER = "demo"


class CommandError(Exception):
    """A command ended with another code than 0; the message is what it said."""


class Kubectl:
    """One cluster. Everything started here is found and ended by `down` of the cluster."""

    def __init__(self, cluster: Status) -> None:
        self._cluster = cluster

    def command(self, argv: Sequence[str], stdin: str | None = None, *, check: bool = True) -> str:
        """Run any command and give what it printed. Raises CommandError."""
        words, environment = inside(self._cluster, argv)
        done = subprocess.run(words, env=environment, input=stdin, capture_output=True, text=True, check=False)
        if check and done.returncode:
            said = (done.stderr or done.stdout).strip()
            raise CommandError(f"{' '.join(argv)} ended with {done.returncode}: {said[-2000:]}")
        return done.stdout

    def start(
        self, argv: Sequence[str], *, stdin: bool = False, stderr: IO[str] | int | None = None
    ) -> subprocess.Popen[str]:
        """Start any command and go on; the caller ends it."""
        words, environment = inside(self._cluster, argv)
        return subprocess.Popen(
            words,
            env=environment,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )

    def run(self, *words: str, stdin: str | None = None, check: bool = True) -> str:
        return self.command(["kubectl", *words], stdin, check=check)

    def apply(self, manifest: str) -> None:
        """Server-side: the rows of the clients are too long for the annotation of the other way."""
        self.run(
            "apply", "--server-side", "--force-conflicts", f"--field-manager={FIELD_MANAGER}", "-f", "-", stdin=manifest
        )

    def get(self, *words: str) -> Json | None:
        """The object, or None where it is not there."""
        text = self.run("get", *words, "--ignore-not-found", "-o", "json")
        found: Json | None = json.loads(text) if text.strip() else None
        return found

    def raw(self, path: str) -> Json:
        found: Json = json.loads(self.run("get", "--raw", path))
        return found

    def await_rollout(self, namespace: str, deployment: str, seconds: int = 300) -> None:
        self.run("rollout", "status", f"deployment/{deployment}", "-n", namespace, f"--timeout={seconds}s")

    @contextmanager
    def forward(self, namespace: str, target: str, port: int) -> Iterator[str]:
        """An address of this port for as long as the context lasts. Raises CommandError."""
        words = ["kubectl", "port-forward", "-n", namespace, target, f":{port}"]
        forwarding = self.start(words, stderr=subprocess.DEVNULL)
        try:
            if forwarding.stdout is None:
                raise AssertionError
            first = forwarding.stdout.readline()
            found = re.search(r"127\.0\.0\.1:(\d+)", first)
            if found is None:
                raise CommandError(f"kubectl port-forward to {target} said {first!r}")
            yield f"http://127.0.0.1:{found[1]}"
        finally:
            forwarding.terminate()
            forwarding.wait()
