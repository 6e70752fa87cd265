"""The little of MLflow's REST interface that a pod needs: where a model's files are, which they are, and their bytes.

No mlflow import: it would cost two seconds and 70 MiB of every pod, and it has no deadline (facts of MLflow 3.17.2).
"""

import base64
import http.client
import json
import random
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from millgate_serving.failure import Reason, ServingError
from millgate_serving.settings import Registry

_CHUNK_BYTES = 1 << 20
_ANSWER_BYTES = 16 << 20  # of a JSON answer; the listing of 10,000 files is about 1 MiB
_SOCKET_TIMEOUT_SECONDS = 10.0
_BACKOFF_SECONDS = (0.2, 5.0)
_ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a listing: a name inside the listed folder. `size_bytes` is None where the registry does not say."""

    name: str
    is_folder: bool
    size_bytes: int | None


class _Retry(Exception):  # noqa: N818 - control flow inside this file, never seen outside
    def __init__(self, failure: ServingError) -> None:
        super().__init__(failure.message)
        self.failure = failure


class MlflowClient:
    """One kept-alive connection to the registry, with retries for a bounded time and one deadline for everything."""

    def __init__(self, registry: Registry) -> None:
        url = urlsplit(registry.tracking_uri)
        if url.scheme not in {"http", "https"} or not url.hostname:
            raise ServingError(Reason.INVALID_CONFIGURATION, "MLFLOW_TRACKING_URI must be an http:// or https:// URL")
        self._registry = registry
        self._url = url
        self._headers = {"User-Agent": "millgate-serving", **_authorization(registry)}
        self._ends_at = time.monotonic() + registry.deadline_seconds
        self._connection: http.client.HTTPConnection | None = None

    def artifact_root(self, source: str) -> str:
        """The path inside the registry's artifact proxy for a source such as `models:/m-…` or `mlflow-artifacts:/…`."""
        url = urlsplit(self._resolved(source))
        if url.scheme != "mlflow-artifacts" or url.netloc not in {"", self._url.netloc}:
            raise ServingError(
                Reason.SOURCE_NOT_SUPPORTED,
                f"the model's files are at a '{url.scheme}:' address; the server reads mlflow-artifacts: through the "
                "registry only (mlflow server --serve-artifacts)",
            )
        return url.path.strip("/")

    def listing(self, folder: str) -> list[Entry]:
        files = self._json(f"{_ARTIFACTS}?{urlencode({'path': folder})}").get("files", [])
        return [Entry(str(f["path"]), bool(f.get("is_dir")), _size(f)) for f in files]

    def download(self, path: str, target: BinaryIO) -> None:
        """Stream one file into `target`, from its start again after a broken connection."""

        def attempt() -> None:
            _rewind(target)
            with self._answer(f"{_ARTIFACTS}/{quote(path)}") as response:
                expected, received = response.length, 0
                while chunk := response.read(_CHUNK_BYTES):
                    _write(target, chunk)
                    received += len(chunk)
                    self._check_deadline()
                if expected is not None and received != expected:
                    raise http.client.IncompleteRead(b"", expected - received)

        self._with_retries(attempt)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _resolved(self, source: str) -> str:
        scheme, _, rest = source.partition(":")
        try:
            if scheme == "models":
                return self._models_uri(rest.strip("/"))
            return self._runs_uri(rest.strip("/")) if scheme == "runs" else source
        except KeyError as error:
            raise ServingError(Reason.REGISTRY_ERROR, f"the registry's answer about {source} lacks {error}") from error

    def _models_uri(self, rest: str) -> str:
        name, _, version = rest.rpartition("/")
        if not name:  # models:/m-<id>
            answer = self._json(f"/api/2.0/mlflow/logged-models/{quote(rest, safe='')}")
            return str(answer["model"]["info"]["artifact_uri"])
        query = urlencode({"name": name, "version": version})
        return str(self._json(f"/api/2.0/mlflow/model-versions/get-download-uri?{query}")["artifact_uri"])

    def _runs_uri(self, rest: str) -> str:
        run_id, _, path = rest.partition("/")
        answer = self._json(f"/api/2.0/mlflow/runs/get?{urlencode({'run_id': run_id})}")
        return f"{answer['run']['info']['artifact_uri']}/{path}"

    def _json(self, path: str) -> dict[str, Any]:
        def attempt() -> dict[str, Any]:
            with self._answer(path) as response:
                answer = json.loads(response.read(_ANSWER_BYTES))
                if not isinstance(answer, dict):
                    raise TypeError
                return answer

        try:
            return self._with_retries(attempt)
        except (ValueError, TypeError) as error:
            raise ServingError(Reason.REGISTRY_ERROR, f"the registry did not answer {path} with JSON") from error

    def _with_retries(self, attempt: Callable[[], _T]) -> _T:
        """Try again after broken connections and 5xx, for `retry_seconds` and never beyond the deadline."""
        gives_up_at = time.monotonic() + self._registry.retry_seconds
        pause, longest = _BACKOFF_SECONDS
        while True:
            try:
                return attempt()
            except _Retry as error:
                failure = error.failure
            except ServingError:
                raise
            except (OSError, http.client.HTTPException) as error:
                text = str(error) or type(error).__name__
                failure = ServingError(Reason.REGISTRY_UNREACHABLE, f"{self._url.netloc} cannot be reached: {text}")
            self.close()
            self._check_deadline()
            if time.monotonic() + pause > gives_up_at:
                raise failure
            time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads pods out, hides nothing
            pause = min(longest, pause * 2)

    def _check_deadline(self) -> None:
        if time.monotonic() > self._ends_at:
            raise ServingError(
                Reason.FETCH_DEADLINE_EXCEEDED,
                f"the model was not fetched within {self._registry.deadline_seconds:g} s",
            )

    @contextmanager
    def _answer(self, path: str) -> Iterator[http.client.HTTPResponse]:
        connection = self._connected()
        connection.request("GET", self._url.path.rstrip("/") + path, headers=self._headers)
        response = connection.getresponse()
        if response.status != http.HTTPStatus.OK:
            body = response.read(_ANSWER_BYTES)
            raise self._refusal(path.partition("?")[0], response.status, body)
        yield response

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            host = str(self._url.hostname)
            if self._url.scheme == "https":
                context = ssl.create_default_context(cafile=self._registry.certificates)
                self._connection = http.client.HTTPSConnection(
                    host, self._url.port, timeout=_SOCKET_TIMEOUT_SECONDS, context=context
                )
            else:
                self._connection = http.client.HTTPConnection(host, self._url.port, timeout=_SOCKET_TIMEOUT_SECONDS)
        return self._connection

    def _refusal(self, path: str, status: int, body: bytes) -> Exception:
        if status == http.HTTPStatus.FORBIDDEN and body.startswith(b"Invalid Host header"):
            return ServingError(
                Reason.REGISTRY_HOST_REFUSED,
                f"the registry refuses the Host header '{self._url.netloc}': add it, with its port, to "
                "--allowed-hosts (MLFLOW_SERVER_ALLOWED_HOSTS) of mlflow server",
            )
        if status in {http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN}:
            return ServingError(Reason.REGISTRY_UNAUTHORISED, f"the registry answered {status} to GET {path}")
        if status == http.HTTPStatus.NOT_FOUND:
            return ServingError(Reason.MODEL_NOT_FOUND, f"the registry does not have it: 404 to GET {path}")
        failure = ServingError(Reason.REGISTRY_ERROR, f"the registry answered {status} to GET {path}")
        if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR or status == http.HTTPStatus.TOO_MANY_REQUESTS:
            return _Retry(failure)
        return failure


def _rewind(target: BinaryIO) -> None:
    target.seek(0)
    target.truncate()


def _write(target: BinaryIO, chunk: bytes) -> None:
    """A full disk is not a broken connection: it is told apart here, where both are OSError."""
    try:
        target.write(chunk)
    except OSError as error:
        raise ServingError(Reason.STORAGE_FAILED, f"cannot write the model: {error.strerror}") from error


def _authorization(registry: Registry) -> dict[str, str]:
    if registry.token:
        return {"Authorization": f"Bearer {registry.token}"}
    if registry.username:
        pair = f"{registry.username}:{registry.password}".encode()
        return {"Authorization": "Basic " + base64.b64encode(pair).decode()}
    return {}


def _size(file: dict[str, Any]) -> int | None:
    size = file.get("file_size")
    return None if size is None else int(size)
