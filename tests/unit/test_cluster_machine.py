"""Names, paths, ports and packages: what a cluster takes of the machine it runs on."""

import random
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e2e.cluster import cgroups, cli, debian, hostbase, ports, provider
from e2e.cluster.buildengine import is_debian_12
from e2e.cluster.paths import ClusterError, default_name, layout, write_if_changed
from e2e.cluster.processes import Runner
from e2e.cluster.status import Status


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mg") as folder:
        monkeypatch.setenv("MILLGATE_CACHE", folder)
        yield Path(folder)


def test_two_checkouts_and_two_sizes_have_four_names() -> None:
    names = {
        default_name(size, Path(root)) for size in ("node", "control-plane") for root in ("/a/millgate", "/b/millgate")
    }
    assert len(names) == 4
    assert all(layout(name) for name in names)


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a/b", "..", "a" * 33, "a b", "a\n"])
def test_a_name_that_cannot_be_a_folder_a_cgroup_and_a_node_is_refused(name: str) -> None:
    with pytest.raises(ClusterError, match="no cluster name"):
        layout(name)


def test_a_cache_too_deep_for_sockets_is_refused_before_anything_starts() -> None:
    assert layout("c1", Path("/" + "x" * 60))
    with pytest.raises(ClusterError, match="shorter folder"):
        layout("c1", Path("/" + "x" * 90))


def test_a_file_that_says_the_same_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "deep/er/file"
    write_if_changed(file, "one")
    before = file.stat().st_ino
    write_if_changed(file, "one")
    assert file.stat().st_ino == before
    write_if_changed(file, "two")
    assert file.read_text() == "two"
    assert [path.name for path in file.parent.iterdir()] == ["file"]


@settings(deadline=None)  # machines that build at the same time are slow
@given(st.integers(min_value=0, max_value=40), st.integers(), st.integers(min_value=2, max_value=9))
def test_ports_are_free_different_and_outside_of_what_clients_are_given(count: int, seed: int, modulus: int) -> None:
    picked = ports.pick(count, free=lambda port: port % modulus == 0, chance=random.Random(seed))
    assert len(set(picked)) == count
    assert all(port % modulus == 0 and 1024 < port < 32768 for port in picked)


def test_a_port_in_use_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not ports.is_free(server.getsockname()[1])


def test_what_is_missing_is_said_in_one_line_by_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    assert debian.missing(debian.NODE, lambda program: program != "/usr/lib/cni/bridge") == [
        "containernetworking-plugins"
    ]
    assert debian.missing(debian.NODE, lambda _: True) == []
    monkeypatch.setattr(debian.os, "geteuid", lambda: 1000)
    wanted = {"no-such-program": "b", "/no/such/file": "a", "sh": "dash"}
    with pytest.raises(ClusterError) as refused:
        debian.ensure(wanted, Runner())
    assert str(refused.value) == "install these first, as root: apt-get install a b"


STATUS = """Package: python3
Status: install ok installed
Version: 3
Depends: python3.11 (>= 3.11), libx | liby, virtual

Package: python3.11
Status: install ok installed
Version: 3.11
Pre-Depends: libc6

Package: liby
Status: install ok installed
Version: 1
Depends: debconf, python3

Package: libc6
Status: install ok installed
Version: 2

Package: libx
Status: deinstall ok config-files
Version: 1

Package: real
Status: install ok installed
Version: 9
Provides: virtual (= 1), other
"""


def test_a_base_image_holds_the_packages_and_all_they_depend_on() -> None:
    installed = hostbase.parse_status(STATUS)
    names = hostbase.closure(installed, ("python3",))
    assert names == ["libc6", "liby", "python3", "python3.11", "real"]
    upgraded = hostbase.parse_status(STATUS.replace("Version: 2", "Version: 3"))
    assert hostbase.key(installed, names) != hostbase.key(upgraded, names)
    assert hostbase.key(installed, names) == hostbase.key(hostbase.parse_status(STATUS), names)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('ID=debian\nVERSION_ID="12"\n', True),
        ('ID=debian\nVERSION_ID="13"\n', False),
        ('ID=ubuntu\nVERSION_ID="12"\n', False),
    ],
)
def test_only_debian_12_can_stand_in_for_its_own_image(text: str, tmp_path: Path, *, expected: bool) -> None:
    (tmp_path / "os-release").write_text(text)
    assert is_debian_12(tmp_path / "os-release") is expected
    assert not is_debian_12(tmp_path / "missing")


def test_cgroups_are_made_in_each_hierarchy_that_a_kubelet_looks_at_and_removed_from_all(tmp_path: Path) -> None:
    for hierarchy in ("memory", "cpuset", "unified"):
        (tmp_path / hierarchy).mkdir()
    (tmp_path / "cpu").symlink_to("memory")
    cgroups.make_cgroups("c1", tmp_path)
    assert sorted(path.parent.name for path in tmp_path.glob("*/c1") if not path.parent.is_symlink()) == [
        "cpuset",
        "memory",
    ]
    (tmp_path / "memory/c1/pods/a").mkdir(parents=True)
    (tmp_path / "unified/c1/pods").mkdir(parents=True)
    cgroups.remove_cgroups("c1", tmp_path)
    cgroups.remove_cgroups("c1", tmp_path)
    assert list(tmp_path.glob("*/c1")) == []


def test_a_version_2_machine_has_one_group(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").touch()
    cgroups.make_cgroups("c1", tmp_path)
    assert (tmp_path / "c1").is_dir()
    cgroups.remove_cgroups("c1", tmp_path)
    assert not (tmp_path / "c1").exists()


@pytest.mark.parametrize("command", ["up", "down", "load-image", "status", "exec", "forward", "kubeconfig"])
def test_every_command_explains_itself_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    assert f"python -m e2e.cluster {command}" in capsys.readouterr().out


def test_where_nothing_runs_commands_say_how_to_start_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status"]) == 1
    assert cli.main(["down"]) == 0
    for argv in (["exec", "true"], ["load-image", "x.tar"], ["forward", "0", "1.2.3.4:5"]):
        assert cli.main(argv) == 1
        assert "start it with: python -m e2e.cluster up" in capsys.readouterr().err


def test_a_command_inside_runs_in_the_network_namespace_with_the_clusters_kubeconfig(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(provider, "client_tools", lambda _: Path("/tools"))
    node = Status("c1", "bare", "node", running=True, kubeconfig="/k", state="/s/c1", namespace_pid=42)
    argv, environment = provider.inside(node, ["kubectl", "get", "nodes"])
    assert argv[1:] == ["-t", "42", "-n", "--", "kubectl", "get", "nodes"]
    assert environment["KUBECONFIG"] == "/k"
    assert environment["PATH"].startswith("/tools:")
    plane = Status("c1", "bare", "control-plane", running=True, kubeconfig="/k", state="/s/c1")
    assert provider.inside(plane, ["kubectl"])[0] == ["kubectl"]


@pytest.mark.parametrize(
    ("hierarchy", "setting", "weight"), [("cpu", "cpu.shares", "8192"), (".", "cpu.weight", "800")]
)
def test_a_node_weighs_as_much_as_eight_processes(tmp_path: Path, hierarchy: str, setting: str, weight: str) -> None:
    if hierarchy == ".":
        (tmp_path / "cgroup.controllers").touch()
    group = tmp_path / hierarchy / "c1"
    group.mkdir(parents=True)
    (group / setting).write_text("as the kernel begins")
    cgroups.make_cgroups("c1", tmp_path)
    assert (group / setting).read_text() == weight
