"""Models on disk, a real MLflow registry, and one server for the tests that only ask questions."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.request import urlopen

import pytest

REGISTRY_START_SECONDS = 240


@pytest.fixture(scope="session")
def saved_models(tmp_path_factory):
    """Folders with a model each, made on first use."""
    import serving_models  # noqa: PLC0415 - imports MLflow and scikit-learn: seconds, which pure tests need not pay

    root, made = tmp_path_factory.mktemp("saved"), {}

    def folder(name: str) -> Path:
        if name not in made:
            if name == "sleepy":
                made[name] = serving_models.save_sleepy(root / name)
            else:
                made[name] = serving_models.save(getattr(serving_models, name)(), root / name)
        return made[name]

    return folder


@pytest.fixture(scope="session")
def numbers(saved_models, tmp_path_factory):
    """A running server of the usual model, shared by tests that leave it as they found it."""
    from serving_process import serving  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("numbers")
    with serving(folder, MILLGATE_MODEL_PATH=saved_models("numbers")) as server:
        yield server.wait_ready()


@pytest.fixture(scope="session")
def every_type(saved_models, tmp_path_factory):
    """A running server of the model that echoes a value of each type."""
    from serving_process import serving  # noqa: PLC0415

    with serving(tmp_path_factory.mktemp("types"), MILLGATE_MODEL_PATH=saved_models("every_type")) as server:
        yield server.wait_ready()


@pytest.fixture(scope="session")
def checked_models(tmp_path_factory):
    """Folders of `check_models`, each made on first use."""
    import check_models as made  # noqa: PLC0415 - imports MLflow: seconds, which pure tests need not pay
    from mlflow.types.schema import ColSpec  # noqa: PLC0415

    columns = [ColSpec("double", name) for name in made.NAMES]
    makers = {
        "good": lambda: (made.linear(),),
        "better": lambda: (made.linear((1.01, -1.0, 0.5, 0.0)),),
        "three_points_worse": lambda: (made.linear((1.0, -1.0, 0.7, 0.0)),),
        "one_point_worse": lambda: (made.linear((1.0, -1.0, 0.58, 0.0)),),
        "bad_segment": lambda: (made.linear(last_group=0.5),),
        "picky": lambda: (made.picky(),),
        "root": lambda: (made.root(), None, "float"),
        "regression": lambda: (made.regression(), None, "float"),
        "regression_off": lambda: (made.regression(1.2), None, "float"),
        "words": lambda: (made.words(), None, "string"),
        "renamed": lambda: (made.linear(), [*columns[:3], ColSpec("double", "segment")]),
        "retyped": lambda: (made.linear(), [*columns[:3], ColSpec("long", "group")]),
        "wider": lambda: (made.linear((*made.WEIGHTS, 0.0)), [*columns, ColSpec("double", "new", required=False)]),
        "slow": lambda: (made.linear(work=3000),),
        "fat": lambda: (made.linear(ballast_bytes=80 << 20),),
    }
    root, saved = tmp_path_factory.mktemp("checked"), {}

    def folder(name):
        if name not in saved:
            saved[name] = made.save(root / name, *makers[name]())
        return saved[name]

    return folder


@pytest.fixture(scope="session")
def held_out(tmp_path_factory):
    """A file of 4000 rows with noisy labels, for `checked_models`."""
    import check_models  # noqa: PLC0415

    path = tmp_path_factory.mktemp("held-out") / "rows.csv"
    check_models.labelled(4000).to_csv(path, index=False)
    return path


@pytest.fixture
def ask(checked_models, tmp_path):
    """The verdict of a check; `candidate` and `stable` are names of models, or folders."""
    from millgate_serving.checks.command import judged  # noqa: PLC0415 - imports ONNX Runtime

    def asked(check, candidate, stable=None, **options):
        variables = {
            "MILLGATE_MODEL_NAME": "fraud",
            "MILLGATE_MODEL_VERSION": "9",
            "MILLGATE_MODEL_PATH": _folder(checked_models, candidate),
            "MILLGATE_MODEL_DIR": str(tmp_path),
            "MILLGATE_CHECK_OPTIONS": json.dumps(options, default=str),
        }
        if stable is not None:
            variables |= {
                "MILLGATE_STABLE_MODEL_NAME": "fraud",
                "MILLGATE_STABLE_MODEL_VERSION": "8",
                "MILLGATE_STABLE_MODEL_PATH": _folder(checked_models, stable),
            }
        return judged(check, variables)

    return asked


def _folder(models, name):
    return str(models(name) if isinstance(name, str) else name)


@pytest.fixture(scope="session", autouse=True)
def starting_registry(request, tmp_path_factory):
    """`mlflow server` takes ten seconds and more to start, so it starts with the session, if a test will ask for it."""
    if not any("registry" in item.fixturenames for item in request.session.items):
        yield None
        return
    folder = tmp_path_factory.mktemp("registry")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(str(Path(sys.executable).with_name("mlflow")), "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/registry.db"),
        *("--artifacts-destination", str(folder / "artifacts")),
    ]
    # Without its job workers, which are five more processes, the server is up in half the time.
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    variables = os.environ | quiet
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=variables, stdout=log, stderr=log, cwd=folder)
    url = f"http://127.0.0.1:{port}"
    try:
        yield SimpleNamespace(url=url, port=port, artifacts=folder / "artifacts", process=process, log=folder / "log")
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="session")
def registry(starting_registry):
    """`mlflow server` on loopback, with its artifact proxy. `artifacts` is its store on disk."""
    _wait_until_up(starting_registry.url, starting_registry.process, starting_registry.log)
    return starting_registry


def _wait_until_up(url: str, process: subprocess.Popen, log: Path) -> None:
    from serving_process import eventually  # noqa: PLC0415

    def up() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            with urlopen(f"{url}/health", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    eventually(up, REGISTRY_START_SECONDS)


@pytest.fixture(scope="session")
def registered(registry):
    """Versions in the registry by the name of the model's maker, as the variables that an operator would set."""
    import mlflow  # noqa: PLC0415
    import serving_models  # noqa: PLC0415

    mlflow.set_tracking_uri(registry.url)
    mlflow.set_experiment("serving")
    made = {}

    def register(name: str) -> dict[str, object]:
        source = serving_models.register(name, getattr(serving_models, name)())
        number = mlflow.MlflowClient().search_model_versions(f"name='{name}'")[0].version
        return {
            "MLFLOW_TRACKING_URI": registry.url,
            "MILLGATE_MODEL_NAME": name,
            "MILLGATE_MODEL_VERSION": number,
            "MILLGATE_MODEL_SOURCE": source,
        }

    def version(name: str, *, of_my_own: bool = False) -> dict[str, object]:
        """A version that tests share, or one that a test may overwrite."""
        if of_my_own:
            return register(name)
        if name not in made:
            made[name] = register(name)
        return dict(made[name])

    return version
