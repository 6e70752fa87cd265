"""The load of a latency check: as many requests as planned, timed from when they were due, whatever the server does."""

import asyncio
import time

import pytest

from millgate_serving.checks.open_loop import Block, Generator

BODY = b'{"rows":[{}]}'
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


def asked(answer, rate=200.0, seconds=0.5):
    """A block against a server that does with each request what `answer(number, writer)` does."""

    async def serve() -> Block:
        count = 0

        async def handle(reader, writer):
            nonlocal count
            try:
                while True:
                    await reader.readuntil(BODY)
                    count += 1
                    await answer(count, writer)
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        generator = Generator(server.sockets[0].getsockname()[1], [BODY])
        block = await generator.run(rate, seconds)
        generator.close()
        server.close()
        return block

    return asyncio.run(serve())


async def at_once(_number, writer):
    writer.write(OK)


def test_a_block_has_as_many_requests_as_planned():
    block = asked(at_once)
    assert (block.planned, len(block.latencies)) == (100, 100)
    assert (block.refused, block.unanswered, block.server_errors, block.client_errors) == (0, 0, 0, 0)
    assert block.sending_seconds >= 0.5


def test_a_stall_is_felt_by_all_requests_that_were_due_in_it():
    """A generator that waits for answers would have felt it once on each connection."""
    stalled = False

    async def stalls_once(number, writer):
        nonlocal stalled
        if number == 20:
            stalled = True
            time.sleep(0.4)  # noqa: ASYNC251 - the server stalls as a whole
        writer.write(OK)

    block = asked(stalls_once)
    assert stalled
    # At 200 a second 60 requests were due in the first 0.3 s of the stall, and waited 0.1 s or longer.
    assert sum(latency > 0.09 for latency in block.latencies) >= 55


@pytest.mark.parametrize(
    ("status", "counted"),
    [
        (b"503 Service Unavailable", "refused"),
        (b"500 Internal Server Error", "server_errors"),
        (b"400 Bad Request", "client_errors"),
    ],
)
def test_answers_that_are_none_are_counted_and_refusals_are_no_fast_answers(status, counted):
    async def refuses(number, writer):
        writer.write(OK.replace(b"200 OK", status) if number % 10 == 0 else OK)

    block = asked(refuses)
    assert getattr(block, counted) == 10
    assert (max(block.latencies) >= 10) == (counted == "refused")


def test_connections_that_the_server_closes_are_made_anew_and_what_was_lost_is_counted():
    async def closes(number, writer):
        if number % 10 == 0:
            writer.close()
        elif number % 10 == 5:
            writer.write(OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
            writer.close()
        else:
            writer.write(OK)

    block = asked(closes)
    assert len(block.latencies) == block.planned
    assert block.unanswered == 10
