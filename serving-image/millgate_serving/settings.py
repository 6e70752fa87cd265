"""The environment variables that the operator sets on a pod, read once and checked."""

from dataclasses import dataclass, field
from pathlib import Path

from millgate_serving import cgroup, observing, protection
from millgate_serving.cache import Cache
from millgate_serving.observing import Observing
from millgate_serving.protection import Protection
from millgate_serving.variables import Environment, flag, invalid, number, path

TERMINATION_LOG = "/dev/termination-log"


@dataclass(frozen=True, slots=True)
class Registry:
    """How to reach MLflow. Times in seconds."""

    tracking_uri: str
    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    certificates: Path | None = None
    deadline_seconds: float = 300
    retry_seconds: float = 30


@dataclass(frozen=True, slots=True)
class Settings:
    """`fingerprint` tells which file changed, `threads` are those of one prediction. `conversion_seconds` is how long
    turning a scikit-learn model into ONNX may take; 0 serves it by its own flavour.
    """

    model_name: str
    model_version: str
    revision: str
    git_commit: str
    image: str
    source: str
    digest: str
    fingerprint: str
    model_dir: Path
    model_path: Path | None
    cache: Cache | None
    allow_code_execution: bool
    conversion_seconds: float
    threads: int
    log_model_errors: bool
    max_features: int
    port: int
    drain_seconds: float
    max_connection_age_seconds: float
    termination_log: Path
    registry: Registry
    protection: Protection
    observing: Observing = field(default_factory=Observing)


def read(environment: Environment) -> Settings:
    """The settings, or a ServingError that names the variable."""
    name = environment.get("MILLGATE_MODEL_NAME", "")
    if not name:
        raise invalid("MILLGATE_MODEL_NAME is not set")
    version = environment.get("MILLGATE_MODEL_VERSION", "")
    baked_in = path(environment, "MILLGATE_MODEL_PATH")
    if baked_in is None and not environment.get("MLFLOW_TRACKING_URI"):
        raise invalid(
            "neither MLFLOW_TRACKING_URI (fetch the model) nor MILLGATE_MODEL_PATH (it is in the image) is set",
        )
    return Settings(
        model_name=name,
        model_version=version,
        revision=environment.get("MILLGATE_REVISION", ""),
        git_commit=environment.get("MILLGATE_GIT_COMMIT", ""),
        image=environment.get("MILLGATE_IMAGE", ""),
        source=environment.get("MILLGATE_MODEL_SOURCE") or f"models:/{name}/{version}",
        digest=_digest(environment.get("MILLGATE_MODEL_DIGEST", "")),
        fingerprint=environment.get("MILLGATE_MODEL_FINGERPRINT", ""),
        model_dir=Path(environment.get("MILLGATE_MODEL_DIR") or "/models"),
        model_path=baked_in,
        cache=_cache(environment),
        allow_code_execution=flag(environment, "MILLGATE_ALLOW_CODE_EXECUTION"),
        conversion_seconds=number(environment, "MILLGATE_CONVERSION_SECONDS", 60, 3600),
        threads=int(number(environment, "MILLGATE_THREADS", 0, 256)) or cgroup.threads(cgroup.cpus()),
        log_model_errors=flag(environment, "MILLGATE_LOG_MODEL_ERRORS"),
        max_features=int(number(environment, "MILLGATE_MAX_FEATURES", 64, 1000)),
        port=int(number(environment, "MILLGATE_PORT", 8080, 65535)),
        drain_seconds=number(environment, "MILLGATE_DRAIN_SECONDS", 15, 3600),
        max_connection_age_seconds=number(environment, "MILLGATE_MAX_CONNECTION_AGE_SECONDS", 30, 86400),
        termination_log=Path(environment.get("MILLGATE_TERMINATION_LOG") or TERMINATION_LOG),
        registry=_registry(environment),
        protection=protection.read(environment),
        observing=observing.read(environment),
    )


def _cache(environment: Environment) -> Cache | None:
    folder = path(environment, "MILLGATE_CACHE_DIR")
    gibibytes = number(environment, "MILLGATE_CACHE_GIB", 20, 1_000_000)
    return None if folder is None else Cache(folder, int(gibibytes * (1 << 30)))


def _registry(environment: Environment) -> Registry:
    return Registry(
        tracking_uri=environment.get("MLFLOW_TRACKING_URI", "").rstrip("/"),
        username=environment.get("MLFLOW_TRACKING_USERNAME", ""),
        password=environment.get("MLFLOW_TRACKING_PASSWORD", ""),
        token=environment.get("MLFLOW_TRACKING_TOKEN", ""),
        certificates=path(environment, "MLFLOW_TRACKING_SERVER_CERT_PATH"),
        deadline_seconds=number(environment, "MILLGATE_FETCH_DEADLINE_SECONDS", 300, 86400),
        retry_seconds=number(environment, "MILLGATE_REGISTRY_RETRY_SECONDS", 30, 86400),
    )


def _digest(text: str) -> str:
    algorithm, _, value = text.partition(":")
    if text and (algorithm != "sha256" or len(value) != 64 or set(value) - set("0123456789abcdef")):
        raise invalid("MILLGATE_MODEL_DIGEST must be sha256:<64 hexadecimal digits>")
    return text
