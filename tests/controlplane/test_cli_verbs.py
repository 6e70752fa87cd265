"""`kubectl millgate` as a person types it: real kubectl, a real API server, the real operator; pods are KWOK's."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster.controlplane import ControlPlane
from e2e.cluster.processes import Runner
from e2e.cluster.wheels import client_tools
from tests.controlplane.operator_process import OperatorProcess
from tests.controlplane.plane import Kubectl, eventually, model_deployment, new_namespace

Json = dict[str, Any]
ROLLOUT = {
    "steps": [
        {"name": "quarter", "weightPercent": 25, "gates": [{"name": "owner", "type": "Approval"}]},
        {"name": "all", "weightPercent": 100},
    ],
    "gates": [],
    "keepWarmSeconds": 600,
}


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Millgate:
    """`kubectl millgate …`, with kubectl finding the plugin on the PATH as it does for a user."""

    kubeconfig: Path
    namespace: str

    def __call__(self, *arguments: str, namespace: str | None = None) -> Done:
        plugins = Path(sys.executable).parent
        assert (plugins / "kubectl-millgate").exists(), "the console script is not installed"
        done = subprocess.run(
            [client_tools(Runner()) / "kubectl", "millgate", *arguments, "-n", namespace or self.namespace],
            env={
                **os.environ,
                "KUBECONFIG": str(self.kubeconfig),
                "PATH": f"{plugins}{os.pathsep}{os.environ['PATH']}",
                "LC_ALL": "C.UTF-8",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def watched(cluster: ControlPlane, kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A namespace with an operator of its own."""
    with new_namespace(kubectl, "cli") as name:
        folder = tmp_path_factory.mktemp("operator")
        lease = {"name": "cli-tests", "namespace": name}
        with OperatorProcess(cluster, folder, watchNamespaces=[name], lease=lease) as operator:
            operator.leading()
            yield name


@pytest.fixture
def millgate(cluster: ControlPlane, watched: str) -> Millgate:
    return Millgate(cluster.kubeconfig, watched)


@pytest.fixture
def ask_for(kubectl: Kubectl, watched: str) -> Callable[[str, str], None]:
    """Apply a version of a model that is baked into its image."""

    def apply(name: str, version: str) -> None:
        spec = {
            "model": {"source": "Image", "name": name, "version": version},
            "server": {"image": f"registry.example/{name}:{version}"},
            "replicas": 3,
            "rollout": ROLLOUT,
        }
        kubectl.apply(model_deployment(name, namespace=watched, spec=spec), namespace=watched)

    return apply


@pytest.fixture
def word(kubectl: Kubectl, watched: str) -> Callable[[str, str], Any]:
    """Wait until STATUS is this word, for the newest generation."""

    async def wait(name: str, expected: str) -> Json:
        def found() -> Json | None:
            obj = kubectl.json("get", "mdep", name, namespace=watched)
            current = obj["status"].get("observedGeneration") == obj["metadata"]["generation"]
            words = [c["reason"] for c in obj["status"].get("conditions", ()) if c["type"] == "Ready"]
            return obj if current and words == [expected] else None

        return await eventually(found, seconds=60, what=f"{name} becomes {expected}")

    return wait


@pytest.fixture
def serving(kubectl: Kubectl, watched: str) -> Callable[[str], str | None]:
    """The hash that the live Service is pinned to; None while it is open to two."""

    def read(name: str) -> str | None:
        service = kubectl.json("get", "service", name, namespace=watched)
        return service["spec"]["selector"].get("millgate.dev/hash")

    return read


async def test_a_release_from_approval_to_rollback_to_retry_to_abort(
    millgate: Millgate, ask_for: Any, word: Any, serving: Any
) -> None:
    """Given v1 serves and v2 waits for approval, a person can promote it, go back, try again and abort; each command
    returns when what it says is so.
    """
    ask_for("fraud", "1")
    first = (await word("fraud", "Promoted"))["status"]["stable"]["hash"]
    ask_for("fraud", "2")
    await word("fraud", "AwaitingApproval")
    page = millgate("get", "fraud")
    assert page.code == 0
    assert "v1 → v2   step 1/2" in page.out
    assert "waits for a person: kubectl millgate promote fraud" in page.out
    assert serving("fraud") is None

    promoted = millgate("promote", "fraud")
    assert (promoted.code, promoted.err) == (0, "")
    assert "promote applied: approved owner (answered in" in promoted.out
    second = (await word("fraud", "Promoted"))["status"]["stable"]["hash"]
    assert serving("fraud") == second != first

    back = millgate("rollback", "fraud")
    assert serving("fraud") == first
    assert back.code == 0, back.err
    assert "rolled back: 100% on v1 after" in back.out
    await word("fraud", "RolledBack")
    page = millgate("get", "fraud")
    assert "serving v1; v2 was taken back" in page.out
    assert "RolledBackByUser" in page.out

    retried = millgate("retry", "fraud")
    assert (retried.code, retried.err) == (0, "")
    await word("fraud", "AwaitingApproval")

    aborted = millgate("abort", "fraud")
    assert serving("fraud") == first
    assert aborted.code == 0, aborted.err
    assert "aborted: 100% on v1 after" in aborted.out
    await word("fraud", "RolledBack")
    rows = [line.split()[:4] for line in millgate("history", "fraud").out.splitlines()[1:]]
    assert [row[1:] for row in rows] == [
        ["v2", "Aborted", "AbortedByUser"],
        ["v2", "RolledBack", "RolledBackByUser"],
        ["v2", "Promoted", "AllChecksPassed"],
        ["v1", "Promoted", "FirstRevision"],
    ]


