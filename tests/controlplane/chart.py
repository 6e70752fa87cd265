"""The Helm chart for tests: helm itself, and what it renders."""

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from e2e.cluster.processes import Runner
from e2e.cluster.wheels import client_tools
from tests.controlplane.plane import REPOSITORY

CHART = REPOSITORY / "charts/millgate"
Json = dict[str, Any]


def helm(
    *arguments: str, values: Json | None = None, kubeconfig: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """The finished process, whatever it ended with. Values are given as a file on stdin."""
    given = ["--values", "-"] if values is not None else []
    return subprocess.run(
        [client_tools(Runner()) / "helm", *arguments, *given],
        input=json.dumps(values) if values is not None else None,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env={**os.environ, "KUBECONFIG": str(kubeconfig or "/dev/null")},
    )


@cache
def _template(release: str, namespace: str, values: str) -> str:
    done = helm("template", release, str(CHART), "--namespace", namespace, values=json.loads(values))
    assert done.returncode == 0, done.stderr
    return done.stdout


def rendered_text(values: Json | None = None, *, release: str = "millgate", namespace: str = "millgate") -> str:
    return _template(release, namespace, json.dumps(values or {}))


def rendered(values: Json | None = None, *, release: str = "millgate", namespace: str = "millgate") -> list[Json]:
    text = rendered_text(values, release=release, namespace=namespace)
    return [obj for obj in yaml.safe_load_all(text) if obj]


def of_kind(objects: list[Json], kind: str) -> list[Json]:
    return [obj for obj in objects if obj["kind"] == kind]


def the(objects: list[Json], kind: str) -> Json:
    (found,) = of_kind(objects, kind)
    return found


def grants(rules: list[Json]) -> set[tuple[str, str, str]]:
    """(group, resource, verb) of every permission."""
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
