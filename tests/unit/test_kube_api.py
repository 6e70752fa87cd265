"""The API client against a server that misbehaves as real ones do."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web

from millgate import __version__
from millgate.kube.api import DEPLOYMENT, MODEL_DEPLOYMENT, POD, SERVICE, Call, Conflict, KubeApi, KubeError, NotFound

OBJECT = {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "risk", "name": "fraud"}}


class Server:
    """Answers with what the test says, and remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[tuple[web.Request, str]] = []
        self.answers: list[Callable[[], web.StreamResponse]] = []
        self.hang = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request, await request.text()))
        if self.hang:
            await asyncio.sleep(30)
        return self.answers.pop(0)() if self.answers else web.json_response(OBJECT)

    def will_say(self, status: int, body: object = None, **headers: str) -> None:
        self.answers.append(lambda: web.json_response(body or {}, status=status, headers=headers))


def kubeconfig(path: Path, port: int) -> Path:
    path.write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
                "users": [{"name": "u", "user": {"token": "s3cret"}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )
    return path


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    """The server that KUBECONFIG names."""
    served = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", served.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "kubeconfig", runner.addresses[0][1])))
    yield served
    await runner.cleanup()


@pytest.fixture
async def api(server: Server) -> AsyncIterator[KubeApi]:
    assert not server.requests
    async with await KubeApi.connect(timeout_seconds=2.0) as connected:
        yield connected


@pytest.mark.parametrize(
    ("kind", "namespace", "name", "subresource", "path"),
    [
        (POD, "risk", "a", "", "/api/v1/namespaces/risk/pods/a"),
        (POD, None, "", "", "/api/v1/pods"),
        (DEPLOYMENT, "risk", "", "", "/apis/apps/v1/namespaces/risk/deployments"),
        (
            MODEL_DEPLOYMENT,
            "risk",
            "a",
            "status",
            "/apis/millgate.dev/v1alpha1/namespaces/risk/modeldeployments/a/status",
        ),
        (POD, "a/b", "../x", "", "/api/v1/namespaces/a%2Fb/pods/..%2Fx"),
    ],
)
def test_a_name_never_leaves_its_place_in_the_path(kind, namespace, name, subresource, path):
    assert kind.path(namespace, name, subresource) == path


async def test_every_request_says_who_asks(api, server):
    await api.get(SERVICE, "risk", "fraud")
    request, _ = server.requests[0]
    assert request.headers["User-Agent"] == f"millgate/{__version__}"
    assert request.headers["Authorization"] == "Bearer s3cret"


async def test_an_apply_is_forced_under_our_name_and_conditional_on_the_version_it_carries(api, server):
    await api.apply(
        SERVICE, OBJECT | {"metadata": {**OBJECT["metadata"], "resourceVersion": "7"}}, subresource="status"
    )
    request, body = server.requests[0]
    assert (request.method, request.path) == ("PATCH", "/api/v1/namespaces/risk/services/fraud/status")
    assert dict(request.query) == {"fieldManager": "millgate", "force": "true"}
    assert request.content_type == "application/apply-patch+yaml"
    assert json.loads(body)["metadata"]["resourceVersion"] == "7"


async def test_what_is_absent_is_none_and_deleting_it_is_fine(api, server):
    server.will_say(404, {"reason": "NotFound"})
    assert await api.get(SERVICE, "risk", "fraud") is None
    server.will_say(404, {"reason": "NotFound"})
    await api.delete(SERVICE, "risk", "fraud")


async def test_deleting_another_object_of_the_same_name_is_fine_because_the_one_that_was_meant_is_gone(api, server):
    server.will_say(409, {"reason": "Conflict", "message": "uid"})
    await api.delete(SERVICE, "risk", "fraud", uid="1")
    assert json.loads(server.requests[0][1])["preconditions"] == {"uid": "1"}
    server.will_say(409, {"reason": "Conflict"})
    with pytest.raises(Conflict):
        await api.delete(SERVICE, "risk", "fraud")


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (404, {"reason": "NotFound", "message": "no kind"}, NotFound),
        (409, {"reason": "AlreadyExists"}, Conflict),
        (422, {"reason": "Invalid", "message": "spec.x: bad"}, KubeError),
        (403, {"reason": "Forbidden"}, KubeError),
        (500, {}, KubeError),
    ],
)
async def test_a_refusal_is_an_error_with_the_servers_own_reason(api, server, status, body, error):
    server.will_say(status, body)
    with pytest.raises(error) as caught:
        await api.create(SERVICE, OBJECT)
    assert (caught.value.status, caught.value.reason) == (status, body.get("reason", "Http500"))
    assert body.get("message", "") in str(caught.value)


