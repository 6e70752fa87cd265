"""A server on loopback that answers every request in the same bad way, where a real one cannot be made to."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Faulty:
    """Answers every request in the same bad way, and remembers how often it was asked."""

    def __init__(
        self, status: int, body: bytes, *, headers: dict[str, str] | None = None, seconds_a_byte: float = 0
    ) -> None:
        self.requests: list[str] = []
        fault = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                fault.requests.append(self.headers.get("Authorization", ""))
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    if not seconds_a_byte:
                        self.wfile.write(body)
                    for byte in body if seconds_a_byte else b"":
                        self.wfile.write(bytes([byte]))
                        time.sleep(seconds_a_byte)
                except OSError:
                    self.close_connection = True  # the client gave up, which is what it should do

            def log_message(self, *_: object) -> None:
                """Requests are counted, not logged."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
