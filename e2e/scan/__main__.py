"""Scans Containerfiles, the rendered chart and the Jobs of examples/: each finding has to be mended or reasoned."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from e2e.cluster.paths import REPO_ROOT, scratch
from e2e.cluster.processes import Runner
from e2e.cluster.wheels import client_tools

HERE = Path(__file__).parent
CONTAINERFILES = ("Containerfile", "serving-image/Containerfile")
CHART = REPO_ROOT / "charts/millgate"
JOBS = REPO_ROOT / "examples/jobs"

# What is not looked for, and why.
NOT_IN_CONTAINERFILES = {
    "CKV_DOCKER_2": "the operator is for Kubernetes, which asks its probes and never a HEALTHCHECK",
}
NOT_IN_MANIFESTS = {
    "CKV_K8S_11": "a limit of CPU stops a process in the middle of an answer; requests share a node fairly",
    "CKV_K8S_15": "a tag of ours is never moved, so a node that has the image need not ask for it",
    "CKV_K8S_21": "the namespace is chosen by whoever installs or applies",
    "CKV_K8S_38": "the operator asks the API server; the example Job mounts no token",
    "CKV_K8S_43": "a digest is a value of the chart: whoever mirrors the image knows it, we do not",
    "CKV2_K8S_6": "which namespaces hold Prometheus and MLflow is known to the cluster's owner only",
}
NOT_IN_LINES = {
    "DL3059": "a step each for what changes apart: a layer that is kept is a build that is not waited for",
    "SC2086": "a word without blanks that the line itself sets",
}


def main() -> int:
    with scratch() as work:
        failed = [name for name, ended in _scans(work).items() if ended]
    if failed:
        print(f"error: findings of {', '.join(failed)}: mend them, or give the reason in e2e/scan", file=sys.stderr)
    return 1 if failed else 0


def _scans(work: Path) -> Mapping[str, int]:
    for file in CONTAINERFILES:
        # checkov knows them by this name only; what comes behind it tells them apart.
        named = work / "containers" / f"Dockerfile.{Path(file).parent.name or 'operator'}"
        named.parent.mkdir(exist_ok=True)
        named.write_bytes((REPO_ROOT / file).read_bytes())
    (work / "manifests").mkdir()
    helm = [str(client_tools(Runner()) / "helm"), "template", "millgate", str(CHART), "--namespace", "millgate-system"]
    (work / "manifests/chart.yaml").write_text(
        subprocess.run(helm, stdout=subprocess.PIPE, text=True, check=True).stdout
    )
    for job in JOBS.glob("*.yaml"):
        (work / "manifests" / job.name).write_bytes(job.read_bytes())
    ignored = [word for rule in NOT_IN_LINES for word in ("--ignore", rule)]
    return {
        "hadolint": _run(["hadolint", *ignored, *(str(REPO_ROOT / file) for file in CONTAINERFILES)]),
        "checkov of containers": _checkov("dockerfile", work / "containers", NOT_IN_CONTAINERFILES),
        "checkov of manifests": _checkov("kubernetes", work / "manifests", NOT_IN_MANIFESTS),
    }


def _checkov(framework: str, folder: Path, without: Mapping[str, str]) -> int:
    options = ["--skip-download", "--compact", "--quiet", "--skip-check", ",".join(without)]
    return _run(["checkov", "--framework", framework, "--directory", str(folder), *options])


def _run(words: Sequence[str]) -> int:
    """In the environment that e2e/scan/uv.lock pins."""
    own = [_uv(), "run", "--quiet", "--frozen", "--project", str(HERE), "--", *words]
    return subprocess.run(own, check=False).returncode


def _uv() -> str:
    """The one that `make` installs."""
    return str(next(iter(sorted((REPO_ROOT / ".tools").glob("uv-*/bin/uv"), reverse=True)), "uv"))


if __name__ == "__main__":
    sys.exit(main())
