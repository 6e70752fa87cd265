"""`down` ends what belongs to the cluster, all of it and nothing else, whatever was killed before."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.cluster import spawn
from e2e.cluster.paths import ClusterError, Layout, layout, locked
from e2e.cluster.processes import MARK, Runner, end_marked, marked, marked_environment
from e2e.cluster.supervisor import Component

NOT_READY = "https://127.0.0.1:1/readyz"  # nothing listens there
FAMILY = "import subprocess, time; subprocess.Popen(['sleep', '600'], start_new_session=True); time.sleep(600)"


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Layout]:
    with tempfile.TemporaryDirectory(prefix="mg") as folder:
        monkeypatch.setenv("MILLGATE_CACHE", folder)
        found = layout("c1")
        found.state.mkdir(parents=True)
        spawn.fresh_logs(found)
        (found.state / "pki").mkdir()
        (found.state / "pki/ca.crt").touch()
        yield found
        end_marked(found.state)


def eventually(what: Callable[[], object], *, seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def start(here: Layout, *names: str, with_owner: bool = False) -> dict[str, int]:
    components = [Component(name, ("sleep", "600"), after_ready=False) for name in names]
    spawn.spawn(here, components, ready_url=NOT_READY, with_owner=with_owner)
    spawn.wait_for_supervisor(here)
    pids: dict[str, int] = spawn.ask(here, do="status")["components"]
    return pids


def test_everything_that_descends_from_a_marked_process_is_ended_and_nothing_else(here: Layout) -> None:
    stranger = subprocess.Popen(["sleep", "600"])
    namesake = subprocess.Popen(["sleep", "600"], env={**os.environ, MARK: f"{here.state}2"})
    ours = subprocess.Popen([sys.executable, "-c", FAMILY], env=marked_environment(here.state))
    try:
        eventually(lambda: len(list(marked(here.state))) == 2)
        assert end_marked(here.state) == 2
        assert ours.wait() == -signal.SIGKILL
        assert list(marked(here.state)) == []
        assert stranger.poll() is None
        assert namesake.poll() is None
    finally:
        for other in (stranger, namesake):
            other.kill()
            other.wait()


def test_builds_for_a_cluster_that_never_started_are_ended_too() -> None:
    absent = Layout("c2", Path("/nonexistent/state/c2"))
    build = subprocess.Popen(["sleep", "600"], env=marked_environment(absent.state))
    eventually(lambda: list(marked(absent.state)) == [build.pid])
    assert spawn.end(absent) == 1
    assert build.wait() == -signal.SIGKILL
    assert not absent.state.exists()


def test_a_process_that_ends_its_own_cluster_lives_on(here: Layout) -> None:
    script = (
        "from pathlib import Path; from e2e.cluster.processes import end_marked\n"
        f"print(end_marked(Path('{here.state}')))"
    )
    environment = {**marked_environment(here.state), "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"


def test_commands_run_for_a_cluster_carry_its_mark(here: Layout) -> None:
    assert f"{MARK}={here.state}" in Runner(here.state).run(["env"]).out.splitlines()


def test_a_failing_command_says_what_it_said() -> None:
    with pytest.raises(ClusterError, match="no such thing"):
        Runner().run(["sh", "-c", "echo no such thing >&2; exit 3"])
    with pytest.raises(ClusterError, match="is not installed"):
        Runner().run(["millgate-no-such-program"])


def test_the_components_run_until_down_and_down_can_be_said_twice(here: Layout) -> None:
    pids = start(here, "etcd", "apiserver")
    assert all(map(alive, pids.values()))
    assert spawn.running(here)
    assert spawn.end(here) == 3
    assert not any(map(alive, pids.values()))
    assert not spawn.running(here)
    assert spawn.end(here) == 0


def test_a_killed_supervisor_takes_the_components_with_it(here: Layout) -> None:
    pids = start(here, "etcd", "apiserver")
    supervisor = spawn.supervisor_pid(here)
    assert supervisor
    os.kill(supervisor, signal.SIGKILL)
    eventually(lambda: not any(map(alive, pids.values())))


def test_a_cluster_with_an_owner_ends_when_the_owner_is_killed(here: Layout) -> None:
    script = (
        "import sys, time; sys.path[:0] = sys.argv[2:]\n"
        "from tests.unit.test_cluster_processes import layout, start\n"
        "print(*start(layout('c1'), 'etcd', with_owner=True).values(), flush=True); time.sleep(600)"
    )
    owner = subprocess.Popen([sys.executable, "-c", script, "-", *sys.path], stdout=subprocess.PIPE, text=True)
    assert owner.stdout
    component = int(owner.stdout.readline())
    assert alive(component)
    owner.kill()
    owner.wait()
    owner.stdout.close()
    eventually(lambda: not alive(component))
    eventually(lambda: not list(marked(here.state)))


def test_a_component_can_be_stopped_started_and_paused_and_is_never_restarted_by_itself(here: Layout) -> None:
    first = start(here, "etcd", "apiserver")
    spawn.ask(here, do="stop", name="apiserver")
    assert spawn.ask(here, do="status")["components"] == {"etcd": first["etcd"]}
    again = spawn.ask(here, do="start", name="apiserver")["components"]
    assert again["apiserver"] != first["apiserver"]
    spawn.ask(here, do="signal", name="etcd", signal=signal.SIGSTOP)
    eventually(lambda: ") T " in Path(f"/proc/{first['etcd']}/stat").read_text())
    spawn.ask(here, do="stop", name="etcd", signal=signal.SIGTERM)
    os.kill(again["apiserver"], signal.SIGKILL)
    eventually(lambda: spawn.ask(here, do="status")["components"] == {})
    with pytest.raises(ClusterError, match="no component 'kubelet'"):
        spawn.ask(here, do="start", name="kubelet")


def test_down_after_a_kill_of_up_between_fork_and_exec_ends_what_starts_later(here: Layout) -> None:
    late = "import fcntl, sys, time; fcntl.flock(int(sys.argv[1]), fcntl.LOCK_UN); time.sleep(600)"
    early = (
        "import os, sys, time; time.sleep(0.3); mark, state, late, lock = sys.argv[1:]\n"
        "os.execve(sys.executable, [sys.executable, '-c', late, lock], {**os.environ, mark: state})"
    )
    with locked(here.state / "spawn.lock") as lock:
        argv = [sys.executable, "-c", early, MARK, str(here.state), late, str(lock)]
        child = subprocess.Popen(argv, pass_fds=[lock])
    assert list(marked(here.state)) == []
    assert spawn.end(here) == 1
    assert child.wait() == -signal.SIGKILL
