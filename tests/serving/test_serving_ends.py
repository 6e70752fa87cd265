"""How each process ends: 0 in order, 1 for a fault of the model, 75 where nothing is known of it."""

import signal
import socket
import subprocess
from pathlib import Path

import pytest
from serving_process import COMMAND, Server, environment, eventually, serving

AWAY = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1", "MILLGATE_REGISTRY_RETRY_SECONDS": 60}
ENDS = [
    ({"MILLGATE_MODEL_NAME": ""}, 75, "InvalidConfiguration"),
    ({"MILLGATE_THREADS": "many"}, 75, "InvalidConfiguration"),
    ({"MILLGATE_CONVERSION_SECONDS": "-1"}, 75, "InvalidConfiguration"),
    ({"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}, 75, "RegistryUnreachable"),
    ({"MILLGATE_MODEL_PATH": "/nowhere"}, 1, "ModelNotFound"),
    ({"MILLGATE_MODEL_PATH": "sleepy"}, 1, "CodeExecutionNotAllowed"),
    ({"MILLGATE_MODEL_PATH": "numbers", "MILLGATE_MODEL_DIGEST": "sha256:" + "0" * 64}, 1, "ArtifactChanged"),
]


@pytest.mark.parametrize(("variables", "code", "reason"), ENDS)
def test_a_server_that_cannot_serve_ends_with_the_code_and_the_reason_of_its_fault(
    saved_models, tmp_path, variables, code, reason
):
    if "/" not in (path := variables.get("MILLGATE_MODEL_PATH", "/")):
        variables = variables | {"MILLGATE_MODEL_PATH": saved_models(path)}
    with serving(tmp_path, **variables) as server:
        assert server.exit_code() == code
        assert server.termination_log()["error"]["reason"] == reason


def test_a_port_that_is_taken_says_nothing_about_the_model(saved_models, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with serving(tmp_path, MILLGATE_MODEL_PATH=saved_models("numbers"), MILLGATE_PORT=port) as server:
            assert server.exit_code() == 75
            assert str(port) in server.termination_log()["error"]["message"]


def test_a_server_that_is_stopped_ends_in_order_whether_it_was_ready_or_not(saved_models, tmp_path):
    with serving(tmp_path, MILLGATE_MODEL_PATH=saved_models("numbers")) as ready:
        ready.wait_ready()
        ready.terminate()
        assert ready.exit_code() == 0
    with serving(tmp_path, **AWAY) as loading:
        assert loading.port
        loading.terminate()
        assert loading.exit_code() == 0


def test_a_preflight_that_is_stopped_can_tell_nothing(tmp_path):
    process = subprocess.Popen([COMMAND, "preflight"], env=environment(tmp_path, **AWAY), stdout=subprocess.PIPE)
    try:
        eventually(lambda: _handles_sigterm(process.pid), 60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 75
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _handles_sigterm(pid: int) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    caught = next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt"))
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def test_a_converter_goes_with_the_server_that_started_it(tmp_path):
    """Given a conversion that hangs, when its server is killed, then no process is left over."""
    from flavour_models import save_sleeping_estimator  # noqa: PLC0415 - imports scikit-learn

    folder = save_sleeping_estimator(tmp_path / "model")
    allowed = {"MILLGATE_ALLOW_CODE_EXECUTION": "true", "MILLGATE_CONVERSION_SECONDS": 300}
    with serving(tmp_path, MILLGATE_MODEL_PATH=folder, **allowed) as server:
        assert server.port
        (child,) = eventually(lambda: _children(server), 120)
        server.process.kill()
        server.process.wait()
    eventually(lambda: not _runs(child), 60)


def _children(server: Server) -> list[int]:
    """Of every thread: the model is loaded beside the event loop."""
    tasks = Path(f"/proc/{server.process.pid}/task").glob("*/children")
    return [int(pid) for task in tasks for pid in task.read_text().split()]


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # one that has ended, and that nobody has asked about
