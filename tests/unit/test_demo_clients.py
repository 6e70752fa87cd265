"""The demo's clients: half of the requests on kept connections, and every one of them on record."""

import asyncio
import time

from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from e2e.demo.clients import FRESH, KEPT, LARGEST_PAGE, Clients, Row, Samples, Settings, timetable
from e2e.demo.story import answers

ROWS = (Row(b'{"rows":[[1]]}', 1), Row(b'{"rows":[[2]]}', 2))


def chosen(url):
    return Settings(url, None, requests_per_second=200, kept_connections=2, port=0, timeout_seconds=2)


class Awaited(Samples):
    """Tells when there are enough."""

    def __init__(self, enough):
        super().__init__()
        self._left = enough
        self.enough = asyncio.Event()

    def add(self, answer):
        super().add(answer)
        self._left -= 1
        if self._left <= 0:
            self.enough.set()


async def recorded(url, at_least):
    samples = Awaited(at_least)
    clients = asyncio.create_task(Clients(chosen(url), ROWS, samples).run())
    await asyncio.wait_for(samples.enough.wait(), timeout=20)
    clients.cancel()
    return samples


async def served(handler):
    application = web.Application()
    application.router.add_post("/predict", handler)
    server = TestServer(application)
    await server.start_server()
    return server


async def test_half_of_the_requests_share_few_connections_and_the_others_open_their_own():
    peers = {KEPT: set(), FRESH: set()}

    async def handler(request):
        kind = FRESH if request.headers.get("Connection") == "close" else KEPT
        peers[kind].add(request.transport.get_extra_info("peername"))
        body = await request.json()
        return web.json_response({"predictions": [body["rows"][0][0]], "version": "5"})

    server = await served(handler)
    samples = await recorded(str(server.make_url("/predict")), 60)
    answers = samples.page(0)["answers"]
    await server.close()
    kinds = [answer[4] for answer in answers]
    assert len(peers[KEPT]) == 2
    assert len(peers[FRESH]) >= kinds.count(FRESH) > 10
    assert abs(kinds.count(KEPT) - kinds.count(FRESH)) < 10
    assert {answer[2:4] for answer in answers} == {(200, "5")}
    assert all(answer[6] for answer in answers)


async def test_a_failure_keeps_its_code_and_its_sentence():
    async def handler(_request):
        return web.json_response({"error": "the model failed to answer"}, status=500)

    server = await served(handler)
    samples = await recorded(str(server.make_url("/predict")), 4)
    await server.close()
    code, version, *_, error = samples.page(0)["answers"][0][2:]
    assert (code, version, error) == (500, None, "the model failed to answer")
    assert 'demo_client_answers_total{code="500",version="",connection="kept"}' in samples.exposition()


async def test_a_request_without_an_answer_is_on_record_too():
    samples = await recorded(f"http://127.0.0.1:{unused_port()}/predict", 4)
    answer = samples.page(0)["answers"][0]
    assert answer[2] == 0
    assert "Connect" in answer[7]


class BusyClients:
    """Answers for the clients' pod, and has one more each time: clients go on asking."""

    def __init__(self, samples):
        self._samples = samples

    def raw(self, path):
        page = self._samples.page(int(path.rpartition("=")[2]))
        self._samples.add((0.0, 0.0, 200, "1", KEPT, -1, True, None))
        return page


def test_a_reader_gets_each_answer_once_and_comes_to_an_end_while_clients_go_on():
    samples = Samples()
    for number in range(LARGEST_PAGE + 5):
        samples.add((0.0, 0.0, 200, "1", KEPT, number, True, None))
    read = answers(BusyClients(samples), after=3)
    assert [answer.row for answer in read] == [*range(3, LARGEST_PAGE + 5), -1]


async def test_a_client_that_was_held_up_does_not_make_up_for_it():
    ticks = timetable(0.05, 0.0)
    await anext(ticks)
    await asyncio.sleep(0.5)
    begun = time.monotonic()
    for _ in range(5):
        await anext(ticks)
    await ticks.aclose()
    # The first comes at once, the others where the timetable has them; ten made up for would take no time
    assert time.monotonic() - begun > 0.1
