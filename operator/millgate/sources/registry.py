"""MLflow registries: which version an alias or a number means, and where it comes from.

MLflow's client costs two seconds and 80 MB to import (facts/serving.md, section 4), so it is imported on first use, and
in a thread: it is synchronous.
"""

import asyncio
import math
import os
import re
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from millgate.api.conditions import Reason
from millgate.api.revision import ModelIdentity
from millgate.api.spec import Model, ModelSource

MAX_CONCURRENT_CALLS = 4
GIT_COMMIT_TAG = "mlflow.source.git.commit"
READY = "READY"
# What of the deadline must be left for the lineage to be asked for: it is good to know, the version is needed.
LINEAGE_SECONDS = 1.0


class RegistryError(Exception):
    """The registry could not say which model is meant.

    `permanent`: asking again gives the same answer until a person acts, on the registry or on the spec.
    """

    def __init__(self, reason: Reason, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.permanent = permanent


class MlflowRegistry:
    """One MLflow registry, with a deadline of its own for each question and threads of its own.

    Credentials come from MLflow's own environment variables (MLFLOW_TRACKING_USERNAME, …_TOKEN and so on).
    """

    def __init__(self, uri: str, *, timeout_seconds: float = 10.0) -> None:
        self._uri = uri.rstrip("/")
        self._timeout_seconds = timeout_seconds
        self._threads = ThreadPoolExecutor(MAX_CONCURRENT_CALLS, thread_name_prefix="mlflow")

    async def resolve(self, model: Model) -> ModelIdentity:
        """What `model.version` or `model.alias` means now. Raises RegistryError."""
        loop = asyncio.get_running_loop()
        if "mlflow" not in sys.modules:
            # It is done once and takes seconds on a busy machine, which is no fault of the registry.
            await asyncio.to_thread(_mlflow, self._timeout_seconds)
        try:
            return await asyncio.wait_for(
                loop.run_in_executor(self._threads, self._resolve, model), self._timeout_seconds
            )
        except TimeoutError as error:
            message = f"{_scrubbed(self._uri)} did not answer within {self._timeout_seconds:g} s"
            raise RegistryError(Reason.REGISTRY_UNREACHABLE, message) from error

    def close(self) -> None:
        """Give up the threads. A call that is under way ends by its deadline."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _resolve(self, model: Model) -> ModelIdentity:
        deadline = time.monotonic() + self._timeout_seconds
        client = _mlflow(self._timeout_seconds).MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
        with self._classified(model):
            found = (
                client.get_model_version_by_alias(model.name, model.alias)
                if model.alias is not None
                else client.get_model_version(model.name, model.version)
            )
        if found.status != READY:
            message = (
                f"version {found.version} of {model.name} is {found.status}: {found.status_message or 'not ready'}"
            )
            raise RegistryError(Reason.MODEL_NOT_READY, message)
        commit, digest = self._lineage(client, found, deadline)
        return ModelIdentity(
            source=ModelSource.MLFLOW,
            registry=model.registry,
            name=model.name,
            version=str(found.version),
            source_uri=found.source,
            # Not `model_id`: some servers give it and some do not, and an upgrade must not make every model a new one.
            source_id=f"{found.source}@{found.creation_timestamp}",
            run_id=found.run_id or None,
            git_commit=commit,
            dataset_digest=digest,
        )

    def _lineage(self, client: Any, found: Any, deadline: float) -> tuple[str | None, str | None]:
        """Git commit and dataset digest, where the run has them and there is time left. Never a reason to fail."""
        if not found.run_id or deadline - time.monotonic() < LINEAGE_SECONDS:
            return None, None
        try:
            run = client.get_run(found.run_id)
        except Exception:  # noqa: BLE001 - a deleted run, no permission for it, a slow server: all the same here
            return None, None
        datasets = run.inputs.dataset_inputs if run.inputs else []
        return run.data.tags.get(GIT_COMMIT_TAG), next((one.dataset.digest for one in datasets), None)

    @contextmanager
    def _classified(self, model: Model) -> Iterator[None]:
        """MLflow's errors as RegistryError, without the credentials that an address may hold."""
        from mlflow.exceptions import MlflowException, RestException  # noqa: PLC0415 - see the module's docstring

        try:
            yield
        except RestException as error:
            raise self._answer(model, error) from None
        except MlflowException as error:
            raise self._failure(error) from None
        except Exception as error:  # noqa: BLE001 - whatever a client of this size may raise, a person must read it
            message = f"{_scrubbed(self._uri)}: {type(error).__name__}: {_scrubbed(str(error))[:300]}"
            raise RegistryError(Reason.REGISTRY_ERROR, message) from None

    def _answer(self, model: Model, error: Any) -> RegistryError:
        """The server understood the question and answered with an error of its own."""
        said = _scrubbed(error.message)[:300]
        if model.alias is not None and "alias" in said.lower() and "not found" in said.lower():
            # MLflow says 400 here although nothing is wrong with the question (facts/serving.md, section 4).
            message = f"the registry has no alias {model.alias} of {model.name}"
            return RegistryError(Reason.ALIAS_NOT_FOUND, message, permanent=True)
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"):
            what = f"version {model.version} of {model.name}" if model.version else f"a model {model.name}"
            return RegistryError(Reason.MODEL_NOT_FOUND, f"the registry has no {what}: {said}", permanent=True)
        if error.error_code in ("PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"):
            return RegistryError(Reason.REGISTRY_UNAUTHORISED, f"{_scrubbed(self._uri)}: {said}")
        return RegistryError(Reason.REGISTRY_ERROR, f"{_scrubbed(self._uri)}: {error.error_code}: {said}")

    def _failure(self, error: Any) -> RegistryError:
        """No answer of MLflow itself: a proxy's, the Host check's, or none at all."""
        said = _scrubbed(str(error.message))
        uri = _scrubbed(self._uri)
        status = re.search(r"failed with error code (\d+)|too many (\d+) error responses", said)
        if status is None and re.search(r"failed with (timeout )?exception", said):
            return RegistryError(Reason.REGISTRY_UNREACHABLE, f"{uri} cannot be reached: {_cause(said)}")
        code = (status[1] or status[2]) if status else ""
        if code == "403" and "host" in said.lower():
            message = f"{uri} refuses the Host header of this address: add it, with the port, to its --allowed-hosts"
            return RegistryError(Reason.REGISTRY_HOST_REFUSED, message)
        if code in ("401", "403"):
            message = f"{uri} wants other credentials than the operator has (HTTP {code})"
            return RegistryError(Reason.REGISTRY_UNAUTHORISED, message)
        if code in ("408", "429", "502", "503", "504"):
            return RegistryError(Reason.REGISTRY_UNREACHABLE, f"{uri} answered HTTP {code}")
        if code:
            return RegistryError(Reason.REGISTRY_ERROR, f"{uri} answered HTTP {code}")
        return RegistryError(Reason.REGISTRY_ERROR, f"{uri}: {said[:300]}")


def _mlflow(timeout_seconds: float) -> Any:
    """MLflow, imported with its own retries, telemetry and long time-outs turned off.

    It takes these settings from the environment of the process only. With several registries the longest time-out
    holds; the deadline of each stands beside it.
    """
    known = int(os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT", "0"))
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(max(known, math.ceil(timeout_seconds)))
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_ENABLE_ASYNC_LOGGING"] = "false"
    import mlflow  # noqa: PLC0415 - see the module's docstring

    return mlflow


def _cause(said: str) -> str:
    """The fact inside of MLflow's chain of wrapped errors."""
    phrases = {
        "timed out": "it does not answer",
        "timeout": "it does not answer",
        "name or service not known": "its name cannot be resolved",
        "name resolution": "its name cannot be resolved",
        "no address associated": "its name cannot be resolved",
        "connection refused": "connection refused",
        "certificate": "its certificate is not trusted",
    }
    return next((meaning for phrase, meaning in phrases.items() if phrase in said.lower()), said[:200])


def _scrubbed(text: str) -> str:
    """Text without the user and password of any address in it."""
    return re.sub(r"//[^/\s@]+@", "//***@", text)