async def test_a_login_page_in_between_is_told_as_such(api, server):
    server.answers.append(lambda: web.Response(text="<html>sign in</html>"))
    with pytest.raises(KubeError) as caught:
        await api.get(SERVICE, "risk", "fraud")
    assert caught.value.reason == "NotJson"


async def test_a_server_that_is_too_busy_is_asked_again_when_it_says(api, server):
    server.will_say(429, {"reason": "TooManyRequests"}, **{"Retry-After": "0"})
    server.will_say(429, {"reason": "TooManyRequests"}, **{"Retry-After": "0"})
    assert (await api.apply(SERVICE, OBJECT))["kind"] == "Service"
    assert len(server.requests) == 3


async def test_a_server_that_stays_busy_ends_the_request_by_its_deadline(server):
    async with await KubeApi.connect(timeout_seconds=0.2) as api:
        server.will_say(429, {}, **{"Retry-After": "60"})
        with pytest.raises(KubeError) as caught:
            await api.apply(SERVICE, OBJECT)
    assert (caught.value.status, caught.value.reason) == (0, "Unreachable")
    assert len(server.requests) == 1


async def test_a_server_that_hangs_ends_the_request_by_its_deadline(server):
    server.hang = True
    async with await KubeApi.connect(timeout_seconds=0.2) as api:
        with pytest.raises(KubeError) as caught:
            await api.get(SERVICE, "risk", "fraud")
    assert "no answer in time" in str(caught.value)


async def test_refused_credentials_are_read_again_once(api, server):
    server.will_say(401, {"reason": "Unauthorized"})
    assert await api.get(SERVICE, "risk", "fraud") is not None
    server.will_say(401, {"reason": "Unauthorized"})
    server.will_say(401, {"reason": "Unauthorized"})
    with pytest.raises(KubeError) as caught:
        await api.get(SERVICE, "risk", "fraud")
    assert caught.value.status == 401
    assert len(server.requests) == 4


async def test_a_server_that_is_away_is_an_error_like_any_other(tmp_path):
    async with await KubeApi.connect(kubeconfig=str(kubeconfig(tmp_path / "away", 1))) as api:
        with pytest.raises(KubeError) as caught:
            await api.list(POD)
    assert caught.value.reason == "Unreachable"


async def test_a_list_is_read_page_by_page_and_its_items_know_their_kind(api, server):
    server.will_say(200, {"metadata": {"continue": "more"}, "items": [{"metadata": {"name": "a"}}]})
    server.will_say(200, {"metadata": {}, "items": [{"metadata": {"name": "b"}}]})
    found = await api.list(POD, "risk", selector="millgate.dev/name=fraud")
    assert [(item["kind"], item["metadata"]["name"]) for item in found] == [("Pod", "a"), ("Pod", "b")]
    assert [request.query.get("continue") for request, _ in server.requests] == [None, "more"]
    assert all(request.query["labelSelector"] == "millgate.dev/name=fraud" for request, _ in server.requests)


async def test_who_may_not_write_any_more_reads_only(server):
    allowed = True
    async with await KubeApi.connect(may_write=lambda: allowed) as api:
        await api.apply(SERVICE, OBJECT)
        allowed = False
        await api.get(SERVICE, "risk", "fraud")
        for write in (api.apply(SERVICE, OBJECT), api.create(SERVICE, OBJECT), api.delete(SERVICE, "risk", "fraud")):
            with pytest.raises(KubeError) as caught:
                await write
            assert caught.value.reason == "NotLeading"
    assert [request.method for request, _ in server.requests] == ["PATCH", "GET"]


async def test_every_request_is_counted_also_one_without_an_answer(server):
    calls: list[Call] = []
    async with await KubeApi.connect(on_call=calls.append, timeout_seconds=0.2) as api:
        server.will_say(409, {"reason": "Conflict"})
        with pytest.raises(Conflict):
            await api.apply(SERVICE, OBJECT)
        server.hang = True
        with pytest.raises(KubeError):
            await api.list(POD)
    assert [(call.verb, call.kind, call.status) for call in calls] == [("apply", "Service", 409), ("list", "Pod", 0)]
