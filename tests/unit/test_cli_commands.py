"""The command line itself: help, usage errors, waiting through outages, and what a script reads from exit codes."""

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import cli_objects as objects
import pytest
import yaml

from millgate.api.request import RequestAction, parse_request
from millgate.cli import commands
from millgate.cli.main import cli, run
from millgate.kube.api import KubeError, NotFound

UNREACHABLE = KubeError(0, "Unreachable", "no answer in time")


class Server:
    """An API server that answers reads with what it was given, in order, the last one for ever; faults included."""

    def __init__(self, *answers: dict[str, Any] | KubeError | None) -> None:
        self.answers = list(answers)
        self.patches: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self.namespace = "risk"

    async def get(self, _kind: Any, _namespace: str, _name: str) -> dict[str, Any] | None:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, KubeError):
            raise answer
        return self._answering(answer)

    async def list(self, _kind: Any, namespace: str | None) -> list[dict[str, Any]]:
        del namespace
        if isinstance(self.answers[0], KubeError):
            raise self.answers[0]
        return [answer for answer in self.answers if isinstance(answer, dict)]

    async def patch(self, _kind: Any, _namespace: str, _name: str, patch: Any, **options: Any) -> dict[str, Any]:
        self.patches.append((patch, options))
        return objects.stepping()

    @property
    def request(self) -> str:
        (patch, _) = self.patches[-1]
        return str(patch["metadata"]["annotations"]["millgate.dev/request"])

    def _answering(self, obj: dict[str, Any] | None) -> dict[str, Any] | None:
        """A `lastRequest` of the answers gets the id that was really asked with."""
        if obj is None or "lastRequest" not in obj["status"] or not self.patches:
            return obj
        last = {**obj["status"]["lastRequest"], "id": parse_request(self.request).id}
        return {**obj, "status": {**obj["status"], "lastRequest": last}}


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Server]:
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setattr(commands, "_EAGER_POLL_SECONDS", 0.001)

    def with_answers(*answers: Any) -> Server:
        server = Server(*answers)

        @asynccontextmanager
        async def connection(_options: Any) -> Any:
            yield server, server.namespace

        monkeypatch.setattr(commands, "connection", connection)
        return server

    return with_answers


def applied(obj: dict[str, Any], message: str = "done") -> dict[str, Any]:
    last = {"id": "x", "action": "any", "result": "Applied", "message": message, "time": objects.at(0)}
    return {**obj, "status": {**obj["status"], "lastRequest": last}}


@pytest.mark.parametrize("name", sorted(set(cli.commands) - {"simulate"}))
def test_every_command_that_asks_a_cluster_has_help_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: kubectl millgate {name} ")
    assert f"  kubectl millgate {name} fraud -n risk" in text
    for option in ("--namespace", "--context", "--kubeconfig", "--as", "--output", "--no-color"):
        assert option in text