async def test_pause_freezes_the_weight_and_resume_lets_it_grow(
    millgate: Millgate, ask_for: Any, word: Any, serving: Any
) -> None:
    ask_for("churn", "1")
    await word("churn", "Promoted")
    ask_for("churn", "2")
    await word("churn", "AwaitingApproval")

    paused = millgate("pause", "churn")
    assert paused.code == 0, paused.err
    assert "paused at 25%" in paused.out
    assert (await word("churn", "PausedByUser"))["status"]["pausedBy"]
    assert millgate("pause", "churn").code == 3

    approved = millgate("promote", "churn")
    assert approved.code == 5
    assert "while paused: resume it first" in approved.out
    assert serving("churn") is None

    resumed = millgate("resume", "churn")
    assert resumed.code == 0, resumed.err
    await word("churn", "Promoted")
    assert millgate("resume", "churn").code == 3


async def test_what_the_operator_refuses_ends_with_4_and_its_words(millgate: Millgate, ask_for: Any, word: Any) -> None:
    ask_for("calm", "1")
    await word("calm", "Promoted")
    for verb, words in (
        ("abort", "no rollout is in flight"),
        ("rollback", "there is no earlier good revision"),
        ("retry", "is not rejected"),
    ):
        refused = millgate(verb, "calm")
        assert (refused.code, refused.out) == (4, "")
        assert f"calm {verb} refused: " in refused.err
        assert words in refused.err
    assert millgate("promote", "calm").code == 3


async def test_the_table_has_the_columns_and_cells_of_kubectl_get(
    millgate: Millgate, ask_for: Any, word: Any, kubectl: Kubectl, watched: str
) -> None:
    ask_for("rank", "1")
    await word("rank", "Promoted")
    ours = millgate("get").out.splitlines()
    theirs = kubectl("get", "mdep", namespace=watched).splitlines()
    assert ours[0].split() == theirs[0].split()
    (row,) = [line.split() for line in ours if line.startswith("rank ")]
    (other,) = [line.split() for line in theirs if line.startswith("rank ")]
    assert row[:4] == ["rank", "True", "Promoted", "v1"]
    assert other[:3] == ["rank", "True", "Promoted"]


async def test_a_request_is_owned_by_a_manager_that_flux_leaves_alone(
    millgate: Millgate, ask_for: Any, word: Any
) -> None:
    ask_for("owned", "1")
    await word("owned", "Promoted")
    millgate("pause", "owned")
    shown = json.loads(millgate("get", "owned", "-o", "json").out)
    assert shown["metadata"]["annotations"]["millgate.dev/request"].startswith("Pause id=")
    assert shown["status"]["lastRequest"]["result"] == "Applied"


async def test_a_dry_run_changes_nothing(millgate: Millgate, ask_for: Any, word: Any) -> None:
    ask_for("rehearsed", "1")
    before = await word("rehearsed", "Promoted")
    done = millgate("pause", "rehearsed", "--dry-run")
    assert done.code == 0, done.err
    assert done.out == "modeldeployment.millgate.dev/rehearsed pause requested (server dry run)\n"
    after = await word("rehearsed", "Promoted")
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


def test_without_an_operator_the_wait_ends_with_6_and_the_request_stands(
    cluster: ControlPlane, kubectl: Kubectl, namespace: str
) -> None:
    kubectl.apply(model_deployment("alone", namespace=namespace), namespace=namespace)
    done = Millgate(cluster.kubeconfig, namespace)("abort", "alone", "--timeout", "1s")
    assert done.code == 6
    assert "still waiting for the operator to answer" in done.err
    obj = kubectl.json("get", "mdep", "alone", "--show-managed-fields", namespace=namespace)
    assert obj["metadata"]["annotations"]["millgate.dev/request"].startswith("Abort id=")
    owners = [
        entry["manager"]
        for entry in obj["metadata"]["managedFields"]
        if "f:millgate.dev/request" in json.dumps(entry["fieldsV1"])
    ]
    assert owners == ["millgate-cli"]


def test_who_may_not_is_told_so(cluster: ControlPlane, namespace: str) -> None:
    done = Millgate(cluster.kubeconfig, namespace)("get", "--as", "nobody")
    assert (done.code, done.out) == (1, "")
    assert 'User "nobody" cannot list resource "modeldeployments"' in done.err
