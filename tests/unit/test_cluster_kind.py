"""Which cluster is chosen, and the commands that kind and docker get: no Docker engine is needed to know them."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from e2e.cluster import docker, existing, kind, provider, tarimage
from e2e.cluster.buildengine import Docker, Job
from e2e.cluster.controlplane import Options
from e2e.cluster.existing import Existing
from e2e.cluster.kind import Kind
from e2e.cluster.paths import ClusterError, layout
from e2e.cluster.processes import Result
from e2e.cluster.provider import Bare
from tests.unit.cluster_commands import Commands, by_start

NAME = "mg-test"


DOCKER_UP = {"docker info": Result(0, '"28.1.0"\n', "")}
DOCKER_DOWN = {"docker info": Result(1, '""\n', "Cannot connect to the Docker daemon")}


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine with docker and kind on its PATH and an empty cache."""
    with tempfile.TemporaryDirectory(prefix="mg") as folder:
        monkeypatch.setenv("MILLGATE_CACHE", folder)
        monkeypatch.setattr(docker.shutil, "which", lambda program: f"/usr/bin/{program}")
        monkeypatch.setattr(kind, "client_tools", lambda _: Path("/tools"))
        monkeypatch.setattr(existing, "client_tools", lambda _: Path("/tools"))
        yield Path(folder)


@pytest.fixture
def tar(tmp_path: Path) -> Path:
    file = tmp_path / "app.tar"
    tarimage.write(file, "localhost/app:1", [b"layer"], tarimage.Config(command=("app",)))
    return file


def chosen(size: str, environment: Mapping[str, str], answers: Mapping[str, Result]) -> type:
    return type(provider.choose(NAME, size, Options(), environment=environment, runner=Commands(by_start(answers))))


@pytest.mark.parametrize(
    ("size", "environment", "answers", "expected"),
    [
        ("node", {"MILLGATE_KUBECONFIG": "/k"}, DOCKER_UP, Existing),
        ("node", {}, DOCKER_UP, Kind),
        ("node", {}, DOCKER_DOWN, Bare),
        ("node", {"MILLGATE_KUBECONFIG": ""}, DOCKER_DOWN, Bare),
        ("control-plane", {"MILLGATE_KUBECONFIG": "/k"}, DOCKER_UP, Bare),
    ],
)
def test_your_cluster_comes_before_kind_and_kind_before_the_bare_node(
    size: str, environment: Mapping[str, str], answers: Mapping[str, Result], expected: type
) -> None:
    assert chosen(size, environment, answers) is expected


def test_a_docker_program_without_its_engine_is_no_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    # the client ends with 0 and an empty version where only the engine is missing
    assert not docker.docker_answers(Commands(by_start({"docker info": Result(0, '""\n', "")})))
    assert docker.docker_answers(Commands(by_start(DOCKER_UP)))
    monkeypatch.setattr(docker.shutil, "which", lambda _: None)
    assert not docker.docker_answers(Commands(by_start(DOCKER_UP)))


def test_up_creates_the_kind_cluster_and_writes_its_own_kubeconfig(machine: Path) -> None:
    commands = Commands(by_start({"kind get clusters": Result(0, "other\n", "")}))
    Kind(NAME, commands).up()
    etc = machine / "state" / NAME / "etc"
    assert commands.seen == [
        "kind get clusters",
        f"kind create cluster --name {NAME} --config {etc}/kind.yaml --kubeconfig {etc}/admin.kubeconfig --wait 180s",
    ]
    assert (etc / "kind.yaml").read_text().startswith("kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n")


def test_a_second_up_only_reads_the_kubeconfig_again(machine: Path) -> None:
    commands = Commands(by_start({"kind get clusters": Result(0, f"other\n{NAME}\n", "")}))
    Kind(NAME, commands).up()
    kubeconfig = machine / "state" / NAME / "etc/admin.kubeconfig"
    assert commands.seen[1:] == [f"kind export kubeconfig --name {NAME} --kubeconfig {kubeconfig}"]


def test_a_cluster_with_a_longer_name_is_not_mistaken_for_ours() -> None:
    commands = Commands(by_start({"kind get clusters": Result(0, f"{NAME}-2\n", "")}))
    assert not Kind(NAME, commands).status().running


def test_up_without_kind_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind.shutil, "which", lambda _: None)
    with pytest.raises(ClusterError, match="kind is not installed"):
        Kind(NAME, Commands()).up()


def test_an_image_is_loaded_into_kind_once_and_again_into_a_new_cluster(tar: Path) -> None:
    commands = Commands(by_start({"kind get clusters": Result(0, "", "")}))
    cluster = Kind(NAME, commands)
    cluster.up()
    commands.seen.clear()
    cluster.load_image(tar)
    cluster.load_image(tar)
    assert commands.seen == [f"kind load image-archive {tar} --name {NAME}"]
    cluster.down()
    commands.seen.clear()
    cluster.load_image(tar)
    assert commands.seen == [f"kind load image-archive {tar} --name {NAME}"]


def test_down_deletes_the_cluster_and_can_be_said_twice() -> None:
    commands = Commands(by_start({"kind get clusters": Result(0, NAME, "")}))
    Kind(NAME, commands).up()
    assert Kind.recorded(NAME)
    commands.seen.clear()
    Kind(NAME, commands).down()
    Kind(NAME, commands).down()
    delete = f"kind delete cluster --name {NAME} --kubeconfig {layout(NAME).kubeconfig}"
    assert commands.seen == [delete, delete]
    assert not Kind.recorded(NAME)


def test_later_commands_find_the_kind_cluster_that_up_recorded() -> None:
    Kind(NAME, Commands()).up()
    assert isinstance(provider.find(NAME, environment={}), Kind)


def test_docker_builds_and_saves_the_image_that_kind_loads(tmp_path: Path) -> None:
    commands = Commands()
    job = Job(Path("/r/Containerfile"), Path("/context"), "localhost/app:1", {"B": "2", "A": "1"})
    Docker(commands).build(job, tmp_path / "app.tar")
    assert commands.seen == [
        "docker build --build-arg A=1 --build-arg B=2 -f /r/Containerfile -t localhost/app:1 /context",
        f"docker save -o {tmp_path}/app.tar localhost/app:1",
    ]


def test_a_cluster_of_yours_takes_images_by_the_command_you_name(tar: Path, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.touch()
    commands = Commands()
    mine = Existing(kubeconfig, {"MILLGATE_LOAD_COMMAND": "minikube image load"}, commands)
    mine.up()
    mine.load_image(tar)
    assert commands.seen == [
        f"/tools/kubectl --kubeconfig={kubeconfig} get --raw /readyz",
        f"minikube image load {tar}",
    ]
    with pytest.raises(ClusterError, match="MILLGATE_LOAD_COMMAND="):
        Existing(kubeconfig, {}, commands).load_image(tar)


def test_a_cluster_of_yours_is_never_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands()
    Existing(tmp_path, {}, commands).down()
    assert commands.seen == []
    monkeypatch.setenv("MILLGATE_KUBECONFIG", str(tmp_path))
    assert all(isinstance(cluster, Bare) for cluster in provider.to_end(None))


def test_status_for_programs_names_provider_kubeconfig_namespace_and_binaries() -> None:
    said = json.loads(Kind(NAME, Commands()).status().as_json())
    assert said["provider"] == "kind"
    assert said["kubeconfig"].endswith("admin.kubeconfig")
    assert said["namespace_pid"] is None
    assert said["binaries"] == {}
