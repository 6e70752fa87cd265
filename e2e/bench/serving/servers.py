"""The servers that are held side by side: what is installed for each, how it is started, and what it is asked."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from e2e.bench.serving import ours
from e2e.bench.serving.cases import (
    Case,
    Form,
    dataframe_split,
    named_rows,
    plain_rows,
    v2_binary,
    v2_json,
)
from e2e.bench.serving.subject import Subject
from e2e.cluster.paths import REPO_ROOT

PEERS = Path(__file__).parent / "peers"
SCIKIT_LEARN = "scikit-learn==1.9.1"
# The libraries of a model whose pod has one core must not start a thread for each core of the node.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Start:
    """What to run: words, and variables beside those that all have."""

    words: list[str]
    variables: dict[str, str]


@dataclass(frozen=True)
class Setting:
    """What a server's start may need: its interpreter's folder, a folder of its own, the port, the model."""

    bin: Path
    folder: Path
    port: int
    subject: Subject


@dataclass(frozen=True)
class Server:
    """`requirements` are installed from the package registry; none for Millgate, which runs from this checkout."""

    name: str
    title: str
    engine: str
    requirements: tuple[str, ...]
    ready_path: str
    forms: tuple[Form, ...]
    start: Callable[[Setting], Start]
    note: str = ""

    @property
    def cases(self) -> list[Case]:
        return [Case(form, rows) for form in self.forms for rows in (1, 100)]


def _mlflow(setting: Setting) -> Start:
    words = ["models", "serve", "-m", str(setting.subject.sklearn), "--env-manager", "local"]
    return Start(
        [str(setting.bin / "mlflow"), *words, "--host", "127.0.0.1", "--port", str(setting.port)],
        {"MLFLOW_DISABLE_TELEMETRY": "true", "PATH": f"{setting.bin}:{os.environ['PATH']}"},
    )


def _mlserver(parallel_workers: int) -> Callable[[Setting], Start]:
    def start(setting: Setting) -> Start:
        model = {
            "name": "m",
            "implementation": "mlserver_sklearn.SKLearnModel",
            "parameters": {"uri": str(setting.subject.joblib)},
        }
        ports = {"http_port": setting.port, "grpc_port": setting.port + 1, "metrics_port": setting.port + 2}
        server = {"host": "127.0.0.1", "debug": False, "parallel_workers": parallel_workers, **ports}
        (setting.folder / "model-settings.json").write_bytes(msgspec.json.encode(model))
        (setting.folder / "settings.json").write_bytes(msgspec.json.encode(server))
        return Start([str(setting.bin / "mlserver"), "start", str(setting.folder)], {})

    return start


def _kserve(engine: str) -> Callable[[Setting], Start]:
    def start(setting: Setting) -> Start:
        model = setting.subject.joblib if engine == "sklearn" else setting.subject.onnx_tensor / "model.onnx"
        return Start([str(setting.bin / "python"), str(PEERS / "kserve_server.py"), str(model), str(setting.port)], {})

    return start


def _bentoml(setting: Setting) -> Start:
    words = ["serve", "bentoml_server:Served", "--working-dir", str(PEERS)]
    return Start(
        [str(setting.bin / "bentoml"), *words, "--host", "127.0.0.1", "--port", str(setting.port)],
        {"MODEL": str(setting.subject.joblib), "BENTOML_HOME": str(setting.folder), "BENTOML_DO_NOT_TRACK": "True"},
    )


def _millgate(model: str, *, everything: bool) -> Callable[[Setting], Start]:
    def start(setting: Setting) -> Start:
        path = setting.subject.onnx_columns if model == "columns" else setting.subject.onnx_tensor
        variables = ours.variables(setting.folder, setting.port, path, everything=everything)
        return Start([str(Path(sys.executable).with_name("millgate-serving"))], variables)

    return start


_V2 = "/v2/models/m/infer"
_MLSERVER = ("mlserver==1.7.1", "mlserver-sklearn==1.7.1", SCIKIT_LEARN, "uvloop==0.21.0")  # it breaks with a newer one

SERVERS = (
    Server(
        "mlflow",
        "mlflow models serve 3.17.2",
        "scikit-learn",
        ("mlflow==3.17.2", SCIKIT_LEARN, "skops"),
        "/ping",
        (dataframe_split("/invocations"),),
        _mlflow,
    ),
    Server(
        "mlserver",
        "MLServer 1.7.1, as delivered",
        "scikit-learn",
        _MLSERVER,
        "/v2/models/m/ready",
        (v2_json(_V2, "predict"),),
        _mlserver(1),
    ),
    Server(
        "mlserver-0",
        "MLServer 1.7.1, parallel_workers 0",
        "scikit-learn",
        _MLSERVER,
        "/v2/models/m/ready",
        (v2_json(_V2, "predict"),),
        _mlserver(0),
    ),
    Server(
        "kserve",
        "KServe 0.21.0, Python server",
        "scikit-learn",
        ("kserve==0.21.0", SCIKIT_LEARN),
        "/v2/models/m/ready",
        (v2_json(_V2, "x"), v2_binary(_V2, "x")),
        _kserve("sklearn"),
    ),
    Server(
        "kserve-onnx",
        "KServe 0.21.0, Python server",
        "ONNX Runtime",
        ("kserve==0.21.0", SCIKIT_LEARN, "onnxruntime==1.32.0"),
        "/v2/models/m/ready",
        (v2_json(_V2, "x"), v2_binary(_V2, "x")),
        _kserve("onnx"),
    ),
    Server(
        "bentoml",
        "BentoML 1.4.39",
        "scikit-learn",
        ("bentoml==1.4.39", SCIKIT_LEARN),
        "/readyz",
        (plain_rows("/predict"),),
        _bentoml,
    ),
    Server(
        "millgate",
        "**Millgate, everything on**",
        "ONNX Runtime",
        (),
        "/readyz",
        (ours.guarded(named_rows("/predict")),),
        _millgate("columns", everything=True),
        note="/predict, named columns",
    ),
    Server(
        "millgate-v2",
        "**Millgate, everything on**",
        "ONNX Runtime",
        (),
        "/readyz",
        (ours.guarded(v2_json(_V2, "input")), ours.guarded(v2_binary(_V2, "input"))),
        _millgate("tensor", everything=True),
        note="Open Inference Protocol v2",
    ),
    Server(
        "millgate-plain",
        "Millgate, as delivered",
        "ONNX Runtime",
        (),
        "/readyz",
        (named_rows("/predict"),),
        _millgate("columns", everything=False),
        note="/predict, named columns",
    ),
)


def interpreter_version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def uv() -> Path:
    """The one that `make sync` installs."""
    return next(iter(sorted((REPO_ROOT / ".tools").glob("uv-*/bin/uv"), reverse=True)), Path("uv"))
