"""The image and its page: requirements are those of uv.lock, by hash, and nothing that users meet is undocumented."""

import re
import socket
import subprocess
import tomllib
from pathlib import Path

import pytest
from serving_process import COMMAND, START_SECONDS, environment

from millgate_serving import __version__
from millgate_serving.answers import Answers
from millgate_serving.constraints import OutputRules
from millgate_serving.failure import Reason, ServingError
from millgate_serving.guard import OutputGuard
from millgate_serving.measured import Measured, Place, Variable
from millgate_serving.metrics import Metrics
from millgate_serving.protection import Protection
from millgate_serving.protection_metrics import lines_of
from millgate_serving.running import Runner
from millgate_serving.settings import read
from millgate_serving.summary import Categorical, Numeric
from millgate_serving.turns import Turns

ROOT = Path(__file__).parents[2]
IMAGE = ROOT / "serving-image"
LOCK = {}
for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]:
    LOCK.setdefault(package["name"], []).append(package)


def needed(*extras: str) -> set[tuple[str, str]]:
    """Name and version of everything that the lock gives to the package, whatever the platform."""
    (root,) = LOCK["millgate-serving"]
    if extras == ("sbom",):  # a tool of the build, not a dependency of ours
        found, todo = set(), [*root["dev-dependencies"]["sbom"]]
    else:
        found, todo = set(), [*root["dependencies"]]
        todo += [package for extra in extras for package in root["optional-dependencies"][extra]]
    while todo:
        wanted = todo.pop()
        for package in LOCK[wanted["name"]]:
            if wanted.get("version", package["version"]) != package["version"]:
                continue
            key = (package["name"], package["version"])
            if key not in found:
                found.add(key)
                todo += package.get("dependencies", [])
                for name in wanted.get("extra", []):
                    todo += package.get("optional-dependencies", {}).get(name, [])
    return found


@pytest.mark.parametrize(
    ("file", "extras"),
    [("requirements-fast.txt", ()), ("requirements-full.txt", ("full", "otel")), ("requirements-sbom.txt", ("sbom",))],
)
def test_the_pinned_requirements_are_in_step_with_the_lock(file, extras):
    """When this fails: serving-image/requirements.sh"""
    text = (IMAGE / file).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip()]
    pinned = {tuple(re.match(r"([\w.-]+)==([^ ;]+)", line).groups()): line for line in lines}
    assert set(pinned) == needed(*extras)
    for (name, version), line in pinned.items():
        (package,) = (p for p in LOCK[name] if p["version"] == version)
        locked = {wheel["hash"] for wheel in [*package.get("wheels", []), *filter(None, [package.get("sdist")])]}
        assert set(re.findall(r"sha256:[0-9a-f]{64}", line)) == locked, name


def test_the_default_image_is_the_full_one_and_runs_without_root_or_shell():
    text = (IMAGE / "Containerfile").read_text()
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", text, re.MULTILINE)
    assert stages[-1] == ("base", "full")
    assert {base for base, _ in stages} == {"python:3.11-slim-bookworm", "base", "sbom"}
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE)[-1] == "10001:10001"
    assert re.search(r'^ENTRYPOINT \["millgate-serving"\]$', text, re.MULTILINE)
    assert text.count("--require-hashes") == text.count("pip install") == 3


def test_both_images_bring_their_bill_of_materials_and_a_health_check_without_a_shell():
    text = (IMAGE / "Containerfile").read_text()
    for target in ("fast", "full"):
        stage = text.partition(f"FROM base AS {target}\n")[2].partition("\nFROM ")[0]
        assert f"COPY --from=sbom-{target} /millgate-serving.cdx.json " in stage
    assert re.search(r'^HEALTHCHECK .* CMD \["millgate-serving", "health"\]$', text, re.MULTILINE)
    assert f"ARG VERSION={__version__}" in text


def test_the_container_is_healthy_while_its_server_is_ready(numbers):
    def ends(port: int) -> int:
        variables = environment(numbers.folder, MILLGATE_PORT=port)
        return subprocess.run([COMMAND, "health"], env=variables, timeout=START_SECONDS, check=False).returncode

    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        assert (ends(numbers.port), ends(nobody.getsockname()[1])) == (0, 1)


ENDS = ("_category_total", "_missing_total")
PAGE = "\n".join(page.read_text() for page in [*sorted((ROOT / "docs").glob("serving*.md")), ROOT / "docs/checks.md"])


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_is_explained_with_its_exit_code(reason):
    rows = [line for line in PAGE.splitlines() if line.startswith("| `") and f"`{reason}`" in line]
    assert len(rows) == 1
    assert f"| {int(ServingError(reason, '').exit_code)} |" in rows[0]


def test_every_variable_that_is_read_is_documented():
    text = "\n".join(file.read_text() for file in (IMAGE / "millgate_serving").rglob("*.py"))
    variables = set(re.findall(r"\b(?:MILLGATE|MLFLOW_TRACKING)_[A-Z_]+[A-Z]\b(?!_)", text))
    assert len(variables) > 40
    assert [name for name in variables if name not in PAGE and name.removeprefix("MLFLOW_TRACKING") not in PAGE] == []


def test_every_metric_is_documented():
    metrics = Metrics(read({"MILLGATE_MODEL_NAME": "x", "MILLGATE_MODEL_PATH": "/x"}))
    metrics.load_seconds = 1
    summaries = Numeric("n", (), (0,), min=0.0, max=0.0), Categorical("c", (), (0,))
    variables = tuple(Variable(summary, Place(0, 0)) for summary in summaries)
    metrics.measure(Measured("training", variables, variables))
    guard = OutputGuard({"predictions": OutputRules(minimum=0)}, ("n",))
    metrics.add(lines_of(Runner(Protection()), Turns(float), lambda: 0.0, guard, Answers(1)))
    names = re.findall(r"^# TYPE (\S+)", metrics.exposition().decode(), re.MULTILINE)
    assert len(names) > 40
    # The families of training share a line.
    shared = {f"millgate_training_{side}{end}" for side in ("prediction", "feature") for end in ENDS}
    assert [name for name in names if f"`{name}" not in PAGE and name not in shared] == []
    for side in ("prediction", "feature"):
        (line,) = (line for line in PAGE.splitlines() if line.startswith(f"| `millgate_training_{side}_bucket`"))
        assert [end for end in ENDS if f"`…{end}`" not in line] == []
