"""Which model is meant: asked of a real MLflow server, and of a faulty one for what a real one does not show."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput

from millgate.api.conditions import Reason
from millgate.api.spec import Model
from millgate.sources.registry import MlflowRegistry, RegistryError
from tests.controlplane.faulty_server import Faulty
from tests.controlplane.prometheus_process import free_port

READY_SECONDS = 240.0


@dataclass(frozen=True)
class Registered:
    """A server with model 'fraud': version 1 of a run with lineage, version 2 without, alias 'champion' on 1."""

    uri: str
    run_id: str
    model_id: str
    process: subprocess.Popen[bytes]


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registered]:
    folder = tmp_path_factory.mktemp("mlflow")
    port = free_port()
    with folder.joinpath("log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server", "--workers=1", "--host=127.0.0.1", f"--port={port}"),
                f"--backend-store-uri=sqlite:///{folder}/mlflow.db",
                f"--default-artifact-root={folder}/artifacts",
            ],
            cwd=folder,
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}", process, folder / "log")
        yield Registered(f"http://127.0.0.1:{port}", *register(f"http://127.0.0.1:{port}"), process)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def wait_until_healthy(uri: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=1) as answer:
                if answer.status == 200:
                    return
        except OSError:
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, "MLflow is not ready"
            time.sleep(0.2)


def register(uri: str) -> tuple[str, str]:
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    experiment = client.create_experiment("training")
    run = client.create_run(experiment)
    logged = client.create_logged_model(experiment, source_run_id=run.info.run_id)
    client.set_tag(run.info.run_id, "mlflow.source.git.commit", "0123abcd")
    dataset = Dataset(name="rows", digest="d1g35t", source_type="local", source="rows.parquet")
    client.log_inputs(run.info.run_id, [DatasetInput(dataset=dataset)])
    client.create_registered_model("fraud")
    source = f"models:/{logged.model_id}"
    client.create_model_version("fraud", source, run_id=run.info.run_id, model_id=logged.model_id)
    client.create_model_version("fraud", "s3://bucket/fraud/2")
    client.set_registered_model_alias("fraud", "champion", "1")
    return str(run.info.run_id), str(logged.model_id)


def model(**more: Any) -> Model:
    return Model(name="fraud", **more)


async def refused(registry: MlflowRegistry, asked: Model) -> RegistryError:
    with pytest.raises(RegistryError) as error:
        await registry.resolve(asked)
    registry.close()
    return error.value


@pytest.fixture
def registry(registered: Registered) -> Iterator[MlflowRegistry]:
    asked = MlflowRegistry(registered.uri, timeout_seconds=20)
    yield asked
    asked.close()


@pytest.mark.parametrize("by", [{"version": "1"}, {"alias": "champion"}], ids=["by version", "by alias"])
async def test_a_version_is_found_with_where_it_comes_from(
    registered: Registered, registry: MlflowRegistry, by: dict[str, str]
) -> None:
    found = await registry.resolve(model(**by))
    assert (found.name, found.version, found.registry) == ("fraud", "1", "default")
    assert found.source_uri == f"models:/{registered.model_id}"
    assert found.source_id is not None
    assert found.source_id.startswith(f"models:/{registered.model_id}@")
    assert found.run_id == registered.run_id
    assert (found.git_commit, found.dataset_digest) == ("0123abcd", "d1g35t")


async def test_a_version_without_a_run_has_no_lineage_and_is_found_all_the_same(registry: MlflowRegistry) -> None:
    found = await registry.resolve(model(version="2"))
    assert (found.version, found.run_id, found.git_commit, found.dataset_digest) == ("2", None, None, None)


async def test_an_alias_is_followed_when_it_moves(registered: Registered, registry: MlflowRegistry) -> None:
    client = MlflowClient(tracking_uri=registered.uri, registry_uri=registered.uri)
    client.set_registered_model_alias("fraud", "challenger", "1")
    first = await registry.resolve(model(alias="challenger"))
    client.set_registered_model_alias("fraud", "challenger", "2")
    second = await registry.resolve(model(alias="challenger"))
    assert (first.version, second.version) == ("1", "2")


async def test_a_version_that_was_deleted_and_made_anew_is_another_one(
    registered: Registered, registry: MlflowRegistry
) -> None:
    client = MlflowClient(tracking_uri=registered.uri, registry_uri=registered.uri)
    client.create_registered_model("churn")
    client.create_model_version("churn", "s3://bucket/churn")
    before = await registry.resolve(Model(name="churn", version="1"))
    again = await registry.resolve(Model(name="churn", version="1"))
    client.delete_registered_model("churn")
    client.create_registered_model("churn")
    client.create_model_version("churn", "s3://bucket/churn")
    after = await registry.resolve(Model(name="churn", version="1"))
    assert before == again
    assert before.version == after.version == "1"
    assert before.source_id != after.source_id


@pytest.mark.parametrize(
    ("asked", "reason", "words"),
    [
        (Model(name="fraud", version="99"), "ModelNotFound", "no version 99 of fraud"),
        (Model(name="unheard-of", version="1"), "ModelNotFound", "no version 1 of unheard-of"),
        (Model(name="unheard-of", alias="champion"), "ModelNotFound", "unheard-of"),
        (Model(name="fraud", alias="nobody"), "AliasNotFound", "no alias nobody of fraud"),
    ],
)
async def test_what_the_registry_does_not_have_needs_a_person(
    registered: Registered, asked: Model, reason: str, words: str
) -> None:
    error = await refused(MlflowRegistry(registered.uri, timeout_seconds=20), asked)
    assert error.reason == reason
    assert error.permanent
    assert words in error.message


async def test_a_registry_that_refuses_the_host_header_is_named_as_such(
    registered: Registered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's default: 403 to any name but localhost, such as the one of a Service."""
    resolve = socket.getaddrinfo

    def as_in_a_cluster(host: str, *more: Any, **named: Any) -> Any:
        return resolve("127.0.0.1" if host == "mlflow.models.svc" else host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", as_in_a_cluster)
    port = registered.uri.rpartition(":")[2]
    error = await refused(MlflowRegistry(f"http://mlflow.models.svc:{port}", timeout_seconds=20), model(version="1"))
    assert error.reason is Reason.REGISTRY_HOST_REFUSED
    assert not error.permanent
    assert "--allowed-hosts" in error.message


async def test_a_registry_that_is_not_there_is_unreachable_at_once_and_names_no_password() -> None:
    start = time.monotonic()
    unreachable = MlflowRegistry(f"http://user:hunter2@127.0.0.1:{free_port()}", timeout_seconds=20)
    error = await refused(unreachable, model(version="1"))
    assert time.monotonic() - start < 5
    assert error.reason is Reason.REGISTRY_UNREACHABLE
    assert "connection refused" in error.message
    assert "hunter2" not in error.message
    assert not error.permanent


async def test_a_registry_that_hangs_costs_its_deadline_and_is_found_again(registered: Registered) -> None:
    registry = MlflowRegistry(registered.uri, timeout_seconds=1)
    os.killpg(registered.process.pid, signal.SIGSTOP)
    try:
        start = time.monotonic()
        error = await refused(registry, model(version="1"))
        assert time.monotonic() - start < 4
    finally:
        os.killpg(registered.process.pid, signal.SIGCONT)
    assert error.reason is Reason.REGISTRY_UNREACHABLE
    again = MlflowRegistry(registered.uri, timeout_seconds=20)
    assert (await again.resolve(model(version="1"))).version == "1"
    again.close()


async def test_registries_are_asked_side_by_side_without_sharing_an_address(registered: Registered) -> None:
    here, nowhere = MlflowRegistry(registered.uri, timeout_seconds=20), MlflowRegistry("http://127.0.0.1:1")
    answers = await asyncio.gather(
        *(one.resolve(model(version=version)) for version in ("1", "2") for one in (here, nowhere)),
        return_exceptions=True,
    )
    assert [getattr(answer, "version", type(answer).__name__) for answer in answers] == [
        "1",
        "RegistryError",
        "2",
        "RegistryError",
    ]
    for one in (here, nowhere):
        one.close()


PENDING = {"model_version": {"name": "fraud", "version": "1", "status": "PENDING_REGISTRATION", "source": "s3://x"}}
DENIED = {"error_code": "PERMISSION_DENIED", "message": "Permission denied"}


@pytest.mark.parametrize(
    ("status", "body", "reason", "words"),
    [
        (200, json.dumps(PENDING).encode(), "ModelNotReady", "PENDING_REGISTRATION"),
        (401, b"You are not authenticated.", "RegistryUnauthorised", "HTTP 401"),
        (403, b"no", "RegistryUnauthorised", "HTTP 403"),
        (403, json.dumps(DENIED).encode(), "RegistryUnauthorised", "Permission denied"),
        (503, b"starting", "RegistryUnreachable", "HTTP 503"),
        (500, b"oops", "RegistryError", "500"),
        (200, b"<html>sign in</html>", "RegistryError", "JSON"),
    ],
)
async def test_each_kind_of_bad_answer_has_its_reason_and_is_not_asked_for_again(
    status: int, body: bytes, reason: str, words: str
) -> None:
    server = Faulty(status, body)
    error = await refused(MlflowRegistry(server.url, timeout_seconds=20), model(version="1"))
    server.close()
    assert error.reason == reason
    assert words in error.message
    assert not error.permanent
    assert len(server.requests) == 1
