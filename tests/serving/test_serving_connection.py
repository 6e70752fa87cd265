"""A connection whose request does not get complete is closed, and no other one."""

from types import SimpleNamespace

import pytest

from millgate_serving.connection import KEEP_ALIVE_SECONDS, REQUEST_SECONDS, Connection, close_idle


class Transport:
    closed = False

    def close(self) -> None:
        self.closed = True


def connected(scope: dict | None, *, more_body: bool = False, answered: bool = False) -> Connection:
    """As far as a request has come: no scope is nothing at all, no method is headers that go on."""
    connection = Connection.__new__(Connection)
    connection.scope, connection.cycle = scope, SimpleNamespace(more_body=more_body, response_complete=answered)
    connection.transport, connection._waits = Transport(), (None, 0.0)
    return connection


def closed_after(connection: Connection) -> float | None:
    """Seconds, looked at as often as the server looks."""
    for now in range(0, 2000, 2):
        close_idle({connection}, float(now))
        if connection.transport.closed:
            return now
    return None


CASES = [
    ("nothing was ever sent", connected(None), KEEP_ALIVE_SECONDS),
    ("the headers go on", connected({}), REQUEST_SECONDS),
    ("the body goes on", connected({"method": "POST"}, more_body=True), REQUEST_SECONDS),
    (
        "it was answered before its body was there",
        connected({"method": "POST"}, more_body=True, answered=True),
        REQUEST_SECONDS,
    ),
    ("it is being answered", connected({"method": "POST"}), None),
    ("it has its answer, and no other comes", connected({"method": "POST"}, answered=True), KEEP_ALIVE_SECONDS),
]


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_a_request_that_does_not_get_complete_ends_its_connection(case):
    _, connection, limit = case
    seconds = closed_after(connection)
    assert seconds is None if limit is None else limit < seconds <= limit + 6


def test_the_time_counts_for_each_request_anew():
    connection = connected({})
    for request in range(50):
        connection.scope = {}  # of the next request, whose headers are not complete either
        close_idle({connection}, 50.0 * request)
        close_idle({connection}, 50.0 * request + 40)
    assert not connection.transport.closed