@pytest.mark.parametrize(
    "line",
    [
        ["frobnicate"],
        ["abort"],
        ["get", "fraud", "-A"],
        ["get", "-o", "xml"],
        ["abort", "fraud", "--timeout", "soon"],
    ],
)
def test_a_usage_error_is_error_1_on_stderr(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(line) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "kubectl millgate" in captured.err


def test_help_does_not_load_the_kubernetes_client() -> None:
    code = (
        "import sys\nfrom millgate.cli.main import run\nrun(['abort', '--help'])\n"
        "sys.exit(any(name.split('.')[0] in {'kubernetes', 'aiohttp', 'pydantic'} for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0


def test_a_command_loads_no_more_of_the_kubernetes_client_than_it_needs() -> None:
    """Half of a command's start would go into parts that it does not use."""
    code = (
        "import sys\nfrom millgate.kube.light import load_less\nload_less()\nimport millgate.cli.commands\n"
        "print(*sorted(name for name in sys.modules if name.startswith('kubernetes')))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert {"kubernetes.aio.client.rest", "kubernetes.aio.config.kube_config"} <= loaded
    assert not loaded & {"kubernetes.client", "kubernetes.dynamic", "kubernetes.stream", "kubernetes.aio.dynamic"}


def test_a_request_is_one_annotation_under_a_manager_that_flux_leaves_alone(serve: Callable[..., Server]) -> None:
    server = serve(objects.stepping(), applied(objects.stepping()))
    assert run(["pause", "fraud"]) == 0
    ((patch, options),) = server.patches
    assert list(patch) == ["metadata"]
    assert options == {"manager": "millgate-cli", "dry_run": False}
    assert not options["manager"].startswith("kubectl")


def test_two_requests_never_have_the_same_id(serve: Callable[..., Server]) -> None:
    ids = set()
    for _ in range(2):
        server = serve(objects.stepping(), applied(objects.stepping()))
        run(["abort", "fraud", "--timeout", "0"])
        ids.add(parse_request(server.request).id)
    assert len(ids) == 2


def test_it_waits_through_an_api_server_that_is_away(
    serve: Callable[..., Server], capsys: pytest.CaptureFixture[str]
) -> None:
    serve(objects.stepping(), UNREACHABLE, UNREACHABLE, objects.stepping(), applied(objects.rolled_back()))
    assert run(["abort", "fraud"]) == 0
    assert "aborted: 100% on v7 after" in capsys.readouterr().out


def test_an_answer_that_does_not_come_ends_with_6_and_the_request_stands(
    serve: Callable[..., Server], capsys: pytest.CaptureFixture[str]
) -> None:
    serve(objects.stepping())
    assert run(["abort", "fraud", "--timeout", "0.05"]) == 6
    assert "still waiting for the operator to answer; the request (id " in capsys.readouterr().err


def test_timeout_0_asks_and_does_not_wait(serve: Callable[..., Server], capsys: pytest.CaptureFixture[str]) -> None:
    server = serve(objects.stepping())
    assert run(["abort", "fraud", "--timeout", "0"]) == 0
    assert parse_request(server.request).id in capsys.readouterr().out


def test_a_refusal_of_the_operator_ends_with_4(serve: Callable[..., Server]) -> None:
    refused = applied(objects.idle())
    refused["status"]["lastRequest"]["result"] = "Refused"
    serve(objects.idle(), refused)
    assert run(["abort", "fraud"]) == 4


def test_nothing_to_do_ends_with_3_and_writes_nothing(serve: Callable[..., Server]) -> None:
    server = serve(objects.paused())
    assert run(["pause", "fraud"]) == 3
    assert server.patches == []


def test_a_dry_run_stores_nothing(serve: Callable[..., Server], capsys: pytest.CaptureFixture[str]) -> None:
    server = serve(objects.stepping())
    assert run(["abort", "fraud", "--dry-run"]) == 0
    assert server.patches[0][1]["dry_run"] is True
    assert capsys.readouterr().out == "modeldeployment.millgate.dev/fraud abort requested (server dry run)\n"


def test_ctrl_c_says_that_the_request_stands(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(objects.stepping())

    def interrupt(_self: Any, _text: str, _elapsed: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands.Ticker, "tick", interrupt)
    assert run(["abort", "fraud"]) == 130
    assert len(server.patches) == 1
    assert "a request that was sent stands" in capsys.readouterr().err


@pytest.mark.parametrize("verb", [["get"], ["history"], ["abort"]])
def test_what_does_not_exist_is_error_1(
    verb: list[str], serve: Callable[..., Server], capsys: pytest.CaptureFixture[str]
) -> None:
    serve(None)
    assert run([*verb, "nobody"]) == 1
    assert capsys.readouterr().err == 'error: ModelDeployment "nobody" not found in namespace risk\n'


def test_a_refused_read_is_told_in_the_server_s_words(
    serve: Callable[..., Server], capsys: pytest.CaptureFixture[str]
) -> None:
    serve(KubeError(403, "Forbidden", "GET …: 403 bob may not get modeldeployments"))
    assert run(["get", "fraud"]) == 1
    assert "bob may not get" in capsys.readouterr().err


def test_a_cluster_without_millgate_is_told_apart_from_an_empty_one(
    serve: Callable[..., Server], capsys: pytest.CaptureFixture[str]
) -> None:
    serve(NotFound(404, "NotJson", "the answer is not JSON"))
    assert run(["get", "-A"]) == 1
    assert "is Millgate's CRD installed there?" in capsys.readouterr().err


def test_an_empty_namespace_is_no_error(serve: Callable[..., Server], capsys: pytest.CaptureFixture[str]) -> None:
    serve(None)
    assert run(["get"]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "No ModelDeployments found in risk namespace.\n")


def test_machines_get_json_and_yaml_without_field_managers(
    serve: Callable[..., Server], capsys: pytest.CaptureFixture[str]
) -> None:
    serve(objects.stepping())
    assert run(["get", "fraud", "-o", "json"]) == 0
    one = json.loads(capsys.readouterr().out)
    assert run(["get", "-o", "yaml"]) == 0
    many = yaml.safe_load(capsys.readouterr().out)
    assert one == many["items"][0]
    assert "managedFields" not in one["metadata"]
    assert one["status"] == objects.stepping()["status"]


@pytest.mark.parametrize(
    ("line", "out"),
    [
        (["get", "fraud", "-o", "name"], "modeldeployment.millgate.dev/fraud\n"),
        (["history", "fraud", "-o", "name"], "7\n6\n"),
        (["pause", "fraud", "-o", "name"], "modeldeployment.millgate.dev/fraud\n"),
    ],
)
def test_scripts_get_names(
    line: list[str], out: str, serve: Callable[..., Server], capsys: pytest.CaptureFixture[str]
) -> None:
    serve(applied(objects.stepping()))
    assert run(line) == 0
    assert capsys.readouterr().out == out


def test_a_wide_row_ends_with_the_message(serve: Callable[..., Server], capsys: pytest.CaptureFixture[str]) -> None:
    serve(objects.stepping())
    assert run(["get", "fraud", "-o", "wide"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.endswith("AGE  MESSAGE")
    assert row.endswith("rollout fraud-8-r000000008: step canary-25")


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("5m", 300), ("1h30m", 5400), ("90", 90), ("1.5s", 1.5), ("0", 0)]
)
def test_durations_are_read_as_kubectl_reads_them(text: str, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(commands, "ask", lambda *_args, timeout_seconds, **_rest: seen.append(timeout_seconds) or 0)
    assert run(["abort", "fraud", "--timeout", text]) == 0
    assert seen == [seconds]


def test_the_verbs_are_the_actions_of_the_api() -> None:
    assert {action.value.lower() for action in RequestAction} <= set(cli.commands)


def test_a_closed_pipe_is_no_error() -> None:
    code = "from millgate.cli.main import run\nimport sys\nsys.exit(run(['--help']))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
