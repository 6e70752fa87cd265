"""How questions reach a metrics store: short ones in the URL, long ones in the body, where no proxy cuts them."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from millgate.sources.prometheus import Prometheus

ANSWER = b'{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}'
Heard = list[tuple[str, str, str]]


@pytest.fixture
def store() -> Iterator[tuple[str, Heard]]:
    """A server that notes (method, query in the URL, query in the body)."""
    heard: Heard = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

        def _answer(self, body: str) -> None:
            asked = (parse_qs(text).get("query", [""])[0] for text in (urlsplit(self.path).query, body))
            heard.append((self.command, *asked))
            self.send_response(200)
            self.send_header("Content-Length", str(len(ANSWER)))
            self.end_headers()
            self.wfile.write(ANSWER)

        def log_message(self, *_: object) -> None:
            """Requests are noted, not logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", heard
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("terms", "method"), [(10, "GET"), (5_000, "POST")], ids=["short", "long"])
async def test_a_long_query_goes_into_the_body(store: tuple[str, Heard], terms: int, method: str) -> None:
    url, heard = store
    query = " + ".join(["1"] * terms)
    client = Prometheus(url)
    await client.query(query, datetime.fromtimestamp(1, UTC))
    await client.query_range(query, 0, 10, 5)
    client.close()
    expected = (method, query, "") if method == "GET" else (method, "", query)
    assert heard == [expected, expected]
